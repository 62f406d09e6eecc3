"""Reading a CSV of numbers strictly: every line checked before pandas may mend anything silently."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fieldcast.data.timestamps import looks_like_stamp
from fieldcast.errors import FieldcastError

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
# Headers under which a first column is the time axis even where its cells are numbers.
TIME_NAMES = frozenset({"time", "timestamp", "timestamps", "datetime", "date_time", "date", "ds"})
# The header of a list of distances between sensors, which is a CSV beside readings and no readings.
_EDGE_HEADERS = ({"from", "to"}, {"source", "target"})


@dataclass(frozen=True)
class Header:
    """What the first lines of a CSV show: its column names, their separator, and its first row."""

    names: tuple[str, ...]
    separator: str
    first_row: tuple[str, ...]


def read_header(path: Path) -> Header:
    """Read the first two lines that hold anything; refuses what is no table in UTF-8."""
    lines = []
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, 1):
            lines.append(_text(path, number, line).lstrip("\ufeff") if number == 1 else _text(path, number, line))
            if number == 2:
                break
    if not lines or not lines[0].strip():
        raise FieldcastError(f"{path} does not begin with a header line: add one with a name for each sensor.")
    outside_quotes = "".join(lines[0].split('"')[::2])
    separator = max(_SEPARATORS, key=outside_quotes.count)
    fields = [tuple(_cells(path, number, line, separator)) for number, line in enumerate(lines, 1)]
    return Header(fields[0], separator, fields[1] if len(fields) > 1 else ())


def is_edge_list(header: Header) -> bool:
    """Tell whether the columns name two ends of an edge, as in ``from,to,cost``."""
    names = [name.lower() for name in header.names]
    return len(names) <= 4 and set(names[:2]) in _EDGE_HEADERS


def time_position(path: Path, header: Header, time_column: str | None) -> int | None:
    """The position of the time column: the named one, or the first where its name or its first cell says so.

    A first column without a name is a row index that somebody wrote out; it counts as time too, and is refused later
    where it only counts rows.
    """
    if time_column is not None:
        if time_column not in header.names:
            few = ", ".join(header.names[:6])
            raise FieldcastError(f"{path} has no time column '{time_column}': its header begins with {few}.")
        return header.names.index(time_column)
    name, cell = header.names[0], header.first_row[0] if header.first_row else ""
    return 0 if not name or name.lower() in TIME_NAMES or looks_like_stamp(cell) else None


def read_csv_table(path: Path, header: Header, time: int | None) -> tuple[np.ndarray, pd.Series | None, list[str]]:
    """Read the readings [rows, columns] float32, the time column as text, and the names of the other columns.

    Blank cells and NA, NaN, null and the like are missing. Refused with line and column are repeated or empty names,
    lines with too few or too many cells, empty lines, cells that are no numbers, and text that is not UTF-8.
    """
    _check_names(path, header, time)
    truth = _check_lines(path, header)
    columns = [i for i in range(len(header.names)) if i != time]
    names = [header.names[i] for i in columns]
    if not columns:
        raise FieldcastError(f"{path} has a time column and no other: add a column for each sensor.")
    kinds = {i: str if i == time else np.float32 for i in range(len(header.names))}
    try:
        if truth:  # pandas would read a column of True and False as 1 and 0
            _refuse_first_text(path, header, time)
        frame = _parse(path, header, kinds)
    except (ValueError, OverflowError):
        _refuse_first_text(path, header, time)
        raise
    if not len(frame):
        raise FieldcastError(f"{path} has a header and no rows: add readings.")
    values = frame.iloc[:, columns].to_numpy(dtype=np.float32)
    return values, None if time is None else frame.iloc[:, time], names


def _parse(path: Path, header: Header, kinds: dict) -> pd.DataFrame:
    with np.errstate(over="ignore"):
        return pd.read_csv(
            path, sep=header.separator, header=0, names=list(range(len(header.names))), index_col=False, dtype=kinds,
            encoding="utf-8-sig", skipinitialspace=True, skip_blank_lines=True,
        )  # fmt: skip


def _check_names(path: Path, header: Header, time: int | None) -> None:
    seen: dict[str, int] = {}
    hint = "if the file has no header line, add one"
    for position, name in enumerate(header.names):
        if not name and position != time:
            raise FieldcastError(f"column {position + 1} of {path} has no name: name it in the header, or, {hint}.")
        if name in seen:
            raise FieldcastError(
                f"the header of {path} names the columns {seen[name] + 1} and {position + 1} both '{name}': give each "
                f"a name of its own, and {hint}."
            )
        seen[name] = position
    # A row of readings in the place of the header: dates, or numbers with decimals throughout.
    names = [name for position, name in enumerate(header.names) if position != time]
    if looks_like_stamp(header.names[0]) or (names and all(_is_decimal(name) for name in names)):
        raise FieldcastError(
            f"the first line of {path} ({', '.join(header.names[:3])}) looks like readings: add a header line with a "
            "name for each column."
        )


def _check_lines(path: Path, header: Header) -> bool:
    """Every line must have as many cells as the header; pandas would fill or drop cells without a word.

    Returns whether a row may hold truth values.
    """
    separator, width = header.separator.encode(), len(header.names)
    empty, truth = 0, False
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, 1):
            line = line.rstrip(b"\r\n")
            if not line.strip():
                empty = empty or number
                continue
            if empty:
                raise FieldcastError(f"line {empty} of {path} is empty: delete it, or write the row that is missing.")
            truth = truth or (number > 1 and any(word in line for word in (b"rue", b"RUE", b"alse", b"ALSE")))
            if not line.isascii() or b"\0" in line or b"\r" in line:
                _text(path, number, line)
            cells = line.count(separator) + 1
            if b'"' in line:
                cells = len(_cells(path, number, _text(path, number, line), header.separator))
            if cells != width:
                raise FieldcastError(
                    f"line {number} of {path} has {cells} cells where the header has {width}: mend that line, or the "
                    "separator."
                )
    return truth


def _cells(path: Path, number: int, line: str, separator: str) -> list[str]:
    """The cells of one line; quotes that do not end in it, and text beside quotes, are refused.

    pandas would join the next line to it, drop cells of the joined line, and read "1"2 as 12.
    """
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True), [])
    except csv.Error:
        raise FieldcastError(
            f"line {number} of {path} has a quote that does not open and close one whole cell of it: mend that line."
        ) from None
    return [cell.strip() for cell in cells]


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FieldcastError(
            f"{path} is not UTF-8 text (byte 0x{line[error.start]:02X} in line {number}): save it as UTF-8."
        ) from None
    if "\0" in text or "\r" in text.rstrip("\r\n"):
        raise FieldcastError(f"line {number} of {path} holds bytes that belong in no CSV: save it as UTF-8 text.")
    return text


def _refuse_first_text(path: Path, header: Header, time: int | None) -> None:
    """Find the first cell that is no number, and refuse it."""
    frame = _parse(path, header, dict.fromkeys(range(len(header.names)), str))
    columns = {header.names[i]: frame.iloc[:, i] for i in range(len(header.names)) if i != time}
    refuse_text_cells(columns, str(path), first_line=2)


def refuse_text_cells(columns: dict[str, pd.Series], source: str, first_line: int | None = None) -> None:
    """Raise for the first cell, row by row, that is there and is no number; return where there is none."""
    first: tuple[int, str, str] | None = None
    for name, column in columns.items():
        number = to_numbers(column)
        text = np.asarray(column.notna()) & np.asarray(number.isna())
        if text.any():
            row = int(np.flatnonzero(text)[0])
            if first is None or row < first[0]:
                first = (row, name, str(column.iloc[row]))
    if first is None:
        return
    row, name, cell = first
    cell = cell if len(cell) <= 40 else f"{cell[:40]} ..."
    where = f"row {row}" + (f" (line {row + first_line})" if first_line is not None else "")
    mend = "write a number, or leave the cell blank where a reading is missing"
    if looks_like_stamp(cell):
        mend = f"if it is the time, give --time-column {name} (in Python time_column='{name}')"
    elif cell.count(",") == 1 and cell.replace(",", "").strip("-+ ").isdigit():
        mend = "write numbers with a point, not a comma"
    raise FieldcastError(f"{where} of {source} holds '{cell}' in column '{name}', which is no number: {mend}.")


def to_numbers(column: pd.Series) -> pd.Series:
    """A column as numbers, NaN for each cell that is none; a number beyond any float is infinite."""
    try:
        return pd.Series(pd.to_numeric(column, errors="coerce"))
    except (ArithmeticError, TypeError, ValueError):  # whole numbers of hundreds of digits, signalling NaN
        return column.map(_as_float).astype(np.float64)


def _as_float(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return math.nan


def _is_decimal(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return "." in text and math.isfinite(number)
