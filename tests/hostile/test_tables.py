"""CSV and Parquet: read right, cell by cell and stamp by stamp, or refused in a sentence that names the file."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fieldcast.data.formats import open_readings
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError
from tests.hostile.common import attempt, harmed, many, sentence, some

START = {"start": "2020-02-03", "frequency": "1h"}
PLAIN = b"time,a,b\n2020-02-03 00:00,1.5,2\n2020-02-03 01:00,-3,\n2020-02-03 02:00,NA,0\n2020-02-03 03:00,4e3,7\n"
MISSING = frozenset(
    {"", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "-NaN", "NULL", "null", "None", "<NA>", "#N/A", "#N/A N/A", "#NA",
     "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)  # fmt: skip
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def cells_of(content: bytes) -> list[list[str]]:
    """The lines of a table as lists of cells, by Python's csv module; a quote may span lines there."""
    text = content.decode("utf-8").removeprefix("\ufeff")
    outside = "".join(text.partition("\n")[0].split('"')[::2])
    separator = max(",;\t", key=outside.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row) or len(row) > 1]


def number(cell: str) -> float:
    """A cell as a number, NaN where missing; nothing else may have been read."""
    if cell in MISSING:
        return math.nan
    assert NUMBER.fullmatch(cell), f"{cell!r} was read as a number"
    return float(Decimal(cell))


def instants(stamp: str) -> set[pd.Timestamp]:
    """What a stamp may mean: day first or month first, the wall clock or UTC."""
    assert re.search(r"\d", stamp), f"{stamp!r} was read as a date"
    read = {pd.Timestamp(stamp), pd.to_datetime(stamp, dayfirst=True)}
    return {each.tz_localize(None) for each in read} | {
        each.tz_convert("UTC").tz_localize(None) for each in read if each.tz
    }


def check(readings: Readings, content: bytes) -> None:
    """Compare every name, cell and stamp with a slow reading of the same bytes."""
    (header, *rows), nodes = cells_of(content), list(readings.nodes)
    timed = header != nodes
    assert header[1 if timed else 0 :] == nodes and len(rows) == len(readings.time)
    expected = np.array([[number(cell) for cell in row[timed:]] for row in rows])
    assert expected.shape == readings.values.shape[:2], "no cell was dropped"
    np.testing.assert_allclose(readings.values[..., 0], expected.astype(np.float32), rtol=3e-7, atol=1e-44)
    assert (readings.observed[..., 0] == np.isfinite(expected)).all()
    stamps = [row[0] for row in rows] if timed else [str(row) for row in range(len(rows))]
    if all(re.fullmatch(r"[0-9]+", stamp) and len(stamp) != 8 for stamp in stamps):  # steps from the start
        expected_times = [{pd.Timestamp(START["start"]) + int(stamp) * pd.Timedelta("1h")} for stamp in stamps]
    else:
        expected_times = [instants(stamp) for stamp in stamps]
    for time, allowed in zip(readings.time, expected_times, strict=True):
        assert pd.Timestamp(time) in allowed, (time, allowed)


def read_csv(folder: Path, content: bytes) -> Readings | None:
    path = folder / "flow.csv"
    path.write_bytes(content)
    with np.errstate(over="ignore"):
        readings = attempt(lambda: open_readings(path), "flow.csv")
        if readings is None:  # as a table without a time column
            readings = attempt(lambda: open_readings(path, **START), "flow.csv")
        if readings is not None:
            check(readings, content)
    return readings


