"""The form of the data that a forecaster was made for: names, units, step, sizes, scaler, calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fieldcast.data.calendar import Calendar
from fieldcast.data.clock import check_timezone
from fieldcast.data.frequency import Step
from fieldcast.data.scaling import Scaler
from fieldcast.errors import FieldcastError


@dataclass(frozen=True, eq=False)
class Form:
    """What a forecaster must know of its data to accept new readings and to label its forecasts.

    ``targets`` and ``future`` are channels too; ``future`` are those known ahead (a holiday flag, a weather forecast).
    ``coordinates`` float64 [N, 2] are latitude and longitude in degrees.
    """

    lookback: int
    horizon: int
    nodes: tuple[str, ...]
    channels: tuple[str, ...]
    targets: tuple[str, ...]
    frequency: str
    scaler: Scaler
    calendar: Calendar
    future: tuple[str, ...] = ()
    timezone: str | None = None
    units: Mapping[str, str] | None = None
    coordinates: np.ndarray | None = None
    grid: tuple[int, int] | None = None

    @property
    def target_index(self) -> np.ndarray:
        """Positions of the targets among the channels."""
        return np.array([self.channels.index(target) for target in self.targets], dtype=np.int64)

    @property
    def future_index(self) -> np.ndarray:
        """Positions among the channels of those known ahead."""
        return np.array([self.channels.index(name) for name in self.future], dtype=np.int64)

    def renode(
        self, index: np.ndarray, names: Sequence[str] | None = None, coordinates: np.ndarray | None = None
    ) -> Form:
        """The form of other nodes: ``index`` int64 [new N] points to present ones, each -1 is a new one.

        ``names`` holds one name for each new node, in their order; ``coordinates`` float64 [new N, 2] are those of all,
        without which a new node has none (NaN).
        """
        count = int((index < 0).sum())
        given = [f"new{j}" for j in range(count)] if names is None else [str(name) for name in names]
        if len(given) != count:
            raise FieldcastError(f"there are {count} new nodes and {len(given)} names: name each new node.")
        upcoming = iter(given)
        nodes = tuple(self.nodes[i] if i >= 0 else next(upcoming) for i in index)
        if len(set(nodes)) < len(nodes):
            raise FieldcastError(f"a new node has the name of another ({', '.join(given)}): give names of their own.")
        if coordinates is None and self.coordinates is not None:
            coordinates = np.where(index[:, None] >= 0, self.coordinates[index], np.nan)
        if coordinates is not None and coordinates.shape != (len(nodes), 2):
            raise FieldcastError(f"{len(nodes)} nodes need coordinates [{len(nodes)}, 2], not {coordinates.shape}.")
        return replace(self, nodes=nodes, scaler=self.scaler.nodes(index), coordinates=coordinates, grid=None)

    def to_json(self) -> dict[str, Any]:
        """Everything but what has a file of its own: nodes and coordinates, scaler."""
        return {
            "lookback": self.lookback, "horizon": self.horizon, "channels": list(self.channels),
            "targets": list(self.targets), "future": list(self.future), "frequency": self.frequency,
            "timezone": self.timezone, "units": dict(self.units or {}), "calendar": self.calendar.to_json(),
            "grid": list(self.grid) if self.grid else None,
        }  # fmt: skip

    @classmethod
    def from_json(
        cls, saved: Mapping[str, Any], nodes: Sequence[str], coordinates: np.ndarray | None, scaler: Scaler
    ) -> Form:
        """Read what :meth:`to_json` wrote; what contradicts itself is refused, whoever edited it."""
        for name in ("lookback", "horizon"):
            if type(saved[name]) is not int or not 1 <= saved[name] < 2**31:
                raise FieldcastError(f"the {name} of a form is {saved[name]!r}: it must be a whole number of steps.")
        grid = saved["grid"]
        if grid is not None and not (len(grid) == 2 and all(type(side) is int and side > 0 for side in grid)):
            raise FieldcastError(f"the grid of a form is {grid!r}: it must be rows and columns.")
        if grid is not None and grid[0] * grid[1] != len(nodes):
            raise FieldcastError(f"the grid {grid[0]} x {grid[1]} of a form does not hold its {len(nodes)} nodes.")
        named = {"nodes": list(nodes), **{name: saved[name] for name in ("channels", "targets", "future")}}
        for name, given in named.items():
            texts = isinstance(given, list) and all(isinstance(each, str) and each for each in given)
            if not texts or len(set(given)) < len(given) or not (given or name == "future"):
                raise FieldcastError(f"the {name} of a form are no list of names, each once.")
        for name in (*named["targets"], *named["future"]):
            if name not in named["channels"] or (name in named["targets"] and name in named["future"]):
                raise FieldcastError(f"'{name}' of a form is no channel, or is to be forecast and known ahead at once.")
        Step.parse(saved["frequency"] if isinstance(saved["frequency"], str) else None, "a form")
        if saved["calendar"]["frequency"] != saved["frequency"]:
            raise FieldcastError(f"the calendar of a form has another frequency than {saved['frequency']}.")
        if saved["timezone"] is not None:
            check_timezone(saved["timezone"])
        shape = (len(nodes) if scaler.kind == "node" else 1, len(named["channels"]))
        if scaler.mean.shape != shape or scaler.scale.shape != shape:
            raise FieldcastError(f"the scaler of a form has the shape {scaler.mean.shape} where {shape} is expected.")
        return cls(
            lookback=saved["lookback"], horizon=saved["horizon"], nodes=tuple(nodes),
            channels=tuple(saved["channels"]), targets=tuple(saved["targets"]), future=tuple(saved["future"]),
            frequency=saved["frequency"], timezone=saved["timezone"], units=dict(saved["units"]), scaler=scaler,
            calendar=Calendar.from_json(saved["calendar"]), coordinates=coordinates,
            grid=(grid[0], grid[1]) if grid is not None else None,
        )  # fmt: skip
