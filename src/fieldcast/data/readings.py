"""Readings: what the sensors measured, with a mask for what they did not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.data.meta import Meta
from fieldcast.data.timeline import Timeline, clean_timeline
from fieldcast.errors import UNPRINTABLE, FieldcastError, did_you_mean

_BLOCK = 2**21


class Readings:
    """Readings of N sensors over time: immutable, labelled, with missing cells as a mask.

    Shapes: ``values`` float32 [time, N, C], NaN where not observed; ``observed`` bool [time, N, C]; ``time``
    datetime64[ns] [time]; ``segment`` int64 [time], windows never cross from one segment to the next.

    ``time`` is the clock in which steps are equally long. Where a ``timezone`` is given, that is UTC, and
    ``local_time`` is the wall clock that calendars read; otherwise the two are the same.
    """

    def __init__(self, dataset: xr.Dataset, meta: Meta):
        self.dataset = dataset
        self.meta = meta
        for array in (self.values, self.observed, self.segment):
            array.setflags(write=False)

    @classmethod
    def from_array(
        cls,
        values: np.ndarray,
        time: Any = None,
        *,
        nodes: Sequence[object] | None = None,
        channels: Sequence[str] | None = None,
        observed: np.ndarray | None = None,
        start: str | None = None,
        frequency: str | None = None,
        timezone: str | None = None,
        coordinates: np.ndarray | None = None,
        grid: tuple[int, int] | None = None,
        meta: Meta | None = None,
        unordered: str = "refuse",
        repeated: str = "refuse",
        fill_gap: int = 0,
        source: str = "the array",
        copy: bool = True,
    ) -> Readings:
        """Build Readings from an array [time, N] or [time, N, C]; NaN, and what ``observed`` excludes, is missing.

        ``time`` holds one timestamp a row, or None with ``start`` and ``frequency`` given. ``unordered`` ("refuse",
        "sort"), ``repeated`` ("refuse", "first", "last", "mean") and ``fill_gap`` (gaps of at most so many rows become
        unobserved rows, longer ones end a segment) are the mends that :func:`clean_timeline` names when it refuses.
        One channel without a name takes that of the one target. ``copy=False`` hands ``values`` over: it is written to
        and frozen.

        Raises FieldcastError on wrong shapes, infinite values, repeated ids, or timestamps that need a mend.
        """
        if isinstance(values, np.ma.MaskedArray):
            unmasked = ~np.ma.getmaskarray(values)
            observed = unmasked if observed is None else np.asarray(observed, dtype=bool) & unmasked
            values = values.data
        values = np.asarray(values)
        if values.dtype.kind not in "iufc":
            raise FieldcastError(f"{source} holds values of type {values.dtype}: give numbers, NaN where missing.")
        if np.iscomplexobj(values):
            raise FieldcastError(f"{source} holds complex values: give real numbers, NaN where missing.")
        if values.ndim == 2:
            values = values[..., None]
        if values.ndim != 3 or 0 in values.shape:
            raise FieldcastError(f"{source} has shape {values.shape}: give [time, node] or [time, node, channel].")
        if copy or values.dtype != np.float32 or not (values.flags.c_contiguous and values.flags.writeable):
            with np.errstate(over="ignore"):  # what is too large becomes infinite and is refused below
                values = np.array(values, dtype=np.float32, order="C")
        rows, width, depth = values.shape
        node_ids = _labels(nodes, width, "node", source)
        meta = meta or Meta()
        if channels is None and depth == 1:
            channels = meta.targets if len(meta.targets) == 1 else ("value",)
        names = _labels(channels, depth, "channel", source)
        _check_targets(meta, names, source)
        timeline = clean_timeline(
            time, rows, start=start, frequency=frequency or meta.frequency, timezone=timezone or meta.timezone,
            unordered=unordered, repeated=repeated, fill_gap=fill_gap, source=source,
        )  # fmt: skip
        seen = np.isfinite(values)
        if not seen.all() and (place := _first_infinite(values)) is not None:
            row, node, channel = place
            raise FieldcastError(
                f"{source} holds an infinite or too large value at row {row}, node '{node_ids[node]}', channel "
                f"'{names[channel]}': write NaN where a reading is missing."
            )
        if observed is not None:
            observed = np.asarray(observed)
            if observed.ndim == 2:
                observed = observed[..., None]
            if observed.shape != values.shape:
                raise FieldcastError(f"observed has shape {observed.shape}, values {values.shape}: give equal shapes.")
            if observed.dtype.kind not in "biu":
                raise FieldcastError(f"observed holds values of type {observed.dtype}: give True and False.")
            seen &= observed.astype(bool)
        if meta.zero_columns(tuple(names)):
            seen &= meta.mask_zeros(values, tuple(names))
        values, seen = timeline.apply(values, seen)
        if not seen.all():
            for rows in _blocks(values):
                np.copyto(values[rows], np.float32(np.nan), where=~seen[rows])
        return cls._build(values, seen, timeline, node_ids, names, coordinates, grid, meta, source)

    @classmethod
    def _build(
        cls,
        values: np.ndarray,
        observed: np.ndarray,
        timeline: Timeline,
        nodes: list[str],
        channels: list[str],
        coordinates: np.ndarray | None,
        grid: tuple[int, int] | None,
        meta: Meta,
        source: str,
    ) -> Readings:
        coords: dict[str, Any] = {
            "time": timeline.time, "segment": ("time", timeline.segment), "node": nodes, "channel": channels,
        }  # fmt: skip
        if coordinates is not None:
            coordinates = degrees(coordinates, source)
            if coordinates.shape != (len(nodes), 2):
                raise FieldcastError(
                    f"the coordinates of {source} have shape {coordinates.shape}: give latitude and longitude for each "
                    f"of {len(nodes)} nodes."
                )
            if (np.abs(coordinates[:, 0]) > 90).any():
                node = int(np.flatnonzero(np.abs(coordinates[:, 0]) > 90)[0])
                raise FieldcastError(
                    f"node '{nodes[node]}' of {source} has the latitude {coordinates[node, 0]:g}: give coordinates as "
                    "latitude, longitude in degrees."
                )
            if (np.abs(coordinates[:, 1]) > 360).any():
                node = int(np.flatnonzero(np.abs(coordinates[:, 1]) > 360)[0])
                raise FieldcastError(
                    f"node '{nodes[node]}' of {source} has the longitude {coordinates[node, 1]:g}: give coordinates as "
                    "latitude, longitude in degrees."
                )
            coords["latitude"] = ("node", coordinates[:, 0])
            coords["longitude"] = ("node", coordinates[:, 1])
        if grid is not None:
            sides = grid if isinstance(grid, Sequence | np.ndarray) else ()
            if len(sides) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in sides):
                raise FieldcastError(f"the grid of {source} is {grid!r}: give two whole numbers, rows and columns.")
        if grid is not None and int(grid[0]) * int(grid[1]) != len(nodes):
            raise FieldcastError(f"the grid {grid[0]} x {grid[1]} of {source} does not hold its {len(nodes)} nodes.")
        attributes: dict[str, Any] = {"frequency": timeline.frequency, "timezone": timeline.timezone or ""}
        if grid is not None:
            attributes["grid"] = (int(grid[0]), int(grid[1]))
        dims = ("time", "node", "channel")
        dataset = xr.Dataset({"values": (dims, values), "observed": (dims, observed)}, coords=coords, attrs=attributes)
        return cls(dataset, meta)

    # What it holds

    @cached_property
    def values(self) -> np.ndarray:
        return self.dataset["values"].values

    @cached_property
    def observed(self) -> np.ndarray:
        return self.dataset["observed"].values

    @cached_property
    def time(self) -> np.ndarray:
        return self.dataset["time"].values.astype("datetime64[ns]")

    @cached_property
    def segment(self) -> np.ndarray:
        return self.dataset["segment"].values

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        return tuple(str(node) for node in self.dataset["node"].values)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        return tuple(str(channel) for channel in self.dataset["channel"].values)

    @property
    def frequency(self) -> str:
        """The length of a step, as pandas writes it: ``5min``, ``1h``, ``1D``, ``1MS``."""
        return self.dataset.attrs["frequency"]

    @property
    def timezone(self) -> str | None:
        return self.dataset.attrs["timezone"] or None

    @property
    def grid(self) -> tuple[int, int] | None:
        return self.dataset.attrs.get("grid")

    @property
    def coordinates(self) -> np.ndarray | None:
        """Latitude and longitude in degrees, float64 [N, 2], or None."""
        if "latitude" not in self.dataset.coords:
            return None
        return np.stack([self.dataset["latitude"].values, self.dataset["longitude"].values], axis=1)

    @property
    def shape(self) -> tuple[int, int, int]:
        rows, nodes, channels = self.values.shape
        return rows, nodes, channels

    @property
    def targets(self) -> tuple[str, ...]:
        """The channels to forecast: what the dataset names, else the first channel."""
        return tuple(t for t in self.meta.targets if t in self.channels) or self.channels[:1]

    def unit(self, channel: str) -> str:
        """The unit of a channel, or an empty string where nobody said."""
        return self.meta.units.get(channel, "")

    def local_time(self, time: np.ndarray | None = None) -> pd.DatetimeIndex:
        """The wall clock at ``time`` (default: at every row), from which calendars are read."""
        index = pd.DatetimeIndex(self.time if time is None else time)
        if self.timezone is None:
            return index
        return index.tz_localize("UTC").tz_convert(self.timezone).tz_localize(None)

    def following(self, row: int, steps: int) -> np.ndarray:
        """The timestamps of the ``steps`` steps after ``row``, beyond the last row too: datetime64[ns] [steps]."""
        try:
            ahead = pd.date_range(self.time[row], periods=steps + 1, freq=self.frequency)
        except (pd.errors.OutOfBoundsDatetime, OverflowError):
            last = self.time[row].astype("datetime64[s]")
            raise FieldcastError(
                f"{steps} steps of {self.frequency} after {last} lead beyond the year 2261: give a shorter horizon."
            ) from None
        return ahead[1:].to_numpy("datetime64[ns]")

    @cached_property
    def hash(self) -> str:
        """SHA-256 over values, mask, time and names: two sets are the same data exactly when this is equal."""
        digest = hashlib.sha256()
        digest.update("\0".join((*self.nodes, "", *self.channels, self.frequency)).encode())
        digest.update(np.ascontiguousarray(self.time.astype("int64")).tobytes())
        digest.update(np.packbits(self.observed).tobytes())
        digest.update(np.where(self.observed, self.values, np.float32(0)).tobytes())
        return digest.hexdigest()

    # Parts of it

    def channel_index(self, names: Sequence[str]) -> np.ndarray:
        """Positions of channels by name; an unknown name is refused with the nearest known one."""
        for name in names:
            if name not in self.channels:
                raise FieldcastError(
                    f"{self.meta.name} has no channel '{name}'{did_you_mean(name, self.channels)}: "
                    f"it has {', '.join(self.channels)}."
                )
        return np.array([self.channels.index(name) for name in names], dtype=np.int64)

    def select(self, *, nodes: Sequence[str] | None = None, rows: slice | None = None) -> Readings:
        """The same readings at some nodes (in the given order) or rows; a grid is no grid any more."""
        dataset = self.dataset
        if nodes is not None:
            position = {node: i for i, node in enumerate(self.nodes)}
            for node in nodes:
                if node not in position:
                    raise FieldcastError(f"{self.meta.name} has no node '{node}'{did_you_mean(node, self.nodes)}.")
            dataset = dataset.isel(node=[position[node] for node in nodes])
            dataset.attrs = {key: value for key, value in dataset.attrs.items() if key != "grid"}
        if rows is not None:
            dataset = dataset.isel(time=rows)
        return Readings(dataset.copy(deep=True), self.meta)

    def with_meta(self, **changes: Any) -> Readings:
        """The same readings under other rules (targets, null rule, scored cells, splits).

        Zeros that the new rules make missing become so; zeros that the old ones took away cannot come back, and such a
        change is refused.
        """
        meta = replace(self.meta, **changes)
        _check_targets(meta, list(self.channels), meta.name)
        before, after = (set(rules.zero_columns(self.channels)) for rules in (self.meta, meta))
        if before - after:
            raise FieldcastError(
                f"zeros in the channel '{self.channels[min(before - after)]}' of {meta.name} were read as missing "
                f"under the rule '{self.meta.null_rule}': open the data again with the new null rule."
            )
        dataset = self.dataset
        if after - before and not (keep := meta.mask_zeros(self.values, self.channels)).all():
            observed = self.observed & keep
            values = np.where(observed, self.values, np.float32(np.nan))
            dims = ("time", "node", "channel")
            dataset = dataset.assign({"values": (dims, values), "observed": (dims, observed)})
        return Readings(dataset, meta)

    def align(self, nodes: Sequence[str]) -> Readings:
        """The same readings at ``nodes`` in that order; a node that is absent here is unobserved throughout."""
        if tuple(nodes) == self.nodes:
            return self
        dataset = self.dataset.drop_vars(["latitude", "longitude"], errors="ignore")
        dataset = dataset.reindex(node=list(nodes), fill_value={"values": np.float32(np.nan), "observed": False})
        dataset.attrs = {key: value for key, value in dataset.attrs.items() if key != "grid"}
        return Readings(dataset, self.meta)

    def __repr__(self) -> str:
        rows, nodes, channels = self.shape
        missing = 100 * (1 - float(self.observed.mean()))
        clock = self.local_time(self.time[[0, -1]]).strftime("%Y-%m-%dT%H:%M")
        return (
            f"Readings({self.meta.name}: {rows} rows x {nodes} nodes x {channels} channels every {self.frequency}, "
            f"{clock[0]} to {clock[1]}{f' {self.timezone}' if self.timezone else ''}, "
            f"{missing:.2f} % missing)"
        )


def _labels(given: Sequence[object] | None, count: int, what: str, source: str) -> list[str]:
    """Names of nodes or channels as text; repeated, empty, unprintable or miscounted ones are refused."""
    names = [str(label) for label in given] if given is not None else [f"{what}{i}" for i in range(count)]
    if len(names) != count:
        raise FieldcastError(f"{source} has {count} {what}s but {len(names)} {what} names: give one name each.")
    seen: set[str] = set()
    for position, name in enumerate(names):
        if name in seen or not name.strip():
            problem = "is empty" if not name.strip() else f"'{name}' is repeated"
            raise FieldcastError(f"the {what} name at position {position} of {source} {problem}: make it unique.")
        if found := UNPRINTABLE.search(name):
            raise FieldcastError(
                f"the {what} name at position {position} of {source} holds the character U+{ord(found[0]):04X}, which "
                "cannot be printed: rename it."
            )
        seen.add(name)
    return names


def degrees(given: Any, source: str) -> np.ndarray:
    """Coordinates as float64, of whatever shape; text, dates and ragged lists are refused."""
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf":
        raise FieldcastError(f"the coordinates of {source} are no numbers: give latitude and longitude in degrees.")
    return array.astype(np.float64)


def _first_infinite(values: np.ndarray) -> tuple[int, ...] | None:
    """Row, node and channel of the first infinite value, or None."""
    for rows in _blocks(values):
        places = np.argwhere(np.isinf(values[rows]))
        if len(places):
            return rows.start + int(places[0][0]), int(places[0][1]), int(places[0][2])
    return None


def _blocks(values: np.ndarray) -> Iterator[slice]:
    """Rows of ``values`` [time, N, C] some ``_BLOCK`` cells at a time, so that no second mask of the whole is held."""
    step = max(1, _BLOCK // max(1, values[:1].size))
    return (slice(begin, begin + step) for begin in range(0, len(values), step))


def _check_targets(meta: Meta, channels: list[str], source: str) -> None:
    for target in meta.targets:
        if target not in channels:
            raise FieldcastError(
                f"{source} has no channel '{target}' to forecast{did_you_mean(target, channels)}: its channels are "
                f"{', '.join(channels)}."
            )
