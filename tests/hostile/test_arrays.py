"""Arrays in memory and in archives, DataFrames, xarray: what they say cell by cell,
or a refusal; no pickle is opened."""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st

from fieldcast.data.formats import open_readings
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError
from tests.hostile.common import ODD, Canary, attempt, harmed, many, sentence, some

START = {"start": "2020-02-03", "frequency": "1h"}
HOURS = np.arange("2020-02-03T00", "2020-02-03T03", dtype="datetime64[h]")
PLAIN = np.arange(6.0).reshape(3, 2)
KINDS = [
    "f2",
    "f4",
    "f8",
    ">f8",
    "g",
    "i1",
    "i8",
    "u8",
    ">i4",
    "?",
    "c8",
    "c16",
    "M8[s]",
    "m8[h]",
    "U3",
    "S3",
    "V4",
    "O",
]
NUMBERS = [0.0, -0.0, 1.5, -7.0, 1e30, 1e39, math.inf, -math.inf, math.nan, 127.0, 2.0**53]


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """An array of any kind, shape and order of memory."""
    shape = draw(
        st.sampled_from([(3, 2), (3, 2), (3, 2, 1), (1, 1), (3, 2, 2), (), (3,), (0, 2), (2, 0), (1, 2, 3, 4)])
    )
    values = np.array([draw(st.sampled_from(NUMBERS)) for _ in range(math.prod(shape))]).reshape(shape)
    with np.errstate(all="ignore"):
        array = values.astype(draw(st.sampled_from(KINDS + ["f8"] * 12)))
    how = draw(st.sampled_from(["plain", "plain", "fortran", "reversed", "strided", "read-only", "masked"]))
    if how == "fortran":
        array = np.asfortranarray(array)
    elif how == "reversed" and array.ndim:
        array = array[::-1]
    elif how == "strided" and array.ndim:
        array = np.repeat(array, 2, axis=0)[::2]
    elif how == "masked":
        array = np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) % 3 == 0)
    elif how == "read-only":
        array.setflags(write=False)
    return array


def check(readings: Readings, given_array: np.ndarray) -> None:
    """Compare cell by cell, in plain Python."""
    assert given_array.dtype.kind in "iuf", "nothing else is a number"
    masked = np.ma.getmaskarray(given_array) if isinstance(given_array, np.ma.MaskedArray) else None
    for place in np.ndindex(given_array.shape):
        at = place if len(place) == 3 else (*place, 0)
        missing = masked is not None and bool(masked[place])
        cell = math.nan if missing else float(np.asarray(given_array)[place])
        assert readings.observed[at] == (not math.isnan(cell))
        np.testing.assert_array_equal(readings.values[at], np.float32(cell))


@some(50)
@given(arrays())
@example(PLAIN.astype("m8[h]"))  # hours were read as numbers
@pytest.mark.filterwarnings("ignore:.*overflow.*")
def test_an_array_is_read_cell_by_cell_or_refused(tmp_path: Path, array: np.ndarray) -> None:
    readings = attempt(lambda: open_readings(array, **START))
    if readings is not None:
        check(readings, array)
    plain = np.asarray(array)
    for name, content, options in (
        ("pems.npz", {"data": plain}, START),
        ("data.npz", {"values": plain, "timestamps": HOURS[: len(plain) if plain.ndim else 0]}, {}),
    ):
        np.savez(tmp_path / name, **content)  # type: ignore[arg-type]
        readings = attempt(lambda at=name, how=options: open_readings(tmp_path / at, **how), name)
        if readings is not None:
            check(readings, plain)


def test_the_arrays_above_are_read_at_times() -> None:
    for array in (
        PLAIN,
        PLAIN.astype(">f8")[::-1],
        np.asfortranarray(PLAIN.astype("f2")),
        np.ma.masked_array(PLAIN, PLAIN > 3),
    ):
        check(open_readings(array, **START), array)


def header(text: str) -> bytes:
    """The bytes of a .npy file with any header, and few numbers behind it."""
    line = text.encode("latin-1")
    line += b" " * (63 - (len(line) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + b"\0" * 48


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


HEADERS = [
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000000), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 2), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 2), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 400 + ", 2), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }",
    "{'descr': 'canary.sing', 'fortran_order': False, 'shape': (3, 2), }",
    "__import__('pathlib').Path('sung').touch()",
    "(" * 3000,
    "[" * 200 + "]" * 200,
    "",
]


