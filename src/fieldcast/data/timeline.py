"""The time axis: from any column of timestamps to equal steps in segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.clock import check_timezone, fills_autumn_hour, own_timezone, steps_back_like_autumn, to_utc
from fieldcast.data.frequency import DAY, Step
from fieldcast.data.timestamps import as_index, parse_stamps, row_numbers
from fieldcast.errors import FieldcastError, did_you_mean

_UNORDERED = ("refuse", "sort")
_REPEATED = ("refuse", "first", "last", "mean")


@dataclass(frozen=True)
class Timeline:
    """Equal steps in segments, and the way from the given rows to them.

    ``time`` datetime64[ns] [time] and ``segment`` int64 [time] describe the cleaned rows: within a segment neighbours
    are exactly one step apart, and segments are numbered from 0. ``time`` is UTC where ``timezone`` is set, the wall
    clock otherwise.

    ``rows`` int64 [kept] names the given rows that are kept, None when all are, in their order; ``groups`` int64 pairs
    (kept position, given row) the further rows to average in; ``places`` int64 [kept] says where each kept row goes,
    None when no unobserved row is put in.
    """

    time: np.ndarray
    segment: np.ndarray
    frequency: str
    timezone: str | None = None
    rows: np.ndarray | None = None
    groups: np.ndarray | None = None
    places: np.ndarray | None = None

    def apply(self, values: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bring values and mask [given rows, N, C] onto this timeline: [time, N, C]; copies only what must change.

        The rows of a repeated timestamp are averaged over their observed cells alone; a cell that none of them
        observed stays missing. Rows put into a gap are NaN and unobserved.
        """
        given, seen = values, observed
        if self.rows is not None:
            values, observed = values[self.rows], observed[self.rows]
        if self.groups is not None:
            values, observed = values.copy(), observed.copy()
            where, first = np.unique(self.groups[:, 0], return_index=True)
            mask = seen[self.groups[:, 1]]
            cells = np.where(mask, given[self.groups[:, 1]], 0).astype(np.float64)
            count = np.add.reduceat(mask, first, axis=0, dtype=np.int64)
            mean = np.add.reduceat(cells, first, axis=0) / np.maximum(count, 1)
            values[where] = np.where(count > 0, mean, np.nan).astype(values.dtype)
            observed[where] = count > 0
        if self.places is not None:
            wider = np.full((len(self.time), *values.shape[1:]), np.nan, dtype=values.dtype)
            wider_observed = np.zeros(wider.shape, dtype=bool)
            wider[self.places], wider_observed[self.places] = values, observed
            values, observed = wider, wider_observed
        return values, observed


def clean_timeline(
    time: Any,
    rows: int,
    *,
    start: str | None = None,
    frequency: str | None = None,
    timezone: str | None = None,
    unordered: str = "refuse",
    repeated: str = "refuse",
    fill_gap: int = 0,
    source: str = "the array",
) -> Timeline:
    """Turn ``rows`` timestamps of any kind into a :class:`Timeline`, or refuse them with the row and the mend.

    Args:
        time: one timestamp a row (text, datetime64, pandas or Python datetimes), or None with ``start`` and
            ``frequency`` given. A column that only counts (0, 1, 2) needs both too, and counts steps from ``start``.
        frequency: the step, such as ``5min`` or ``1MS``; left out, it is the most common difference between rows.
        timezone: the place whose wall clock the stamps show. Steps shorter than a day then become UTC, in which they
            are equally long over clock changes, and the hour that autumn repeats is told apart by the order of the
            rows. Steps of a day or longer stay on the wall clock, where days are equally long, and the timeline then
            carries no timezone. Stamps that are aware of their own timezone keep the instants they name; without
            ``timezone`` theirs is taken, and UTC for stamps with bare offsets.
        unordered: ``refuse`` rows that go back in time, or ``sort`` them, equal ones in their order.
        repeated: ``refuse`` rows with the same timestamp, or keep the ``first``, the ``last``, or their ``mean``.
        fill_gap: gaps of at most so many missing rows become unobserved rows; a longer gap begins a new segment.

    Raises FieldcastError naming the row, counted from 0, its timestamp and the mend.
    """
    _check_choice("unordered", unordered, _UNORDERED)
    _check_choice("repeated", repeated, _REPEATED)
    if isinstance(fill_gap, bool) or not isinstance(fill_gap, (int, np.integer)) or fill_gap < 0:
        raise FieldcastError(f"fill_gap is {fill_gap!r}: give a whole number of rows, 0 or more.")
    if rows < 1:
        raise FieldcastError(f"{source} has no rows: give at least one.")
    if timezone is not None:
        check_timezone(timezone)
    if time is not None:
        time = as_index(time, source)
    if time is not None and len(time) != rows:
        raise FieldcastError(f"{source} has {rows} rows but {len(time)} timestamps: give one timestamp for each row.")
    given = Step.parse(frequency, source) if frequency is not None else None

    stamps, step, zone = _on_one_clock(time, rows, start, given, timezone, source)
    clock, shown = stamps
    kept, groups = _in_order(clock, shown, step, zone, unordered, repeated, source)
    distinct = clock if kept is None else clock[kept]
    position = _on_grid(distinct, kept, shown, step, given is not None, zone, source)

    ways = np.diff(position)
    filled = (ways > 1) & (ways - 1 <= fill_gap)
    breaks = (ways > 1) & ~filled
    places = None
    if filled.any():
        places = np.arange(len(position)) + np.concatenate([[0], np.cumsum(np.where(filled, ways - 1, 0))])
        ahead = np.zeros(places[-1] + 1, dtype=np.int64)
        ahead[places[1:][breaks]] = ways[breaks] - 1
        position = np.arange(len(ahead)) + np.cumsum(ahead)
        segment = np.cumsum(ahead > 0)
        moment = step.stamps(distinct[0], position)
    else:
        segment = np.concatenate([[0], np.cumsum(breaks)])
        moment = distinct
    return Timeline(
        moment, segment.astype(np.int64), step.text(distinct[0]), zone, rows=kept, groups=groups, places=places
    )


