"""Windows: one gather a mini-batch, equal to naive slicing, at no cost in memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.graph import Graph
from fieldcast.data.readings import Readings
from fieldcast.data.splits import PARTS
from fieldcast.data.windows import Gather, Windows
from fieldcast.errors import FieldcastError
from tests.tiny import tiny_readings, tiny_values, tiny_windows, with_gaps


@settings(deadline=None, max_examples=40)
@given(data=st.data(), lookback=st.integers(1, 9), horizon=st.integers(1, 9), gap=st.integers(0, 118))
def test_a_batch_equals_naive_slicing(data: st.DataObject, lookback: int, horizon: int, gap: int) -> None:
    readings = with_gaps(tiny_readings(rows=160, nodes=3, channels=4, missing=0.2), [gap])
    names = data.draw(st.permutations(readings.channels))[: data.draw(st.integers(1, 4))]
    targets = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    future = [name for name in names if name not in targets and data.draw(st.booleans())]
    windows = Windows(
        readings, lookback, horizon, channels=names, targets=targets, future=future,
        split=f"rows 0:80 80:120 {120 - lookback}:160",
    )  # fmt: skip
    part = data.draw(st.sampled_from(PARTS))
    starts = windows.starts(part)
    chosen = np.array(data.draw(st.lists(st.sampled_from(starts.tolist()), min_size=1, max_size=5)))
    batch = windows.batch(chosen)
    x, y, ahead = (readings.channel_index(each) for each in (names, targets, future))
    local = readings.local_time()
    calendar = windows.form.calendar.ids(local)
    for i, row in enumerate(chosen):
        middle, stop = row + lookback, row + lookback + horizon
        assert len(set(readings.segment[row:stop])) == 1
        np.testing.assert_array_equal(batch.x[i], readings.values[row:middle][..., x])
        np.testing.assert_array_equal(batch.observed[i], readings.observed[row:middle][..., x])
        np.testing.assert_array_equal(batch.y[i], readings.values[middle:stop][..., y])
        np.testing.assert_array_equal(batch.y_observed[i], readings.observed[middle:stop][..., y])
        np.testing.assert_array_equal(batch.calendar[i], calendar[row:stop])
        if future:
            np.testing.assert_array_equal(batch.future[i], readings.values[middle:stop][..., ahead])
    assert (batch.future is None) is (not future) and batch.start.tolist() == chosen.tolist()
    assert batch.x.dtype == np.float32 and batch.calendar.dtype == batch.start.dtype == np.int64


def test_forecasting_beyond_the_readings_needs_no_targets() -> None:
    windows = tiny_windows(6, 3)
    batch = Gather(windows.readings, windows.form)(np.array([240 - 6]), targets=False)
    assert batch.y is None and batch.y_observed is None
    np.testing.assert_array_equal(batch.x[0], windows.readings.values[-6:])
    assert batch.calendar[0, :, 0].tolist() == [18, 19, 20, 21, 22, 23, 0, 1, 2]


def test_a_batch_is_a_copy() -> None:
    windows = tiny_windows()
    batch = windows.batch(windows.starts("train")[:2])
    batch.x[:] = 0
    assert windows.readings.values.any()


def test_targets_follow_the_dataset_and_channels_the_targets() -> None:
    readings = tiny_readings(channels=3, targets=("c2", "c1"))
    form = Windows(readings).form
    assert form.targets == form.channels == ("c2", "c1"), "in the order of the dataset"
    form = Windows(readings, channels=["c1", "c0", "c2"]).form
    assert form.channels == ("c1", "c0", "c2") and form.target_index.tolist() == [2, 0]
    assert Windows(tiny_readings(channels=3)).form.targets == ("c0",), "the first channel where none is named"


def test_the_stride_thins_training_alone() -> None:
    plain, thin = tiny_windows(), tiny_windows(stride=5)
    assert np.array_equal(thin.starts("train"), plain.starts("train")[::5])
    assert np.array_equal(thin.starts("validation"), plain.starts("validation"))
    assert np.array_equal(thin.starts("test"), plain.starts("test"))
    assert thin.split.train_rows == plain.split.train_rows, "the scaler sees the same rows"


@pytest.mark.parametrize("split", ["windows-first 7:1:2", "rows 0:150 150:180 180:240"])
def test_a_share_of_training_is_all_that_training_sees(split: str) -> None:
    plain = tiny_windows(split=split)
    old, new = (tiny_windows(split=split, train_share=share, stride=2) for share in ((0, 0.9), (0.9, 1)))
    for part in ("validation", "test"):
        assert np.array_equal(new.starts(part), plain.starts(part)) and np.array_equal(
            old.starts(part), plain.starts(part)
        )
    both = np.concatenate([old.split.train, new.split.train])
    assert np.array_equal(both, plain.split.train), "every window in one of the shares"
    assert np.array_equal(new.starts("train"), new.split.train[::2])
    first, stop = new.split.train_rows
    assert (first, stop) == (new.split.train[0], new.split.train[-1] + 6)
    own = plain.readings.values[first:stop]
    np.testing.assert_allclose(new.form.scaler.mean.ravel()[0], np.nanmean(own), rtol=1e-5)
    assert len(new.training_series().values) == stop - first
    assert tiny_windows(split=split, train_share=(0.0, 1.0)).split.train_rows == plain.split.train_rows


@pytest.mark.parametrize(
    "share", [(0.5,), (0.9, 0.1), (0.5, 0.5), (-0.1, 1), (0, 1.5), (float("nan"), 1), 0.9, None, ["a", "b"]]
)
def test_what_is_no_share_is_refused(share: Any) -> None:
    with pytest.raises(FieldcastError, match="where it begins and ends"):
        tiny_windows(train_share=share)
    with pytest.raises(FieldcastError, match="holds none"):
        tiny_windows(train_share=(0.999, 0.9999))


def test_the_training_series_is_scaled_and_filled_with_zero() -> None:
    readings = tiny_readings(channels=2, missing=0.3)
    windows = Windows(readings, 6, 3, channels=["c1", "c0"], targets=["c0"])
    series, stop = windows.training_series(), windows.split.train_rows[1]
    values = readings.values[:stop][..., [1, 0]]
    scaled = (values - windows.form.scaler.mean) / windows.form.scaler.scale
    np.testing.assert_allclose(series.values, np.where(np.isnan(values), 0, scaled), atol=1e-6)
    assert np.array_equal(series.observed, ~np.isnan(values)) and len(series.calendar) == len(series.segment) == stop


def test_windows_under_another_form_keep_their_split() -> None:
    trained = tiny_windows(scaler="node").form
    shifted = tiny_windows(readings=tiny_readings(values=tiny_values() + 100))
    other = shifted.under(trained)
    assert other.form is trained and shifted.form is not trained
    assert np.array_equal(other.starts("test"), shifted.starts("test"))
    np.testing.assert_array_equal(other.batch(np.array([3])).x, shifted.batch(np.array([3])).x)


def test_the_text_says_the_counts() -> None:
    assert repr(tiny_windows()) == "Windows(6 -> 3, split 'windows-first 7:1:2': 162 train / 23 validation / 47 test)"


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"lookback": 0}, "the look-back is 0"),
        ({"horizon": -1}, "the horizon is -1"),
        ({"stride": 0}, "the stride is 0"),
        ({"channels": ["c00"]}, "did you mean 'c0'"),
        ({"targets": ["speed"]}, "has no channel 'speed'"),
        ({"channels": ["c0"], "targets": ["c1"]}, "not among the channels c0"),
        ({"channels": ["c0"], "future": ["c1"]}, "known ahead"),
        ({"channels": ["c0", "c0"]}, "named twice"),
        ({"targets": ["c0", "c0"]}, "named twice"),
        ({"channels": ["c0", "c1"], "future": ["c1", "c1"]}, "named twice"),
        ({"channels": ["c0", "c1"], "future": ["c0"]}, "would see the answer"),
        ({"split": "tail"}, "there is no split 'tail'"),
        ({"scaler": "nodes"}, "did you mean 'node'"),
        ({"lookback": 500}, "shorten look-back or horizon"),
        ({"graph": Graph.from_adjacency(np.eye(2))}, "the graph has 2 nodes, the readings 3"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(FieldcastError, match=said) as caught:
        Windows(tiny_readings(channels=2), **settings_)
    assert "\n" not in str(caught.value)


def test_a_target_without_a_training_reading_is_refused() -> None:
    values = tiny_values(channels=2)
    values[:200, :, 1] = np.nan
    with pytest.raises(FieldcastError, match="hold no reading of 'c1'"):
        Windows(tiny_readings(values=values), targets=["c1"])
    assert Windows(tiny_readings(values=values), channels=["c0", "c1"], targets=["c0"]).form.scaler.scale[0, 1] == 1


def test_an_unknown_part_is_told() -> None:
    with pytest.raises(FieldcastError, match="did you mean 'validation'"):
        tiny_windows().starts("valid")


def test_at_the_size_of_metr_la_nothing_is_copied() -> None:
    values = np.random.default_rng(0).normal(50, 10, (34272, 207, 1)).astype(np.float32)
    values[:, 3] = np.nan
    readings = Readings.from_array(values, start="2012-03-01", frequency="5min", copy=False)
    assert readings.values.nbytes == 28_377_216
    tracemalloc.start()
    try:
        windows = Windows(readings, 12, 12)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6, f"{peak / 1e6:.0f} MB above the array"
    assert [len(windows.starts(part)) for part in PARTS] == [23974, 3425, 6850]
    assert np.shares_memory(windows.readings.values, values)


def test_another_timezone_is_refused_where_calendars_would_differ() -> None:
    stamps = pd.date_range("2024-01-01", periods=240, freq="1h", tz="UTC")
    there = Readings.from_array(tiny_values(), stamps, frequency="1h", timezone="America/Los_Angeles")
    here = Readings.from_array(tiny_values(), stamps, frequency="1h", timezone="UTC")
    with pytest.raises(FieldcastError, match="timezone of the windows"):
        Windows(here, 6, 3).under(Windows(there, 6, 3).form)


def test_readings_that_are_only_scored_have_all_windows_in_one_part() -> None:
    windows = tiny_windows()
    scored = Windows.for_scoring(tiny_readings(rows=40, seed=3), windows.form)
    assert len(scored.starts("test")) == 40 - 9 + 1 and len(scored.starts("train")) == 0
    assert scored.form is windows.form
    with pytest.raises(FieldcastError, match="give more rows"):
        Windows.for_scoring(tiny_readings(rows=8), windows.form)