@pytest.mark.parametrize("text", HEADERS, ids=lambda text: text[-40:])
def test_forged_headers_of_arrays(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data", "values"):
        stamps = io.BytesIO()
        np.save(stamps, HOURS)
        archive(tmp_path / f"{name}.npz", {f"{name}.npy": header(text), "timestamps.npy": stamps.getvalue()})
        with pytest.raises(FieldcastError) as caught:
            open_readings(tmp_path / f"{name}.npz", **(START if name == "data" else {}))
        sentence(caught.value, f"{name}.npz")
    assert not (tmp_path / "sung").exists()


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    sung = tmp_path / "sung"
    evil = np.array([[Canary(sung), 1], [1, 1]], dtype=object)
    np.savez(tmp_path / "a.npz", data=evil, allow_pickle=True)
    np.savez(tmp_path / "b.npz", values=PLAIN, timestamps=HOURS, node_ids=evil[0], allow_pickle=True)
    (tmp_path / "c.npz").write_bytes(pickle.dumps(Canary(sung)))
    archive(tmp_path / "d.npz", {"data.npy": pickle.dumps(Canary(sung))})
    archive(tmp_path / "e.npz", {"data": pickle.dumps(Canary(sung))})
    for name in "abcde":
        for format in (None, "common" if name == "b" else "pems_npz"):
            with pytest.raises(FieldcastError) as caught:
                open_readings(tmp_path / f"{name}.npz", format=format, **({} if name == "b" else START))
            sentence(caught.value, f"{name}.npz")
    assert attempt(lambda: open_readings(evil, **START)) is None
    assert not sung.exists()


def test_a_member_that_unpacks_to_far_more_than_it_says(tmp_path: Path) -> None:
    """64 MB of zeros in 64 kB: only the six numbers of the header are taken out."""
    shape = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }"
    path = archive(tmp_path / "bomb.npz", {"data.npy": header(shape) + b"\0" * 2**26})
    assert path.stat().st_size < 100_000
    readings = attempt(lambda: open_readings(path, **START), "bomb.npz")
    assert readings is None or not readings.values.any()


@some(25)
@given(st.data())
def test_a_harmed_archive_is_noticed_or_unharmed(tmp_path: Path, data: st.DataObject) -> None:
    """A zip keeps a CRC of each member: what is read from a harmed one is what was written."""
    path = tmp_path / "data.npz"
    np.savez_compressed(path, values=PLAIN, timestamps=HOURS, node_ids=np.array(["a", "b"]))
    path.write_bytes(data.draw(harmed(path.read_bytes())))
    readings = attempt(lambda: open_readings(path), "data.npz")
    if readings is not None:
        assert readings.values[..., 0].tolist() == PLAIN.tolist() and (readings.time == HOURS).all()


BESIDE = st.sampled_from(
    [np.array("a"), np.array(7), np.array([["a", "b"]]), np.array(["a", "a"]), np.array(["a", "A"]), np.array(["a",
    "a "]),
     np.array([b"a", b"\xff"]), np.array(["a\n", "b"]), np.array([1.0, np.nan]), np.array([1, 2]), np.array(1.0),
     np.array([-1, -2]),
     np.array([3, 2]), np.array([2**63, 2], np.uint64), np.zeros(2), np.array([["x", "y"], ["z", "w"]]), np.full((2,
     2), np.nan),
     np.full((2, 2), np.inf), np.full((2, 2), 1e9), np.zeros((2, 2), complex), np.zeros((2, 2), "M8[s]"), HOURS[0],
     HOURS[::-1],
     np.array(["2020", "NaT", "2021"], "M8[ns]"), np.array([2**62, 2**62 + 1, 2**62 + 2], "M8[s]"),
     HOURS.astype("S"), np.arange(3),
     np.stack([HOURS] * 3), np.arange(3) * 1j, np.zeros(3, [("a", "f4")]), np.array([0, 1, 2], np.float16),
     HOURS.astype("m8[h]")]
)  # fmt: skip


@some(60)
@given(st.sampled_from(["timestamps", "node_ids", "channels", "coords", "grid_shape", "lat", "lon"]), BESIDE)
@example("timestamps", HOURS[0])
@example("node_ids", np.array(7))
@example("channels", np.array("v"))  # was read as a list of letters
@example("coords", np.array([["x", "y"], ["z", "w"]]))
@example("coords", np.zeros((2, 2), "M8[s]"))
@example("grid_shape", np.array([-1, -2]))  # -1 x -2 holds two nodes
@example("timestamps", np.array([2**62, 2**62 + 1, 2**62 + 2], "M8[s]"))
def test_what_stands_beside_the_values(tmp_path: Path, name: str, array: np.ndarray) -> None:
    beside = {"timestamps": HOURS, "lat": np.array([1.0]), "lon": np.array([3.0, 4.0]), "grid_shape": np.array([1, 2])}
    np.savez(tmp_path / "data.npz", **{**beside, "values": PLAIN, name: array})
    readings = attempt(lambda: open_readings(tmp_path / "data.npz"), "data.npz")
    if readings is None:
        return
    assert readings.values[..., 0].tolist() == PLAIN.tolist()
    if name == "node_ids":
        assert list(readings.nodes) == [str(each) for each in array.tolist()]
    if name == "timestamps":
        assert [pd.Timestamp(time) for time in readings.time] == [pd.Timestamp(str(time,
        "ascii") if isinstance(time, bytes) else time) for time in array.tolist()]  # fmt: skip
    if name == "coords" and readings.coordinates is not None:
        np.testing.assert_array_equal(readings.coordinates, array)
        assert not (np.abs(readings.coordinates) > 360).any()


