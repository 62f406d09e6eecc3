"""From pandas tables to arrays: wide ones with a column per sensor, long ones with a row per reading."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.formats._csv import TIME_NAMES, refuse_text_cells, to_numbers
from fieldcast.data.timestamps import looks_like_stamp, parse_stamps, row_numbers
from fieldcast.errors import FieldcastError, did_you_mean


def wide_arrays(
    frame: pd.DataFrame, time_column: str | None, source: str
) -> tuple[np.ndarray, Any, list[str], list[str] | None]:
    """Values float32 [time, N(, C)], timestamps or None, nodes, and channels where the columns have two levels.

    The time is the named column (or index), else an index of dates, else a first column of dates.
    """
    time, frame = _split_time(frame, time_column, source)
    if not frame.shape[1]:
        raise FieldcastError(f"{source} has no column beside its time: add one for each sensor.")
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise FieldcastError(f"{source} has the column '{repeated[0]}' twice: give each a name of its own.")
    if frame.columns.nlevels == 1:
        return numbers(frame, source), time, [str(name) for name in frame.columns], None
    if frame.columns.nlevels != 2:
        raise FieldcastError(f"{source} has columns of {frame.columns.nlevels} levels: give node and channel.")
    if frame.columns.names[0] in ("channel", "channels"):
        frame = frame.swaplevel(axis=1)
    nodes, channels = (frame.columns.unique(level) for level in (0, 1))
    whole = pd.MultiIndex.from_product([nodes, channels])
    absent = whole.difference(frame.columns)
    if len(absent):
        raise FieldcastError(
            f"{source} has no column for node '{absent[0][0]}', channel '{absent[0][1]}': add one, empty if need be."
        )
    values = numbers(frame.reindex(columns=whole), source).reshape(len(frame), len(nodes), len(channels))
    return values, time, [str(node) for node in nodes], [str(channel) for channel in channels]


def long_arrays(
    frame: pd.DataFrame, time_column: str, node_column: str, channels: Sequence[str] | None, repeated: str, source: str
) -> tuple[np.ndarray, pd.DatetimeIndex, list[str], list[str]]:
    """Values float32 [time, N, C], the distinct times in order, nodes in order of appearance, channels.

    ``channels`` None takes every column but time and node. A pair of time and node that comes twice is refused, or
    made one as ``repeated`` says: its first, its last, or the mean of what is there.
    """
    for name in (time_column, node_column, *(channels or ())):
        if name not in frame.columns:
            raise FieldcastError(
                f"{source} has no column '{name}'{did_you_mean(name, map(str, frame.columns))}: it has "
                f"{', '.join(map(str, frame.columns[:12]))}."
            )
    if not len(frame):
        raise FieldcastError(f"{source} has no rows: give at least one.")
    picked = list(channels) if channels else [name for name in frame.columns if name not in (time_column, node_column)]
    if not picked:
        raise FieldcastError(f"{source} has no column beside time and node: add one for each channel.")
    unnamed = np.asarray(frame[node_column].isna())
    if unnamed.any():
        row = int(np.flatnonzero(unnamed)[0])
        raise FieldcastError(f"row {row} of {source} has no '{node_column}': fill it in or leave the row out.")
    stamps = parse_stamps(frame[time_column], source)
    when, times = pd.factorize(stamps, sort=True)
    where, nodes = pd.factorize(frame[node_column].astype(str))
    cells = numbers(frame.loc[:, picked], source)
    pair = when * len(nodes) + where
    twice = pd.Series(pair).duplicated().to_numpy()
    if twice.any() and repeated == "refuse":
        row = int(np.flatnonzero(twice)[0])
        raise FieldcastError(
            f"row {row} of {source} repeats node '{frame[node_column].iloc[row]}' at {stamps[row]}: give --repeated "
            "first, last or mean (in Python repeated='mean') to make one row of them."
        )
    values = np.full((len(times) * len(nodes), len(picked)), np.nan, dtype=np.float32)
    if repeated == "mean" and twice.any():
        seen = np.isfinite(cells)
        total, count = np.zeros(values.shape), np.zeros(values.shape)
        np.add.at(total, pair, np.where(seen, cells, 0))
        np.add.at(count, pair, seen)
        values[count > 0] = (total[count > 0] / count[count > 0]).astype(np.float32)
    else:
        order = slice(None, None, -1) if repeated == "first" else slice(None)
        values[pair[order]] = cells[order]
    return (
        values.reshape(len(times), len(nodes), len(picked)),
        pd.DatetimeIndex(times),
        [str(node) for node in nodes],
        [str(channel) for channel in picked],
    )


def numbers(frame: pd.DataFrame, source: str) -> np.ndarray:
    """The cells as float32 [rows, columns], NaN where missing; a cell that is no number is refused."""
    kinds = [frame.iloc[:, i].dtype for i in range(frame.shape[1])]
    plain = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in kinds]
    for position, kind in enumerate(kinds):
        if pd.api.types.is_complex_dtype(kind):
            name = frame.columns[position]
            raise FieldcastError(f"column '{name}' of {source} holds complex numbers: give real ones.")
    with np.errstate(over="ignore"):
        if all(plain):
            return frame.to_numpy(dtype=np.float32, na_value=np.nan)
        columns = [frame.iloc[:, i] if plain[i] else _as_written(frame.iloc[:, i]) for i in range(len(plain))]
        mixed = {str(frame.columns[i]): column for i, column in enumerate(columns) if not plain[i]}
        refuse_text_cells(mixed, source)
        read = {i: to_numbers(column) for i, column in enumerate(columns)}
        return pd.DataFrame(read).to_numpy(dtype=np.float32, na_value=np.nan)


def _as_written(column: pd.Series) -> pd.Series:
    """A column of objects in which whatever is no number and no text stands as text, to be refused as it reads.

    Otherwise pandas would take truth values for 0 and 1, and dates for nanoseconds.
    """

    def written(cell: Any) -> Any:
        number = isinstance(cell, (Real, Decimal)) and not isinstance(cell, (bool, np.bool_, np.timedelta64))
        if isinstance(cell, Decimal) and cell.is_snan():
            return str(cell)
        if number or isinstance(cell, str):
            return cell
        return None if cell is None or cell is pd.NA or cell is pd.NaT else str(cell)

    return column.astype(object).map(written).astype(object)


def _split_time(frame: pd.DataFrame, time_column: str | None, source: str) -> tuple[Any, pd.DataFrame]:
    index = frame.index
    if time_column is not None and not isinstance(time_column, Hashable):
        raise FieldcastError(f"time_column is {time_column!r}: give the name of one column.")
    if time_column is not None:
        if time_column in frame.columns:
            return frame[time_column], frame.drop(columns=[time_column])
        if time_column in frame.index.names:
            return index.get_level_values(time_column), frame
        raise FieldcastError(
            f"{source} has no time column '{time_column}'{did_you_mean(time_column, map(str, frame.columns))}: it has "
            f"{', '.join(map(str, frame.columns[:6]))}."
        )
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)) or (len(index) and _is_stamp(index[0])):
        return index, frame
    if frame.shape[1] and len(frame) and frame.columns.nlevels == 1:
        first = frame.iloc[:, 0]
        named = str(frame.columns[0]).lower() in TIME_NAMES
        if named or pd.api.types.is_datetime64_any_dtype(first) or _is_stamp(first.iloc[0]):
            return first, frame.iloc[:, 1:]
    if len(index) and (not pd.api.types.is_integer_dtype(index) or row_numbers(index, source) is None):
        return index, frame  # days written as 20120301; or neither dates nor row numbers, and refused with its row
    if not isinstance(index, pd.RangeIndex):
        gone = np.diff(index.to_numpy()) != 1
        if gone.any():
            row = 1 + int(np.flatnonzero(gone)[0])
            raise FieldcastError(
                f"the index of {source} skips from {index[row - 1]} to {index[row]} at row {row}, so that rows without "
                "timestamps cannot be counted: give an index of dates, or reset_index(drop=True) where none is missing."
            )
    return None, frame


def _is_stamp(cell: object) -> bool:
    return looks_like_stamp(cell) if isinstance(cell, str) else hasattr(cell, "year")