CELLS = st.one_of(
    st.floats(width=32).map(repr), st.integers(-(10**40), 10**40).map(str), st.decimals(allow_nan=False).map(str),
    st.sampled_from(
        [*MISSING, "NAN", "none", "NaT", "inf", "-inf", "+Infinity", "1e400", "-1e400", "1e39", "-0.0", "1e-400",
        "1,5", "1.234,5",
         "1 000", "1_000", "1'000", "1\u00a0000", "0x10", "1e", "1d5", "\u0661\u0662", "\uff11", "True", "false",
         "5%", "--5", ".5",
         "5.", "00012", '"1"2', '1"2"', '"1', '1"', '"1\n"', '"\n 1"', '""', '" 1 "', "2020-01-01", "9" * 400,
         "0." + "1" * 60,
         "1e00000000000000000005", "3" * 60 + "e-59", "1+2j", "\x0c7", "x\u2028y", "\x1b[2J"]
    ),
)  # fmt: skip
STAMPS = st.one_of(
    st.datetimes(pd.Timestamp("1600-01-01").to_pydatetime(), pd.Timestamp("2300-01-01").to_pydatetime()).map(str),
    st.dates().map(str),
    st.sampled_from(
        ["", "NaT", "now", "today", "0001-01-01", "9999-12-31", "1677-09-21", "2262-04-12", "2020-02-30",
        "2020-02-03T24:00",
         "2020-02-03 04:00Z", "2020-02-03 04:00+01:00", "2020-02-03T00:00:60", "20200203", "202002", "1580688000",
         "43864.5",
         "03/02/2020", "13/02/2020", "02/13/2020", "3.2.2020", "Feb 3 2020", "12:00", "2020-W06-1", "2020-034",
         "2020-02-03 1 PM",
         "13/02/2020 12:30 PM", "-2020-02-03", "\u0662\u0660\u0662\u0660-\u0660\u0661-\u0660\u0661",
         "2020-02-03 04", "0", "1e9",
         "2020-02-03 00:00", "2020-02-02 23:00", "99999999999999999999"]
    ),
)  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table of hours in which a few cells, stamps and names are odd."""
    separator, end = draw(st.sampled_from(",;\t")), draw(st.sampled_from(["\n", "\r\n"]))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    table = [[f"2020-02-03 0{row}:00", *[str(row + column) for column in range(columns)]] for row in range(rows)]
    for _ in range(draw(st.integers(0, 3))):
        row, column = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns))
        table[row][column] = draw(CELLS if column else STAMPS)
    if draw(st.booleans()):  # all stamps of one odd kind
        first = draw(
            st.sampled_from(
                ["{}/02/2020", "2020-02-0{} UTC", "2020020{}", "2020-02-0{}T00:00+01:00", "Feb {} 2020", "{}"]
            )
        )
        for row in range(rows):
            table[row][0] = first.format(row + (12 if "/" in first else 1))
    words = st.sampled_from(["a", "A", "a ", " a", "b", "", "1", "nan", "\u00e9", '"q"', "time"])
    names = draw(st.lists(words, min_size=columns, max_size=columns))
    header = [draw(st.sampled_from(["time", "time", "", "date", "x"])), *names]
    lines = [separator.join(line) for line in [header, *table]]
    return (end.join(lines) + draw(st.sampled_from([end, "", end * 2]))).encode("utf-8", "surrogatepass")


FOUND = (
    b'a,b\n1,"2\n ",5\n',  # the joined line had three cells, and the 5 was dropped
    b'a\n"1\n2"\n',  # a sentence of two lines
    b'a,b\n1,2\n3,"4\n',  # pandas' own error
    b'a,"b\n1,2\n',
    b'a,b\n"1"2,3\n',  # read as 12
    b"time,a\n1700-01-01,1\n2200-01-01,2\n",  # "goes back in time"
)


@some(40)
@given(tables())
@example(FOUND[0])
@example(FOUND[1])
@example(FOUND[2])
@example(FOUND[3])
@example(FOUND[4])
@example(FOUND[5])
def test_a_table_is_read_right_or_refused(tmp_path: Path, content: bytes) -> None:
    read_csv(tmp_path, content)


@some(40)
@given(harmed(PLAIN))
def test_a_harmed_table_is_read_right_or_refused(tmp_path: Path, content: bytes) -> None:
    read_csv(tmp_path, content)


@many
@given(st.one_of(tables(), harmed(PLAIN)))
def test_many_tables(tmp_path: Path, content: bytes) -> None:
    read_csv(tmp_path, content)


def test_the_tables_above_are_read_at_times(tmp_path: Path) -> None:
    """The properties would hold of a reader that refuses everything."""
    for content in (
        PLAIN,
        PLAIN.replace(b",", b";"),
        b"\xef\xbb\xbf" + PLAIN,
        b"a,A,a b\n1,2,-0.0\n",
        b'"a",b\r\n" 1 ",nan\r\n',
    ):
        assert read_csv(tmp_path, content) is not None, content
    assert read_csv(tmp_path, b"a\n-0.0\n").values.tobytes() == np.float32(-0.0).tobytes()  # type: ignore[union-attr]


@pytest.mark.parametrize("content", FOUND[:5])
def test_a_quote_stays_within_one_cell_of_one_line(tmp_path: Path, content: bytes) -> None:
    assert read_csv(tmp_path, content) is None


@some(40)
@given(
    st.sampled_from(["0001-01-01", "1678-01-01", "2020-02-29", "2261-12-01", "2262-04-11", "2262-04-01",
    "9999-12-31", "x", "nan", ""]),
    st.sampled_from(["1h", "1D", "1MS", "1ME", "1YS", "0h", "-1h", "1ns", "1000000D", "99999999999999999999h",
    "9000000000s", "inf", "1B",
                     "1000000MS", "1.5h", "12MS"]),
)  # fmt: skip
@example("2262-04-11", "1D")  # went on in 1677
@example("2020-01-01", "1000000D")
def test_counted_steps_stay_in_their_order_or_are_refused(tmp_path: Path, start: str, frequency: str) -> None:
    (tmp_path / "flow.csv").write_text("a\n" + "1\n" * 30)
    readings = attempt(lambda: open_readings(tmp_path / "flow.csv", start=start, frequency=frequency))
    if readings is not None:
        expected = pd.date_range(start, periods=30, freq=frequency).as_unit("ns")
        assert readings.time.tolist() == expected.asi8.tolist()


COLUMNS: list[Any] = [
    pa.array([[1.0], [2.0], [3.0]]), pa.array([{"x": 1}] * 3), pa.array([Decimal("1.5"), None, Decimal(2)]),
    pa.array([True, False, None]), pa.array([1, 2, 3], pa.date32()), pa.array([1, 2, 3], pa.duration("s")),
    pa.nulls(3),
    pa.array(["1", "x\ny", "3"]), pa.array(["1", None, "inf"]), pa.array(["1_000", "2", "3"]), pa.array([b"1",
    b"\xff", b"3"]),
    pa.array(["1", "2", "3"]).dictionary_encode(), pa.array([2**64 - 1, 0, 1], pa.uint64()), pa.array([np.inf, 1, 2]),
    pa.array([1e300, 1, 2]), pa.array([np.nan, -0.0, 1e-320]), pa.array([10**8, 2, 3], pa.timestamp("s",
    tz="Europe/Berlin")),
    pa.array(np.array([1, 2, 3], np.float16)), pa.array(["True", "2", "3"]), pa.array([2**53 + 1, None, 3]),
    pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64())), pa.array([253402214400, 2, 3], pa.timestamp("s")),
]  # fmt: skip


@pytest.mark.parametrize("position", range(len(COLUMNS)))
@pytest.mark.parametrize("place", ["value", "time"])
def test_parquet_columns_of_every_type(tmp_path: Path, position: int, place: str) -> None:
    """As numbers they are what they say cell by cell; as times they are refused or dates."""
    path, column, hours = (
        tmp_path / "flow.parquet",
        COLUMNS[position],
        pa.array(pd.date_range("2020", periods=3, freq="h")),
    )
    values, time = (column, hours) if place == "value" else (pa.array([1.0, 2.0, 3.0]), column)
    pq.write_table(pa.table({"time": time, "a": values}), path)
    readings = attempt(lambda: open_readings(path, frequency=None), "flow.parquet")
    if readings is not None and place == "value":
        cells = [math.nan if cell is None else float(cell) for cell in column.to_pylist()]
        np.testing.assert_array_equal(readings.values[:, 0, 0], np.array(cells, np.float32))
        assert not any(isinstance(cell, bool) for cell in column.to_pylist())
    if readings is not None and place == "time":
        assert pa.types.is_temporal(column.type)


@pytest.mark.parametrize(
    "note",
    [b"{", b"[]", b"{}", b"\xff", b'{"index_columns": 5}', b'{"index_columns": ["zz"], "columns": []}', b"[" * 3000,
     json.dumps({"index_columns": [], "columns": [{"name": "a", "field_name": "a", "pandas_type": "x",
     "numpy_type": "canary.sing",
                                                   "metadata": None}], "column_indexes": []}).encode()],
)  # fmt: skip
def test_forged_notes_of_pandas_in_parquet(tmp_path: Path, note: bytes) -> None:
    path, hours = tmp_path / "flow.parquet", pa.array(pd.date_range("2020", periods=3, freq="h"))
    table = pa.table({"time": hours, "a": pa.array([1.0, 2.0, 3.0])}).replace_schema_metadata({b"pandas": note})
    pq.write_table(table, path)
    with pytest.raises(FieldcastError) as caught:
        open_readings(path)
    sentence(caught.value, "flow.parquet is damaged or no Parquet file")


@some(40)
@given(st.data())
def test_harmed_parquet_is_never_a_traceback(tmp_path: Path, data: st.DataObject) -> None:
    """What a flipped bit of the numbers themselves says cannot be known: Parquet keeps no sums of them."""
    path, hours = tmp_path / "flow.parquet", pa.array(pd.date_range("2020", periods=3, freq="h"))
    pq.write_table(pa.table({"time": hours, "a": pa.array([1.0, 2.0, 3.0])}), path)
    path.write_bytes(data.draw(harmed(path.read_bytes())))
    attempt(lambda: open_readings(path), "flow.parquet")