OPTIONS = (
    "start", "frequency", "timezone", "channels", "nodes", "targets", "null_rule", "scored_cells", "unordered",
    "repeated", "fill_gap",
    "time_column", "coordinates", "observed", "grid", "format", "time",
)  # fmt: skip


@some(60)
@given(st.sampled_from(OPTIONS), ODD)
@example("observed", [1])
@example("observed", "x")
@example("grid", ("a", "b"))
@example("format", ["x"])
@example("time_column", ["x"])
@example("time", iter([1]))
@example("coordinates", [[1], [2, 3]])
def test_options_of_any_kind(name: str, value: Any) -> None:
    frame = pd.DataFrame(PLAIN, index=pd.date_range("2020", periods=3), columns=["a", "b"])
    for source, options in ((frame, {}), (PLAIN, START)):
        readings = attempt(lambda source=source, options=options: open_readings(source, **{**options, name: value}))
        if readings is not None:
            assert readings.values[..., 0].tolist() == PLAIN.tolist() or name in (
                "nodes",
                "channels",
                "null_rule",
                "observed",
            )


OBJECTS = [
    1, 2.5, "3", None, np.nan, pd.NA, pd.NaT, True, np.bool_(True), 10**400, 10**30, Decimal("1.5"), Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"), Fraction(1, 3), 1j, [1], {}, np.array([1, 2]), pd.Timestamp("2020"), np.timedelta64(1,
    "h"), b"1", "x\ny", "0x10",
    "1_000", " 7 ", "", float("inf"), np.float32(1.5), object(),
]  # fmt: skip


@some(50)
@given(st.lists(st.sampled_from(range(len(OBJECTS))), min_size=3, max_size=3))
@example([16, 2, 1])  # 1j beside a text was read as 0
@example([9, 0, 0])
@example([13, 0, 0])
@example([27, 0, 0])
def test_a_frame_of_objects(positions: list[int]) -> None:
    cells = [OBJECTS[position] for position in positions]
    column = pd.Series(np.empty(3, dtype=object), index=pd.date_range("2020", periods=3))
    for row, cell in enumerate(cells):
        column.iat[row] = cell
    with np.errstate(over="ignore"):
        readings = attempt(lambda: open_readings(pd.DataFrame({"a": column})), "the frame")
    if readings is not None:
        for cell, value in zip(cells, readings.values[:, 0, 0], strict=True):
            missing = cell is None or cell is pd.NA or cell is pd.NaT or cell == ""
            assert missing or (
                isinstance(cell, (int, float, str, Decimal, Fraction, np.number)) and not isinstance(cell, bool)
            )
            np.testing.assert_array_equal(value, np.float32(math.nan if missing else float(cell)))  # type: ignore[arg-type]


@some(40)
@given(
    st.sampled_from([("time", "node"), ("time", "lat", "lon"), ("node", "time"), ("time",), ("time", "x"), ("time",
    "timestamp"), (), ("time", "node", "lat")]),
    st.sampled_from(KINDS),
    st.sampled_from([None, [1.0, 2.0], [1.0, np.nan], ["a", "b"], [100.0, 200.0], [0.0, 0.0], [1j, 2]]),
)  # fmt: skip
@example(("time", "lat", "lon"), "f8", ["a", "b"])
@example(("time", "node"), "m8[h]", None)
@pytest.mark.filterwarnings("ignore:.*omplex.*")
def test_xarray_of_any_shape_and_kind(dims: tuple[str, ...], kind: str, places: Any) -> None:
    shape = tuple(3 if dim == "time" else 2 for dim in dims)
    array = np.arange(math.prod(shape)).reshape(shape).astype(kind)
    coords = {"time": pd.date_range("2020", periods=3)} if "time" in dims else {}
    if places is not None:
        coords |= {name: (name, places) for name in ("lat", "lon") if name in dims}
        coords |= {name: ("node", places) for name in ("lat", "lon") if "node" in dims and name not in dims}
    source = xr.DataArray(array, dims=dims, coords=coords)
    readings = attempt(lambda: open_readings(source), "xarray object")
    if readings is not None:
        assert kind[-2:-1].isalpha() or np.dtype(kind).kind in "iuf"
        assert sorted(readings.values.ravel().tolist()) == sorted(float(cell) for cell in array.ravel())
        both = xr.Dataset({"a": source, "b": source.astype("M8[s]")})
        assert attempt(lambda: open_readings(both), "xarray object") is None


@many
@given(arrays())
def test_many_arrays(tmp_path: Path, array: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        readings = attempt(lambda: open_readings(array, **START))
    if readings is not None:
        check(readings, array)
