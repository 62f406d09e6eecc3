"""Wide CSV and Parquet: read strictly, refused with row, column and text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.formats import open_readings
from fieldcast.errors import FieldcastError

START = {"start": "2020-02-03", "frequency": "1h"}
PLAIN = "time,a,b\n2020-02-03 00:00,1,2\n2020-02-03 01:00,3,\n2020-02-03 02:00,NA,0\n"


def file(folder: Path, content: str | bytes, name: str = "flow.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN + "\n\n",
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ", "),
        PLAIN.replace("time", ""),
        PLAIN.replace("time", "Wann"),
        PLAIN.replace("a,b", '"a","b"').replace(",1,", ',"1",'),
        PLAIN.replace("NA", "nan"),
        b"\xef\xbb\xbf" + PLAIN.encode(),
    ],
)
def test_one_table_in_many_spellings(tmp_path: Path, content: str | bytes) -> None:
    readings = open_readings(file(tmp_path, content))
    assert readings.nodes == ("a", "b") and readings.frequency == "1h" and readings.meta.name == "flow"
    assert readings.observed[..., 0].tolist() == [[True, True], [True, False], [False, True]]
    assert readings.values[2, 1, 0] == 0 and readings.time[0] == np.datetime64("2020-02-03")


def test_without_a_time_column(tmp_path: Path) -> None:
    path = file(tmp_path, "773869,767541\n1,2\n3,4\n")
    assert open_readings(path, **START).nodes == ("773869", "767541")
    with pytest.raises(FieldcastError, match=r"flow.csv has no timestamps and so needs a start and a frequency"):
        open_readings(path)
    assert open_readings(file(tmp_path, "tunnel\n1\n2\n"), **START).shape == (2, 1, 1)


def test_a_time_column_elsewhere(tmp_path: Path) -> None:
    path = file(tmp_path, "a,when\n1,2020-02-03\n2,2020-02-04\n")
    with pytest.raises(FieldcastError, match=r"'2020-02-03' in column 'when'.* give --time-column when"):
        open_readings(path)
    assert open_readings(path, time_column="when").frequency == "1D"
    with pytest.raises(FieldcastError, match="has no time column 'wen': its header begins with a, when"):
        open_readings(path, time_column="wen")


def test_a_column_that_only_counts(tmp_path: Path) -> None:
    path = file(tmp_path, ",a,b\n0,1,2\n1,3,4\n")  # as pandas writes a frame without dates
    with pytest.raises(FieldcastError, match=r"time column of .* holds numbers \(0, 1\), .* --start"):
        open_readings(path)
    assert open_readings(path, **START).nodes == ("a", "b")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("time,a,a\n2020-02-03,1,2\n", "names the columns 2 and 3 both 'a'"),
        ("time,a,\n2020-02-03,1,2\n", "column 3 of .* has no name"),
        (
            "time,a\n2020-02-03,1\n2020-02-04,off\n",
            r"row 1 \(line 3\) of .* holds 'off' in column 'a', which is no number",
        ),
        ("time;a\n2020-02-03;1,5\n", "'1,5' in column 'a', .* with a point, not a comma"),
        ("time,a\n2020-02-03,True\n", "holds 'True' in column 'a'"),
        ("time,a\n2020-02-03,1 2\n", "holds '1 2' in column 'a'"),
        ("time,a\n2020-02-03,inf\n", "infinite or too large value at row 0, node 'a'"),
        ("time,a\n2020-02-03,1e300\n", "infinite or too large value at row 0, node 'a'"),
        ("time,a,b\n2020-02-03,1,2\n2020-02-04,1\n", "line 3 of .* has 2 cells where the header has 3"),
        ("time,a\n2020-02-03,1,2\n", "line 2 of .* has 3 cells where the header has 2"),
        ("time,a\n2020-02-03,1\n\n2020-02-04,1\n", "line 3 of .* is empty"),
        ("time,a\n", "has a header and no rows"),
        ("time\n2020-02-03\n2020-02-04\n", "has a time column and no other"),
        ("", "does not begin with a header"),
        ("2020-02-03,1,2\n2020-02-04,1,2\n", "the first line of .* looks like readings"),
        ("64.375,67.625\n62.6,68.5\n", "the first line of .* looks like readings"),
        ("1,0,1\n0,1,0\n", "both '1': .* if the file has no header line, add one"),
        ("time,a\n2020-02-03,1\nsoon,2\n", "row 1 of .*flow.csv, 'soon', is not a date"),
        ("time,a\n2020-02-03,1\n,2\n", "row 1 of .*flow.csv has no timestamp"),
        ("time,station,flow\n2020-02-03,1,2\n", "looks like a long table, .*node_column='station'"),
        (
            "time,Stra\xdfe\n2020-02-03,1\n".encode("latin-1"),
            r"is not UTF-8 text \(byte 0xDF in line 1\): save it as UTF-8",
        ),
        (b"time,a\n2020-02-03,1\n2020-02-04,\xe4\n", "byte 0xE4 in line 3"),
        ("time,a\n2020-02-03,1\n".encode("utf-16"), "is not UTF-8 text"),
        (b"time,a\n2020-02-03,\0\n", "line 2 of .* holds bytes that belong in no CSV"),
        (b"time,a\r2020-02-03,1\r", "line 1 of .* holds bytes that belong in no CSV"),
    ],
)
def test_what_is_wrong_is_refused_where_it_is(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence) as refusal:
        open_readings(file(tmp_path, content), frequency="1D")
    assert "\n" not in str(refusal.value)


def test_the_first_wrong_cell_is_named_row_by_row(tmp_path: Path) -> None:
    path = file(tmp_path, "time,a,b\n2020-02-03,1,2\n2020-02-04,3,x\n2020-02-05,y,4\n")
    with pytest.raises(FieldcastError, match=r"row 1 \(line 3\) of .* holds 'x' in column 'b'"):
        open_readings(path)


def test_local_time_with_its_repeated_hour(tmp_path: Path) -> None:
    utc = pd.date_range("2012-11-04 06:00", periods=60, freq="15min", tz="UTC")
    wall = utc.tz_convert("America/Los_Angeles").strftime("%Y-%m-%d %H:%M")
    path = file(tmp_path, "time,a\n" + "".join(f"{stamp},{row}\n" for row, stamp in enumerate(wall)))
    with pytest.raises(FieldcastError, match=r"goes back .* --timezone America/Los_Angeles"):
        open_readings(path)
    readings = open_readings(path, timezone="America/Los_Angeles")
    assert (readings.time == utc.tz_localize(None).to_numpy()).all() and not readings.segment.any()


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.floats(-1e5, 1e5, width=32)), min_size=3, max_size=3), min_size=2, max_size=9
    )
)
def test_any_numbers_come_back_from_csv_and_parquet(tmp_path_factory: Any, rows: list[list[float | None]]) -> None:
    folder = tmp_path_factory.mktemp("table")
    values = np.array(rows, dtype=np.float32)
    index = pd.date_range("2020-02-03", periods=len(rows), freq="h", name="time")
    frame = pd.DataFrame(values, index=index, columns=["a", "b", "c"])
    frame.to_csv(folder / "flow.csv")
    frame.to_parquet(folder / "flow.parquet")
    for name in ("flow.csv", "flow.parquet"):
        readings = open_readings(folder / name)
        assert np.array_equal(readings.values[..., 0], values, equal_nan=True)
        assert (readings.observed[..., 0] == np.isfinite(values)).all()


@pytest.mark.parametrize("indexed", [True, False])
def test_parquet_with_dates_in_the_index_or_a_column(tmp_path: Path, indexed: bool) -> None:
    frame = pd.DataFrame({"when": pd.date_range("2020", periods=3, freq="h"), "a": [1, 2, None], "b": [0, 1, 2]})
    (frame.set_index("when") if indexed else frame).to_parquet(tmp_path / "flow.parquet")
    readings = open_readings(tmp_path / "flow.parquet")
    assert readings.nodes == ("a", "b") and readings.observed[..., 0].sum() == 5


def test_parquet_without_dates(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.0, 2.0]}).to_parquet(tmp_path / "flow.parquet")
    assert open_readings(tmp_path, **START).shape == (2, 1, 1)
    with pytest.raises(FieldcastError, match="needs a start and a frequency"):
        open_readings(tmp_path)


def test_parquet_refusals(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "flow.parquet"
    pd.DataFrame({"a": [1.0, 2.0], "b": ["3", "x"]}).to_parquet(path)
    with pytest.raises(FieldcastError, match=r"row 1 of .* holds 'x' in column 'b'"):
        open_readings(path, **START)
    pq.write_table(pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["a", "a"]), path)
    with pytest.raises(FieldcastError, match="has the column 'a' twice"):
        open_readings(path, **START)
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(FieldcastError, match="is damaged or no Parquet file"):
        open_readings(path, **START)
