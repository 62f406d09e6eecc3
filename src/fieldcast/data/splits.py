"""Named splits: which windows train, select and test, and which rows the scaler may see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError, did_you_mean

PARTS = ("train", "validation", "test")
_FORMS = "'windows-first 7:1:2', 'rows 0:700 700:800 800:1000', 'until 2015-12-31T23:00 2016-06-30T23:00'"
_Ranges = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Split:
    """The windows of each part by their first look-back row, int64 [windows], and the rows that training sees."""

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    train_rows: tuple[int, int]


def window_starts(segment: np.ndarray, length: int) -> np.ndarray:
    """First rows of all windows of ``length`` rows that stay within one segment: int64 [windows]."""
    count = len(segment) - length + 1
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    starts = np.arange(count, dtype=np.int64)
    return starts[segment[:count] == segment[length - 1 :]]


def make_split(
    readings: Readings, lookback: int, horizon: int, split: str | Mapping[str, Any] | None = None, purge: int = 0
) -> Split:
    """Split the windows of readings by a name of ``meta.toml``, a text such as ``windows-first 7:1:2``, or a table.

    *Windows first* cuts the list of all windows by ratios, n = round(ratio * windows) for train and validation, the
    rest is test: look-back rows are shared at the borders, as all comparable papers do; ``purge`` drops that many
    windows at the end of train and validation (horizon - 1 leaves no label row in two parts).
    *Rows* and *until* keep a window only if all its rows lie inside a part. Without a validation part the last tenth
    of the training rows is held out for it.
    """
    if purge < 0:
        raise FieldcastError(f"the purge is {purge}: give zero or more windows to drop.")
    meta = readings.meta
    text = meta.default_split if split is None else split
    if isinstance(text, str) and text in meta.splits:
        name, rule = text, meta.splits[text]
    elif isinstance(text, str):
        name, rule = text, _parse(text, list(meta.splits))
    else:
        name, rule = "custom", text
    starts = window_starts(readings.segment, lookback + horizon)
    if "ratios" in rule:
        _check_keys(meta.name, rule, {"ratios", "note"})
        result = _windows_first(name, starts, rule["ratios"], lookback, purge)
    else:
        result = _inside(name, starts, _row_ranges(readings, rule, lookback), lookback + horizon, purge)
    for part in PARTS:
        if len(getattr(result, part)) == 0:
            raise FieldcastError(
                f"the split '{name}' of {meta.name} leaves no {part} window of {lookback} + {horizon} rows "
                f"({len(starts)} windows in all): shorten look-back or horizon, or choose another split."
            )
    return result


def check_share(share: Sequence[float]) -> None:
    """Refuse a share of the training windows that is not two fractions of them in order."""
    numbers = isinstance(share, list | tuple) and all(isinstance(edge, int | float) for edge in share)
    if not numbers or len(share) != 2 or not 0 <= share[0] < share[1] <= 1:
        raise FieldcastError(f"the train_share is {str(share)[:60]}: give where it begins and ends, such as 0.9 1.")


def with_share(split: Split, share: Sequence[float], lookback: int) -> Split:
    """The split with a share of its training windows, in the order of time, and the rows that these see as inputs."""
    check_share(share)
    if tuple(share) == (0, 1):
        return split
    first, stop = (round(edge * len(split.train)) for edge in share)
    train = split.train[first:stop]
    if len(train) == 0:
        raise FieldcastError(
            f"the train_share {list(share)} of {len(split.train)} training windows holds none: give a larger one."
        )
    return replace(split, train=train, train_rows=(int(train[0]), int(train[-1]) + lookback))


def _parse(text: str, named: list[str]) -> Mapping[str, Any]:
    body = re.sub(r"\(.*\)", "", text).strip()
    numbers = r"\d+(?:\.\d+)?"
    if match := re.fullmatch(rf"windows-first ({numbers}):({numbers}):({numbers})", body):
        return {"ratios": [float(part) for part in match.groups()]}
    if match := re.fullmatch(r"rows (\d+):(\d+) (\d+):(\d+) (\d+):(\d+)", body):
        edges = [int(part) for part in match.groups()]
        return {"train": edges[0:2], "validation": edges[2:4], "test": edges[4:6]}
    if match := re.fullmatch(r"until (\S+) (\S+)", body):
        return {"train_until": match[1], "validation_until": match[2]}
    known = f"the dataset names {', '.join(named)}; " if named else ""
    raise FieldcastError(f"there is no split '{text}'{did_you_mean(text, named)}: {known}other forms are {_FORMS}.")


def _windows_first(name: str, starts: np.ndarray, ratios: Any, lookback: int, purge: int) -> Split:
    numbers = isinstance(ratios, Sequence) and all(
        isinstance(ratio, int | float) and not isinstance(ratio, bool) and 0 <= ratio < np.inf for ratio in ratios
    )  # fmt: skip
    if not numbers or len(ratios) != 3 or not np.isfinite(float(sum(ratios))):
        raise FieldcastError(
            f"the split '{name}' has the ratios {ratios}: give three numbers, none negative, such as 7:1:2."
        )
    total = sum(ratios)
    if total <= 0:
        raise FieldcastError(f"the ratios of the split '{name}' add up to nothing: give positive ones, such as 7:1:2.")
    train_count = round(ratios[0] / total * len(starts))
    validation_count = round(ratios[1] / total * len(starts))
    train = starts[:train_count]
    validation = starts[train_count : train_count + validation_count]
    test = starts[train_count + validation_count :]
    # Rows that training windows see as inputs, whatever was purged: 0 .. n_train + look-back - 2.
    stop = int(train[-1]) + lookback if len(train) else 0
    return Split(name, _purged(train, purge), _purged(validation, purge), test, (0, stop))


def _inside(name: str, starts: np.ndarray, ranges: _Ranges, length: int, purge: int) -> Split:
    parts = {
        part: starts[(starts >= first) & (starts + length <= stop)] for part, (first, stop) in ranges.items()
    }  # fmt: skip
    if purge:
        parts |= {part: _purged(parts[part], purge) for part in ("train", "validation")}
    return Split(name, parts["train"], parts["validation"], parts["test"], ranges["train"])


def _purged(starts: np.ndarray, purge: int) -> np.ndarray:
    return starts[: max(0, len(starts) - purge)]


def _row_ranges(readings: Readings, rule: Mapping[str, Any], lookback: int) -> _Ranges:
    rows = len(readings.time)
    _check_keys(readings.meta.name, rule, {*PARTS, "train_until", "validation_until", "windows", "note"})
    if rule.get("windows", "inside") != "inside":
        raise FieldcastError(
            f"a split of {readings.meta.name} has windows = '{rule['windows']}': only 'inside' exists."
        )
    if "train_until" in rule or "validation_until" in rule:
        both = [part for part in PARTS if part in rule]
        if both:
            raise FieldcastError(f"a split of {readings.meta.name} has dates and {both[0]} rows: give one of the two.")
        if "train_until" not in rule:
            raise FieldcastError(f"a split of {readings.meta.name} has validation_until only: give train_until too.")
        if "validation_until" not in rule:
            raise FieldcastError(f"a split of {readings.meta.name} has train_until only: give validation_until too.")
        wall = readings.local_time().to_numpy()
        edges = [_count_until(wall, rule[key], key) for key in ("train_until", "validation_until")]
        ranges = {"train": (0, edges[0]), "validation": (edges[0], edges[1]), "test": (edges[1], rows)}
    else:
        if "train" not in rule or "test" not in rule:
            raise FieldcastError(f"a split of {readings.meta.name} needs at least train and test rows: give both.")
        ranges = {part: _edges(part, rule[part]) for part in PARTS if part in rule}
        if "validation" not in ranges:
            first, stop = ranges["train"]
            held_out = stop - round((stop - first) / 10)
            ranges |= {"train": (first, held_out), "validation": (held_out, stop)}
    for part, (first, stop) in ranges.items():
        if not 0 <= first < stop <= rows:
            raise FieldcastError(
                f"the {part} rows {first}:{stop} of a split do not lie within the {rows} rows of {readings.meta.name}: "
                "give a first row before the last, both inside."
            )
    for earlier, later in (("train", "validation"), ("train", "test"), ("validation", "test")):
        # Look-back rows may be shared, as where windows are cut first; forecast rows may not. Training shares nothing
        # with test, because the scaler sees all of its rows.
        first = ranges[later][0] + (0 if (earlier, later) == ("train", "test") else lookback)
        if ranges[earlier][1] > first:
            raise FieldcastError(
                f"the {earlier} rows of a split end at {ranges[earlier][1]}, after {later} rows begin at "
                f"{ranges[later][0]}: parts must follow one another, else a forecaster is tested on what it saw."
            )
    return ranges


def _check_keys(name: str, rule: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(rule) - known)
    if unknown:
        raise FieldcastError(f"a split of {name} has the unknown key '{unknown[0]}': remove it.")


def _edges(part: str, given: Any) -> tuple[int, int]:
    try:
        first, stop = given
        if not all(isinstance(edge, Integral) and not isinstance(edge, bool) for edge in (first, stop)):
            raise TypeError
        return int(first), int(stop)
    except (TypeError, ValueError):
        said = f"the {part} rows of a split are {given!r}: give the first and the one behind the last, [0, 700]."
        raise FieldcastError(said) from None


def _count_until(wall: np.ndarray, stamp: Any, key: str) -> int:
    """Rows up to and including ``stamp``."""
    try:
        last = pd.Timestamp(stamp) if isinstance(stamp, str) and re.search(r"\d", stamp) else pd.NaT
        if last is not pd.NaT and re.fullmatch(r"\s*\d{4}-\d{2}-\d{2}\s*", stamp):
            last += pd.Timedelta(days=1, nanoseconds=-1)  # a day without an hour is the whole day
        if last is not pd.NaT:
            last = last.as_unit("ns")
    except (ValueError, TypeError, OverflowError):
        last = pd.NaT
    if last is pd.NaT or last.tzinfo is not None:
        raise FieldcastError(f"{key} = '{stamp}' is no date on the wall clock: write it as 2015-12-31T23:00.")
    # No bisection: a wall clock goes back in autumn.
    before = np.flatnonzero(wall <= last.to_datetime64())
    return int(before[-1]) + 1 if len(before) else 0
