"""DataFrames, wide and long."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.formats import open_readings
from fieldcast.errors import FieldcastError

HOURS = pd.date_range("2020-02-03", periods=3, freq="h")
START = {"start": "2020-02-03", "frequency": "1h"}
CELLS = {"a": [1.0, np.nan, 0.0], "b": [4, 5, 6]}


@pytest.mark.parametrize(
    ("frame", "options"),
    [
        (pd.DataFrame(CELLS, index=HOURS), {}),
        (pd.DataFrame(CELLS, index=HOURS.to_period("h")), {}),
        (pd.DataFrame(CELLS, index=HOURS.astype(str)), {}),
        (pd.DataFrame({"time": HOURS, **CELLS}), {}),
        (pd.DataFrame({"Time": HOURS.astype(str), **CELLS}), {}),
        (pd.DataFrame({**CELLS, "when": HOURS}), {"time_column": "when"}),
        (pd.DataFrame(CELLS, index=HOURS.rename("when")), {"time_column": "when"}),
        (pd.DataFrame(CELLS), START),
        (pd.DataFrame(CELLS, index=[7, 8, 9]), START),
        (pd.DataFrame({"a": pd.array([1, None, 0], dtype="Int64"), "b": ["4", Decimal(5), 6]}, index=HOURS), {}),
    ],
)
def test_a_wide_frame_in_many_ways(frame: pd.DataFrame, options: dict[str, Any]) -> None:
    readings = open_readings(frame, **options)
    assert readings.nodes == ("a", "b") and (readings.time == HOURS.to_numpy()).all()
    assert readings.observed[..., 0].tolist() == [[True, True], [False, True], [True, True]]
    assert readings.values[2, 0, 0] == 0 and readings.values[:, 1, 0].tolist() == [4, 5, 6]


def test_the_frame_is_not_held() -> None:
    frame = pd.DataFrame({"a": np.ones(3, dtype=np.float32)}, index=HOURS)
    readings = open_readings(frame)
    frame.iloc[0, 0] = 9
    assert readings.values[0, 0, 0] == 1


def test_a_series_is_one_node() -> None:
    assert open_readings(pd.Series([1.0, 2.0, 3.0], index=HOURS, name="tunnel")).nodes == ("tunnel",)


@pytest.mark.parametrize("names", [("node", "channel"), ("channel", "node"), (None, None)])
def test_two_levels_of_columns_are_node_and_channel(names: tuple[str | None, str | None]) -> None:
    columns = pd.MultiIndex.from_product([["a", "b", "c"], ["flow", "speed"]], names=["node", "channel"])
    frame = pd.DataFrame(np.arange(18.0).reshape(3, 6), index=HOURS, columns=columns)
    if names[0] == "channel":
        frame = frame.swaplevel(axis=1)
    else:
        frame.columns = frame.columns.set_names(names)
    readings = open_readings(
        frame.sample(frac=1, axis=1, random_state=1), nodes=["a", "b", "c"], channels=["flow", "speed"]
    )
    assert (readings.values == np.arange(18).reshape(3, 3, 2)).all()
    with pytest.raises(FieldcastError, match="has no column for node 'b', channel 'speed'"):
        open_readings(frame.drop(columns=[frame.columns[3]]))


@pytest.mark.parametrize(
    ("frame", "options", "sentence"),
    [
        (pd.DataFrame(CELLS), {}, "the frame has no timestamps"),
        (pd.DataFrame(CELLS, index=[0, 1, 3]), START, "index of the frame skips from 1 to 3 at row 2"),
        (pd.DataFrame(CELLS, index=["x", "y", "z"]), START, "row 0 of the frame, 'x', is not a date"),
        (pd.DataFrame({"a": ["1", "2", "wet"]}, index=HOURS), {}, "row 2 of the frame holds 'wet' in column 'a'"),
        (pd.DataFrame({"a": [True, False, True]}, index=HOURS), {}, "row 0 of the frame holds 'True' in column 'a'"),
        (pd.DataFrame({"a": HOURS}, index=HOURS), {}, "holds '2020-02-03 00:00:00' in column 'a'"),
        (pd.DataFrame({"a": [1j, 2, 3]}, index=HOURS), {}, "column 'a' of the frame holds complex numbers"),
        (pd.DataFrame(np.ones((3, 2)), index=HOURS, columns=["a", "a"]), {}, "the column 'a' twice"),
        (pd.DataFrame(index=HOURS), {}, "has no column beside its time"),
        (pd.DataFrame(CELLS, index=HOURS), {"time_column": "whn"}, "has no time column 'whn'"),
        (pd.DataFrame(CELLS, index=HOURS), {"node_column": "a"}, "needs time_column beside node_column"),
    ],
)
def test_what_is_wrong_is_refused(frame: pd.DataFrame, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence):
        open_readings(frame, **options)


LONG = pd.DataFrame(
    {
        "when": np.tile(HOURS, 2),
        "station": np.repeat(["y", "x"], 3),
        "flow": [1.0, 2, 3, 4, 5, 6],
        "speed": [10.0, 20, 30, 40, 50, 60],
        "weather": ["wet"] * 6,
    }
)
KEYS = {"time_column": "when", "node_column": "station"}


def test_a_long_frame() -> None:
    readings = open_readings(LONG.drop(index=4), channels=["flow", "speed"], targets="flow", **KEYS)
    assert readings.nodes == ("y", "x") and readings.channels == ("flow", "speed")
    assert readings.observed[..., 0].tolist() == [[True, True], [True, False], [True, True]]
    assert readings.values[2].tolist() == [[3, 30], [6, 60]]
    assert open_readings(LONG.drop(columns="weather"), **KEYS).channels == ("flow", "speed")
    assert open_readings(LONG, channels="flow", nodes=["x"], **KEYS).values[..., 0, 0].tolist() == [4, 5, 6]


def test_long_refusals() -> None:
    with pytest.raises(FieldcastError, match="row 0 of the frame holds 'wet' in column 'weather'"):
        open_readings(LONG, **KEYS)
    with pytest.raises(FieldcastError, match=r"has no column 'stations' .did you mean 'station'"):
        open_readings(LONG, time_column="when", node_column="stations")
    with pytest.raises(FieldcastError, match="has no rows"):
        open_readings(LONG[:0], **KEYS)
    with pytest.raises(FieldcastError, match="no column beside time and node"):
        open_readings(LONG[["when", "station"]], **KEYS)
    with pytest.raises(FieldcastError, match="row 2 of the frame has no 'station'"):
        open_readings(LONG.assign(station=["y", "y", None, "x", "x", "x"]), channels="flow", **KEYS)


def test_repeated_pairs_of_a_long_frame() -> None:
    twice = pd.concat([LONG, LONG.iloc[[1]].assign(flow=8.0)], ignore_index=True)
    with pytest.raises(
        FieldcastError, match="row 6 of the frame repeats node 'y' at 2020-02-03 01:00:00: give --repeated"
    ):
        open_readings(twice, channels="flow", **KEYS)
    for how, expected in (("first", 2), ("last", 8), ("mean", 5)):
        readings = open_readings(twice, channels="flow", repeated=how, **KEYS)
        assert readings.values[..., 0].tolist() == [[1, 4], [expected, 5], [3, 6]]


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(12)))
def test_the_order_of_long_rows_does_not_matter(order: list[int]) -> None:
    frame = pd.DataFrame(
        {"t": np.repeat(pd.date_range("2020", periods=4, freq="D"), 3), "n": list("abc") * 4, "v": range(12)}
    )
    readings = open_readings(frame.iloc[order], time_column="t", node_column="n", nodes=["a", "b", "c"])
    assert (readings.values[..., 0] == np.arange(12).reshape(4, 3)).all()
