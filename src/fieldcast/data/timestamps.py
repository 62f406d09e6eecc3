"""Reading timestamps: from whatever stands in a time column to a DatetimeIndex, never by a silent guess."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from fieldcast.errors import FieldcastError

_FULL_DATE = r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([ T].*)?$|\d{1,2}[/.\-]\d{1,2}[/.\-]\d{2,4}([ T].*)?$|\d{8}[ T]\d"
_DAY_OR_MONTH_FIRST = (
    r"^(?P<a>\d{1,2})[/.\-](?P<b>\d{1,2})[/.\-](?P<year>\d{4})(?:[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2}(?:\.\d+)?))?\s*(?P<half>[AaPp][Mm])?)?$"
)
_OFFSET = r"(?:\d\s*Z|(?:T\d{2}|:\d{2}(?:\.\d+)?)\s*[+-]\d{2}(?::?\d{2})?)$"
_WRITE = "write dates as 2012-03-01 00:05"


def looks_like_stamp(text: str) -> bool:
    """Tell whether one cell of a table reads as a date, and not as a number."""
    text = text.strip()
    if not re.search(r"\d", text):
        return False
    return bool(re.match(_FULL_DATE, text)) or (_has_letters(text) and guess_datetime_format(text) is not None)


def row_numbers(time: Any, source: str) -> np.ndarray | None:
    """Return the whole numbers of a column that only counts (0, 1, 2), or None when it holds anything else.

    Eight-digit numbers that are all valid calendar days (20120301) are dates and give None.
    """
    index = as_index(time, source)
    if index.dtype.kind not in "iuf":
        if index.dtype.kind in "bmM" or not len(index) or not str(index[0]).strip().isdigit():
            return None
        index = pd.Index(pd.to_numeric(index.to_series(), errors="coerce"))
    numbers = index.to_numpy(dtype=np.float64, na_value=np.nan)
    if not (np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)).all():
        return None
    numbers = numbers.astype(np.int64)
    return None if _compact_days(numbers) is not None else numbers


def parse_stamps(time: Any, source: str) -> pd.DatetimeIndex:
    """Read text, datetime64, Python or pandas datetimes, periods or eight-digit days as a DatetimeIndex [rows].

    The index is aware of its timezone when the stamps are; stamps with differing offsets come out in UTC. Slashed dates
    are read day first or month first as the numbers above 12 in the column prove, and are refused where nothing proves
    it.

    Raises FieldcastError naming the row (counted from 0) and its text for a stamp that is empty or no date.
    """
    index = as_index(time, source)
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex):
        if index.dtype.kind in "biufcm":
            index = _numbers(index, source)
        elif all(isinstance(entry, str) for entry in index if not _is_empty(entry)):
            index = _text(index, source)
        else:
            index = _objects(index, source)
    missing = index.isna()
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise FieldcastError(f"row {row} of {source} has no timestamp: fill it in or leave the row out.")
    try:
        return index.as_unit("ns")
    except (pd.errors.OutOfBoundsDatetime, ValueError):
        low, high = pd.Timestamp.min.year + 1, pd.Timestamp.max.year - 1
        years = index.to_numpy().astype("datetime64[Y]").astype(np.int64) + 1970
        row = int(np.flatnonzero((years < low) | (years > high))[0])
        raise FieldcastError(
            f"the timestamp in row {row} of {source}, '{index[row]}', lies outside the years {low} to {high}: mend it."
        ) from None


def as_index(time: Any, source: str) -> pd.Index:
    """Timestamps of any kind as an index [rows], not yet read."""
    if not isinstance(time, (pd.Index, pd.Series)):
        if not hasattr(time, "__array__") and (isinstance(time, (str, bytes)) or not isinstance(time, Iterable)):
            raise FieldcastError(f"the timestamps of {source} are {time!r}: give one for each row.")
        time = np.asarray(time) if hasattr(time, "__array__") else list(time)
        if getattr(time, "ndim", 1) != 1:
            raise FieldcastError(f"the timestamps of {source} have shape {time.shape}: give one for each row.")
        if getattr(time, "dtype", np.dtype("O")).kind == "S":
            time = np.char.decode(time, "utf-8", "replace")
    if getattr(time, "dtype", None) == np.float16:  # pandas has no index of these
        time = time.astype(np.float32)  # pyright: ignore[reportAttributeAccessIssue]
    index = pd.Index(time)
    return index.astype(object) if isinstance(index.dtype, pd.CategoricalDtype) else index


def _numbers(index: pd.Index, source: str) -> pd.DatetimeIndex:
    days = _compact_days(index.to_numpy()) if index.dtype.kind in "iu" else None
    if days is None:
        what = "durations" if index.dtype.kind == "m" else "numbers"
        few = ", ".join(str(entry) for entry in index[:3])
        raise FieldcastError(
            f"the time column of {source} holds {what} ({few}), not dates: {_WRITE}, or leave the column out and give "
            "--start 2012-03-01 --frequency 5min (in Python start=, frequency=)."
        )
    return days


def _compact_days(numbers: np.ndarray) -> pd.DatetimeIndex | None:
    """Dates written as 20120301, or None when any number is none."""
    if not len(numbers) or numbers.min() < 1800_01_01 or numbers.max() > 2200_12_31:
        return None
    days = pd.to_datetime(pd.Index(numbers.astype(str)), format="%Y%m%d", errors="coerce")
    return None if days.isna().any() else days


def _text(index: pd.Index, source: str) -> pd.DatetimeIndex:
    text = index.to_series(index=range(len(index))).astype("str").str.strip()
    empty = np.array([_is_empty(entry) for entry in index]) | text.eq("").to_numpy()
    if empty.any():
        raise FieldcastError(
            f"row {int(np.flatnonzero(empty)[0])} of {source} has no timestamp: fill it in or leave the row out."
        )
    if text.str.isdigit().all() and not text.str.len().eq(8).all():
        return _numbers(pd.Index(pd.to_numeric(text, errors="coerce")), source)
    aware = text.str.contains(_OFFSET, regex=True).to_numpy()
    if aware.any() and not aware.all():
        row = int(np.flatnonzero(aware != aware[0])[0])
        raise FieldcastError(
            f"the timestamp in row {row} of {source}, '{text[row]}', differs from row 0, '{text[0]}', in having or "
            "lacking an offset from UTC: write all or none with it."
        )
    # 'now' and 'today' are dates to pandas; a date here has digits.
    worded = ~text.str.contains(r"\d", regex=True).to_numpy()
    if worded.any():
        _refuse(int(np.flatnonzero(worded)[0]), text, source)
    try:
        parsed = pd.to_datetime(pd.Index(text), format="ISO8601", errors="coerce", utc=bool(aware.any()))
    except ValueError:  # offsets in a form that the pattern above does not see, differing from row to row
        parsed = pd.to_datetime(pd.Index(text), format="ISO8601", errors="coerce", utc=True)
    if parsed.isna().any():
        parsed = _day_or_month_first(text, source) if re.match(_DAY_OR_MONTH_FIRST, text[0]) else parsed
    if parsed.isna().all() and _has_letters(text[0]):
        form = guess_datetime_format(text[0])
        if form is not None:
            parsed = pd.to_datetime(pd.Index(text), format=form, errors="coerce", utc=bool(aware.any()))
    if parsed.isna().any():
        _refuse(int(np.flatnonzero(parsed.isna())[0]), text, source)
    return parsed


def _day_or_month_first(text: pd.Series, source: str) -> pd.DatetimeIndex:
    """Read 13/02/2012 00:05 or 02/13/2012 12:05 AM; the numbers of the column must prove which of the two it is."""
    parts = text.str.extract(_DAY_OR_MONTH_FIRST)
    unread = parts["year"].isna().to_numpy()
    if unread.any():
        _refuse(int(np.flatnonzero(unread)[0]), text, source)
    a, b = parts["a"].astype(int).to_numpy(), parts["b"].astype(int).to_numpy()
    if (a > 12).any() == (b > 12).any():
        raise FieldcastError(
            f"the timestamps of {source}, such as '{text[0]}', can be read day first or month first: write them as "
            "2012-03-01 00:05."
        )
    month, day = (b, a) if (a > 12).any() else (a, b)
    hour = parts["hour"].fillna("0").astype(int).to_numpy()
    half = parts["half"].fillna("").str.lower().to_numpy()
    hour = np.where(half != "", hour % 12 + 12 * (half == "pm"), hour)
    frame = pd.DataFrame({"year": parts["year"].astype(int), "month": month, "day": day, "hour": hour})
    frame["minute"] = parts["minute"].fillna("0").astype(int)
    # Through text, because to_datetime of a table lets 61 seconds run over.
    written = (
        frame["year"].astype(str) + "-" + frame["month"].astype(str).str.zfill(2) + "-"
        + frame["day"].astype(str).str.zfill(2) + " " + frame["hour"].astype(str).str.zfill(2) + ":"
        + frame["minute"].astype(str).str.zfill(2) + ":" + parts["second"].fillna("00")
    )  # fmt: skip
    return pd.DatetimeIndex(pd.to_datetime(pd.Index(written), format="ISO8601", errors="coerce"))


def _objects(index: pd.Index, source: str) -> pd.DatetimeIndex:
    """Python datetimes, dates or Timestamps, perhaps of differing offsets."""
    aware = np.array([getattr(entry, "tzinfo", None) is not None for entry in index])
    empty = np.array([_is_empty(entry) for entry in index])
    given = ~empty
    if aware.any() and not aware[given].all():
        row = int(np.flatnonzero(given & (aware != aware[given][0]))[0])
        raise FieldcastError(
            f"the timestamp in row {row} of {source}, '{index[row]}', differs from the first in having or lacking an "
            "offset from UTC: write all or none with it."
        )
    whole = np.array([hasattr(entry, "year") and hasattr(entry, "day") for entry in index])
    wrong = given & ~whole
    parsed = pd.DatetimeIndex([])
    if not wrong.any():
        try:
            parsed = pd.DatetimeIndex(pd.to_datetime(index, errors="coerce", utc=bool(aware.any())))
        except (TypeError, ValueError):
            wrong = given
        else:
            wrong = given & parsed.isna()
    if wrong.any():
        _refuse(int(np.flatnonzero(wrong)[0]), index, source)
    return parsed


def _refuse(row: int, entries: Any, source: str) -> None:
    entry = str(entries[row])
    entry = entry if len(entry) <= 40 else f"{entry[:40]} ..."
    raise FieldcastError(f"the timestamp in row {row} of {source}, '{entry}', is not a date: {_WRITE}.")


def _is_empty(entry: object) -> bool:
    return entry is None or entry is pd.NaT or entry is pd.NA or (isinstance(entry, float) and np.isnan(entry))


def _has_letters(text: str) -> bool:
    """Tell whether a month is named, so that pandas' guess of a format is no guess about day and month."""
    return bool(re.search(r"[A-Za-z]{3}", text))
