"""Wall clocks: from local stamps to UTC over clock changes, in the order in which the rows stand."""

from __future__ import annotations

import zoneinfo

import numpy as np
import pandas as pd

from fieldcast.errors import FieldcastError, did_you_mean

_HOUR = 3_600_000_000_000


def check_timezone(name: str) -> str:
    """Return the name of a timezone; an unknown one is refused with the nearest known one."""
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        near = did_you_mean(str(name), sorted(zoneinfo.available_timezones()))
        raise FieldcastError(
            f"the timezone '{name}' is not known{near}: give a name such as America/Los_Angeles or UTC."
        ) from None
    return name


def own_timezone(stamps: pd.DatetimeIndex) -> str:
    """The named timezone that aware stamps carry; stamps with a bare offset (``-08:00``) are taken as UTC."""
    name = getattr(stamps.tz, "key", None) or getattr(stamps.tz, "zone", None)
    return name or "UTC"


def to_utc(wall: pd.DatetimeIndex, timezone: str, step: int, source: str) -> np.ndarray:
    """Turn naive local stamps [rows] into UTC, datetime64[ns]; ``step`` is the length of a step in nanoseconds.

    The two passes of the hour that autumn repeats are told apart by the order of the rows. In each run of consecutive
    rows in that hour the second pass begins where the stamps go back; where none does (an hourly row comes twice, or
    rows of a pass are lost), it begins where that leaves the most neighbouring rows one step apart, and of equally
    good choices the longest first pass is taken.

    Raises FieldcastError for a stamp that spring leaves out, and for a run that goes back more than once.
    """
    earlier = wall.tz_localize(timezone, ambiguous=np.ones(len(wall), dtype=bool), nonexistent="NaT")
    if earlier.isna().any():
        row = int(np.flatnonzero(earlier.isna())[0])
        raise FieldcastError(
            f"row {row} of {source} has the timestamp {wall[row]}, which does not exist in {timezone} because the "
            "clocks skip it in spring: correct the stamps, or leave the timezone out if their clock was never changed."
        )
    later = wall.tz_localize(timezone, ambiguous=np.zeros(len(wall), dtype=bool), nonexistent="NaT")
    utc = earlier.as_unit("ns").asi8.copy()
    shift = later.as_unit("ns").asi8 - utc
    repeated = shift != 0
    if not repeated.any():
        return utc.view("datetime64[ns]")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], repeated, [False]]).astype(np.int8)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        first_pass = _length_of_first_pass(utc, int(begin), int(end), int(shift[begin]), step)
        if first_pass is None:
            raise FieldcastError(
                f"the rows {begin} to {end - 1} of {source}, in the hour that {timezone} repeats in autumn, are in no "
                "order that tells its two passes apart: give these timestamps in UTC."
            )
        utc[begin + first_pass : end] += shift[begin + first_pass : end]
    return utc.view("datetime64[ns]")


def _length_of_first_pass(utc: np.ndarray, begin: int, end: int, shift: int, step: int) -> int | None:
    """How many rows of the run [begin, end) belong to the first pass; None when every choice goes back in time."""
    # gap[k] is the way from row k-1 to row k of the run if both are in one pass; putting the border of the passes at k
    # lengthens that way, and no other, by the shift. Beyond the ends of the data nothing is known: a gap of no use.
    unknown = -(10**18)
    gap = np.full(end - begin + 1, unknown, dtype=np.int64)
    gap[1:-1] = np.diff(utc[begin:end])
    if begin > 0:
        gap[0] = utc[begin] - utc[begin - 1]
    if end < len(utc):
        gap[-1] = utc[end] - (utc[end - 1] + shift)
    back = 1 + np.flatnonzero(gap[1:-1] < 0)
    if len(back):
        return int(back[0]) if len(back) == 1 and gap[back[0]] + shift >= 0 else None
    gain = (gap + shift == step).astype(int) - (gap == step)
    return int(np.flatnonzero(gain == gain.max())[-1])


def steps_back_like_autumn(before: np.datetime64, after: np.datetime64, step: int) -> bool:
    """Tell whether wall-clock rows are one step apart once the clock has gone back an hour in an autumn night."""
    way = int((after - before).astype("timedelta64[ns]").astype(np.int64))
    return way + _HOUR == step and _in_autumn_night(np.array([after]))


def fills_autumn_hour(stamps: np.ndarray, step: int) -> bool:
    """Tell whether stamps [rows] that come twice, in order, fill one hour of an autumn night."""
    if not 0 < step <= _HOUR or not len(stamps):
        return False
    span = int((stamps[-1] - stamps[0]).astype("timedelta64[ns]").astype(np.int64))
    return span < _HOUR and len(stamps) * step >= _HOUR and _in_autumn_night(stamps)


def _in_autumn_night(stamps: np.ndarray) -> bool:
    """Between midnight and 04:00, in the months in which clocks go back on either hemisphere."""
    hour = stamps.astype("datetime64[h]").astype(np.int64) % 24
    month = int(stamps[0].astype("datetime64[M]").astype(np.int64)) % 12 + 1
    return bool((hour < 4).all()) and month in (3, 4, 5, 9, 10, 11)