def _on_one_clock(
    time: Any, rows: int, start: str | None, given: Step | None, timezone: str | None, source: str
) -> tuple[tuple[np.ndarray, pd.DatetimeIndex], Step, str | None]:
    """Stamps on the clock in which steps are equally long, the same as their owner wrote them, the step, the zone."""
    numbers = row_numbers(time, source) if time is not None else np.arange(rows)
    if numbers is not None and (start is not None and given is not None):
        if time is not None and Step.infer(np.unique(numbers).astype("datetime64[ns]")) not in (None, Step(1)):
            raise FieldcastError(
                f"the time column of {source} holds numbers ({', '.join(map(str, numbers[:3]))}) that do not count "
                "rows one by one: leave the column out, or write dates."
            )
        return _from_start(numbers, start, given, timezone, source)
    if time is None:
        missing = " and ".join(name for name, it in (("a start", start), ("a frequency", given)) if it is None)
        raise FieldcastError(
            f"{source} has no timestamps and so needs {missing}: give --start 2012-03-01 --frequency 5min "
            "(in Python start='2012-03-01', frequency='5min')."
        )
    stamps = parse_stamps(time, source)
    first, last = stamps[stamps.argmin()], stamps[stamps.argmax()]
    count = stamps.as_unit("ns").asi8  # whole numbers, for a difference of stamps would overflow
    if int(count.max()) - int(count.min()) >= 2**63:
        raise FieldcastError(
            f"the timestamps of {source} run from {first} to {last}, longer than 292 years: mend them."
        )
    if start is not None:
        raise FieldcastError(
            f"{source} has timestamps of its own, from {stamps[0]}, and start={start} is given too: leave start out."
        )
    if stamps.tz is not None:
        zone = timezone or own_timezone(stamps)
        utc = stamps.tz_convert("UTC").tz_localize(None)
        step = given or _infer(utc, source)
        if not step.keeps_wall_clock:
            return (utc.to_numpy(), stamps), step, zone
        wall = stamps.tz_convert(zone).tz_localize(None)
        step = given or _infer(wall, source)
        return (wall.to_numpy(), stamps), step, "UTC" if zone == "UTC" else None
    step = given or _infer(stamps, source)
    if timezone is None or step.keeps_wall_clock:
        return (stamps.to_numpy(), stamps), step, None
    return (to_utc(stamps, timezone, step.nanoseconds, source), stamps), step, timezone


def _from_start(
    numbers: np.ndarray, start: str, step: Step, timezone: str | None, source: str
) -> tuple[tuple[np.ndarray, pd.DatetimeIndex], Step, str | None]:
    """Stamps of rows that are only counted: equal steps from ``start``, which is local where a timezone is given."""
    try:
        first = parse_stamps([start], "start")
    except FieldcastError:
        raise FieldcastError(f"start={start!r} for {source} is not a date: write one such as 2012-03-01.") from None
    if first.tz is None and timezone is not None and not step.keeps_wall_clock:
        first = pd.DatetimeIndex(to_utc(first, timezone, step.nanoseconds, "start")).tz_localize("UTC")
    zone = timezone
    if first.tz is not None:
        zone = timezone or own_timezone(first)
        first = first.tz_convert(zone if step.keeps_wall_clock else "UTC").tz_localize(None)
    if step.keeps_wall_clock and zone != "UTC":
        zone = None
    origin = first.to_numpy()[0]
    if not step.positions(np.array([origin]))[1].all():
        edge = "last" if step.at_end else "first"
        raise FieldcastError(f"start={start} for {source} is not the {edge} day of a month: give one that is.")
    stamps = step.stamps(origin, numbers)
    return (stamps, pd.DatetimeIndex(stamps)), step, zone


