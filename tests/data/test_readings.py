"""Readings: immutable, labelled, missing cells as a mask, zero a reading unless the rule says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fieldcast.data.meta import Meta
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

HOURLY: dict[str, Any] = {"start": "2020-02-03", "frequency": "1h"}


def some(rows: int = 6, nodes: int = 3, channels: int = 2, **options: Any) -> Readings:
    values = np.arange(rows * nodes * channels, dtype=np.float32).reshape(rows, nodes, channels)
    return Readings.from_array(values, **{**HOURLY, **options})


def test_readings_are_checked_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldcast.data.readings._BLOCK", 4)  # two rows of two nodes
    values, observed = np.arange(14.0).reshape(7, 2), np.ones((7, 2), dtype=bool)
    observed[[1, 6], [0, 1]] = False
    readings = Readings.from_array(values, observed=observed, **HOURLY)
    assert np.array_equal(readings.values[..., 0], np.where(observed, values, np.nan), equal_nan=True)
    values[5, 1] = np.inf
    with pytest.raises(FieldcastError, match="row 5, node 'node1'"):
        Readings.from_array(values, **HOURLY)


def test_an_array_of_two_dimensions_has_one_channel() -> None:
    readings = Readings.from_array(np.ones((4, 3)), **HOURLY)
    assert readings.shape == (4, 3, 1) and readings.channels == ("value",) and readings.targets == ("value",)
    assert readings.nodes == ("node0", "node1", "node2") and readings.values.dtype == np.float32
    assert "4 rows x 3 nodes x 1 channels every 1h, 2020-02-03T00:00 to 2020-02-03T03:00, 0.00 %" in repr(readings)


def test_missing_is_a_mask_and_zero_is_a_reading() -> None:
    values = np.array([[0.0, np.nan], [1.0, 2.0]])
    readings = Readings.from_array(values, observed=np.array([[True, True], [False, True]]), **HOURLY)
    assert readings.observed[..., 0].tolist() == [[True, False], [False, True]]
    assert (np.isnan(readings.values) == ~readings.observed).all() and readings.values[0, 0, 0] == 0
    masked = np.ma.masked_array(np.ones((2, 2)), mask=[[0, 1], [0, 0]])
    assert Readings.from_array(masked, **HOURLY).observed[..., 0].tolist() == [[True, False], [True, True]]


def test_zero_is_missing_where_the_rule_says_so() -> None:
    values = np.zeros((2, 1, 2))
    meta = Meta(null_rule="zero is missing", targets=("speed",))
    readings = Readings.from_array(values, channels=["speed", "rain"], meta=meta, **HOURLY)
    assert not readings.observed[..., 0].any() and readings.observed[..., 1].all()
    assert np.isnan(readings.values[..., 0]).all()


def test_nothing_can_be_written_to_and_nothing_given_is_touched() -> None:
    values = np.ones((3, 2, 1), dtype=np.float32)
    given_values = values.copy()
    readings = Readings.from_array(values, meta=Meta(null_rule="zero is missing"), **HOURLY)
    for array in (readings.values, readings.observed, readings.segment):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    values[0] = 7
    assert (readings.values == given_values).all(), "the readings hold a copy"


def test_an_array_handed_over_is_not_copied() -> None:
    values = np.ones((3, 2, 1), dtype=np.float32)
    assert np.shares_memory(Readings.from_array(values, copy=False, **HOURLY).values, values)


def test_values_lie_in_order_in_memory() -> None:
    frame_like = np.asfortranarray(np.random.default_rng(0).normal(size=(50, 4)))
    assert Readings.from_array(frame_like, **HOURLY).values.flags.c_contiguous


def test_one_unnamed_channel_takes_the_name_of_the_one_target() -> None:
    readings = Readings.from_array(np.ones((2, 2)), meta=Meta(targets=("flow",)), **HOURLY)
    assert readings.channels == readings.targets == ("flow",)


@pytest.mark.parametrize(
    ("values", "options", "sentence"),
    [
        (np.ones(3), {}, r"has shape \(3,\): give"),
        (np.ones((0, 3)), {}, "give"),
        (np.array([["a", "b"]]), {}, "holds values of type"),
        (np.array([[None, 1]]), {}, "holds values of type object"),
        (np.ones((2, 2), dtype=complex), {}, "complex"),
        (np.ones((2, 2), dtype=bool), {}, "type bool"),
        (np.array([[1.0, 2.0], [np.inf, 3.0]]), {"nodes": ["a", "b"]}, "infinite .* row 1, node 'a', channel 'value'"),
        (np.array([[1e300, 2.0]]), {}, "infinite or too large value at row 0"),
        (np.ones((2, 2)), {"nodes": ["a", "a"]}, "the node name at position 1 of the array 'a' is repeated"),
        (np.ones((2, 2)), {"nodes": ["a", " "]}, "position 1 of the array is empty"),
        (np.ones((2, 2)), {"nodes": ["a", "b\n"]}, "position 1 of the array holds the character U\\+000A"),
        (np.ones((2, 2)), {"nodes": ["a", "b\u2028c"]}, "the character U\\+2028, which cannot be printed: rename"),
        (np.ones((2, 2)), {"nodes": ["a", "\ud800"]}, "holds the character U\\+D800"),
        (np.ones((2, 2, 2)), {"channels": ["a", "b\x00"]}, "the channel name at position 1"),
        (np.ones((2, 2)), {"nodes": ["a"]}, "has 2 nodes but 1 node names"),
        (np.ones((2, 2, 2)), {"channels": ["a", "a"]}, "'a' is repeated"),
        (np.ones((2, 2)), {"observed": np.ones((3, 2))}, "observed has shape"),
        (np.ones((2, 2)), {"coordinates": np.ones((3, 2))}, r"coordinates of the array have shape \(3, 2\)"),
        (np.ones((2, 2)), {"coordinates": [[1, 2], [116, 40]]}, "node 'node1' of the array has the latitude 116"),
        (np.ones((2, 2)), {"grid": (2, 2)}, "grid 2 x 2 of the array does not hold its 2 nodes"),
        (np.ones((2, 2)), {"channels": ["flow"], "meta": Meta(targets=("flaw",))}, "did you mean 'flow'"),
        (np.ones((2, 2)), {"meta": Meta(null_rule="-1")}, "null rule '-1'"),
    ],
)
def test_what_is_wrong_is_refused_in_a_sentence(values: np.ndarray, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence) as refusal:
        Readings.from_array(values, **{**HOURLY, **options})
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")


def test_labels_and_places() -> None:
    coordinates = np.array([[40.0, 116.0], [41.0, 117.0], [42.0, 118.0], [43.0, 119.0]])
    readings = Readings.from_array(
        np.ones((3, 4)), coordinates=coordinates, grid=(2, 2), meta=Meta(units={"value": "mph"}), **HOURLY
    )
    assert readings.coordinates is not None and (readings.coordinates == coordinates).all()
    assert readings.grid == (2, 2) and readings.unit("value") == "mph" and readings.unit("x") == ""
    fewer = readings.select(nodes=["node2", "node0"])
    assert fewer.nodes == ("node2", "node0") and fewer.grid is None
    assert fewer.coordinates is not None and fewer.coordinates[0].tolist() == [42, 118]
    assert readings.select(rows=slice(1, 3)).shape == (2, 4, 1)
    with pytest.raises(FieldcastError, match=r"has no node 'nod1'.*did you mean 'node1'"):
        readings.select(nodes=["nod1"])


def test_aligned_to_other_nodes_what_is_absent_is_unobserved() -> None:
    readings = some()
    aligned = readings.align(["node2", "new", "node0"])
    assert aligned.nodes == ("node2", "new", "node0") and not aligned.observed[:, 1].any()
    assert (aligned.values[:, [0, 2]] == readings.values[:, [2, 0]]).all()
    assert readings.align(readings.nodes) is readings


def test_channels_by_name() -> None:
    readings = some()
    assert readings.channel_index(["channel1", "channel0"]).tolist() == [1, 0]
    with pytest.raises(FieldcastError, match="has no channel 'channel2'"):
        readings.channel_index(["channel2"])


def test_the_wall_clock_of_a_timezone() -> None:
    wall = pd.date_range("2012-11-04", periods=30, freq="1h", tz="America/Los_Angeles").tz_localize(None)
    readings = Readings.from_array(np.ones((30, 2)), wall, timezone="America/Los_Angeles")
    assert (readings.local_time() == wall).all() and readings.time[0] == np.datetime64("2012-11-04T07:00")
    assert readings.local_time(readings.following(29, 1))[0] == wall[-1] + pd.Timedelta("1h")
    assert readings.timezone == "America/Los_Angeles" and some().timezone is None


def test_the_steps_that_follow() -> None:
    months = Readings.from_array(np.ones((3, 1)), start="2000-11-01", frequency="1MS")
    assert months.following(2, 2).astype("datetime64[D]").tolist() == [
        np.datetime64("2001-02-01").item(), np.datetime64("2001-03-01").item()
    ]  # fmt: skip


def test_the_hash_is_of_the_data() -> None:
    readings = some()
    assert readings.hash == some().hash == readings.with_meta(default_split="tail").hash
    assert readings.hash != some(nodes=4).hash
    assert readings.hash != some(start="2020-02-04").hash
    assert readings.hash != readings.select(rows=slice(0, 5)).hash


def test_other_rules_over_the_same_readings() -> None:
    values = np.array([[0.0, 1.0], [2.0, 0.0]])
    readings = Readings.from_array(values, **HOURLY)
    assert readings.with_meta(scored_cells="all cells").meta.scored_cells == "all cells"
    stricter = readings.with_meta(null_rule="zero is missing")
    assert stricter.observed.sum() == 2 and np.isnan(stricter.values).sum() == 2
    assert readings.observed.all(), "the first ones stay as they were"
    assert stricter.hash == Readings.from_array(values, meta=Meta(null_rule="zero is missing"), **HOURLY).hash
    with pytest.raises(FieldcastError, match="open the data again with the new null rule"):
        stricter.with_meta(null_rule="none")
    with pytest.raises(FieldcastError, match="no channel 'flow' to forecast"):
        readings.with_meta(targets=("flow",))


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 8), st.integers(1, 4), st.integers(1, 3)),
        elements=st.one_of(st.just(np.nan), st.just(0.0), st.floats(-1e6, 1e6, width=32)),
    )
)
def test_what_is_observed_is_exactly_what_was_given(values: np.ndarray) -> None:
    readings = Readings.from_array(values, **HOURLY)
    assert np.array_equal(readings.values, values, equal_nan=True)
    assert (readings.observed == np.isfinite(values)).all()