def _infer(stamps: pd.DatetimeIndex, source: str) -> Step:
    step = Step.infer(np.unique(stamps.to_numpy()))
    if step is None:
        raise FieldcastError(
            f"{source} shows one timestamp only, {stamps[0]}, from which no step can be read: give --frequency 5min "
            "(in Python frequency='5min')."
        )
    return step


def _in_order(
    clock: np.ndarray,
    shown: pd.DatetimeIndex,
    step: Step,
    zone: str | None,
    unordered: str,
    repeated: str,
    source: str,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Sort and thin out the rows as asked: the rows kept (None: all as they stand), and what ``mean`` averages."""
    ways = np.diff(clock).astype(np.int64)
    order = None
    if (ways < 0).any():
        if unordered == "refuse":
            row = 1 + int(np.flatnonzero(ways < 0)[0])
            hint = ""
            if zone is None and steps_back_like_autumn(clock[row - 1], clock[row], step.nanoseconds):
                hint = _TIMEZONE_HINT
            raise FieldcastError(
                f"row {row} of {source} goes back in time, from {shown[row - 1]} to {shown[row]}: {hint}give "
                "--unordered sort (in Python unordered='sort') to put the rows in order."
            )
        order = np.argsort(clock, kind="stable")
        ways = np.diff(clock[order]).astype(np.int64)
    if (ways > 0).all():
        return order, None
    order_or_all = np.arange(len(clock)) if order is None else order
    new = np.concatenate([[True], ways > 0])
    if repeated == "refuse":
        again = order_or_all[~new]
        first_again = int(np.flatnonzero(~new)[0])
        row, before = int(order_or_all[first_again]), int(order_or_all[first_again - 1])
        block = np.unique(clock[again])
        block = block[block < clock[row] + np.timedelta64(1, "h")]
        hint = _TIMEZONE_HINT if zone is None and fills_autumn_hour(block, step.nanoseconds) else ""
        raise FieldcastError(
            f"row {row} of {source} repeats the timestamp {shown[row]} of row {before}: {hint}give --repeated first, "
            "last or mean (in Python repeated='mean') to make one row of them."
        )
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(new))
    if repeated == "last":
        return order_or_all[ends - 1], None
    kept = order_or_all[starts]
    if repeated == "first":
        return kept, None
    several = (ends - starts) > 1
    member = np.repeat(several, ends - starts)
    group = np.repeat(np.arange(len(starts)), ends - starts)
    return kept, np.stack([group[member], order_or_all[member]], axis=1)


_TIMEZONE_HINT = (
    "if the clocks went back that autumn night, give the place whose time it is with --timezone America/Los_Angeles "
    "(in Python timezone='America/Los_Angeles'); otherwise "
)


def _on_grid(
    clock: np.ndarray,
    kept: np.ndarray | None,
    shown: pd.DatetimeIndex,
    step: Step,
    was_given: bool,
    zone: str | None,
    source: str,
) -> np.ndarray:
    """Positions int64 [rows] of distinct, ordered stamps on the grid of the step; a row off the grid is refused."""
    position, on_grid = step.positions(clock)
    frequency = step.text(clock[0])
    if was_given and len(clock) > 1:
        neighbours = on_grid[1:] & on_grid[:-1] & (np.diff(position) == 1)
        common = Step.infer(clock)
        # One gap alone contradicts nothing: two rows may well lie apart.
        misplaced_in_months = step.months and common and common.nanoseconds >= 28 * DAY
        if (
            common and common != step and not misplaced_in_months and not neighbours.any()
            and (len(clock) > 2 or not on_grid.all())
        ):  # fmt: skip
            close = common.text(clock[0])
            first, second = (0, 1) if kept is None else (int(kept[0]), int(kept[1]))
            raise FieldcastError(
                f"the frequency {frequency} contradicts the timestamps of {source}, most of which lie {close} apart, "
                f"as {shown[first]} and {shown[second]} at its beginning: give --frequency {close}, or leave it out."
            )
    if on_grid.all():
        return position
    at = int(np.flatnonzero(~on_grid)[0])
    row, before = (at, at - 1) if kept is None else (int(kept[at]), int(kept[at - 1]))
    if step.months:
        edge = "last" if step.at_end else "first"
        raise FieldcastError(
            f"row {row} of {source}, {shown[row]}, is not on the grid of {frequency}: write the {edge} day of each "
            "month, at midnight."
        )
    hint = f"in pandas: time.round('{frequency}')"
    if 28 * DAY <= step.nanoseconds <= 31 * DAY:
        hint = "for monthly rows the first day of each month"
    elif zone not in (None, "UTC") and step.nanoseconds > DAY // 24:
        hint = "where the wall clock is the regular one, leave the timezone out"
    raise FieldcastError(
        f"row {row} of {source}, {shown[row]}, does not lie a multiple of {frequency} after row {before}, "
        f"{shown[before]}: put the timestamps on one grid ({hint}), or give the true step with --frequency."
    )


def _check_choice(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise FieldcastError(
            f"{name}={given!r} is not known{did_you_mean(str(given), known)}: give one of {', '.join(known)}."
        )
