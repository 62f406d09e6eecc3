"""The figures: equal to plain numpy, to published numbers on real data, and honest where nothing was scored."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.metrics import MEASURES, ScoreSums, score_arrays, scores, tgcn_scores
from fieldcast.evaluation.protocol import to_jsonable
from fieldcast.evaluation.rules import Arithmetic, ScoreRule, active_nodes
from tests.datasets import dataset_path

SHAPE = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 2))
READING = st.floats(-1000, 1000, width=32) | st.sampled_from([0.0, 10.0, float("nan")])


@st.composite
def forecasts(draw):
    shape = draw(SHAPE)
    prediction = draw(hnp.arrays(np.float32, shape, elements=st.floats(-1000, 1000, width=32)))
    target = draw(hnp.arrays(np.float32, shape, elements=READING))
    observed = draw(hnp.arrays(bool, shape))
    return prediction, target, observed


def window_slices(values, first_target, horizon):
    """Return [windows, horizon, N, O]: the rows that begin at each of ``first_target``."""
    return values[np.asarray(first_target)[:, None] + np.arange(horizon)]


@given(forecasts(), st.sampled_from([None, 0.0, 5.0]))
@settings(deadline=None, max_examples=150)
def test_equal_to_dense_numpy_with_a_mask(arrays, above):
    prediction, target, observed = (array.astype(np.float64) for array in arrays)
    result = score_arrays(*arrays, rule=ScoreRule("rule", above=above))
    scored = (observed > 0) & np.isfinite(target) & (True if above is None else target > above)
    for channel in range(target.shape[3]):
        figures = result["channels"][str(channel)]
        steps = [(slice(None), h, slice(None), channel) for h in range(target.shape[1])]
        for got, cells in [
            *((({k: v[h] for k, v in figures["per_horizon"].items()}), steps[h]) for h in range(len(steps))),
            (figures["pooled"], (slice(None), slice(None), slice(None), channel)),
        ]:
            m = scored[cells]
            y, error = target[cells][m], (prediction - target)[cells][m]
            expected = {
                "mae": np.abs(error).mean() if m.any() else np.nan,
                "rmse": np.sqrt((error**2).mean()) if m.any() else np.nan,
                "bias": error.mean() if m.any() else np.nan,
                "mape": 100 * np.abs(error / np.where(y, y, 1))[y != 0].mean() if (y != 0).any() else np.nan,
                "mape_at_10": 100 * np.abs(error / np.where(y, y, 1))[y >= 10].mean() if (y >= 10).any() else np.nan,
                "wape": 100 * np.abs(error).sum() / np.abs(y).sum() if (y != 0).any() else np.nan,
            }
            assert got["count"] == m.sum()
            for name in MEASURES:
                np.testing.assert_allclose(got[name], expected[name], rtol=1e-10, atol=1e-9, err_msg=name)


@given(forecasts())
@settings(deadline=None, max_examples=50)
def test_pooled_rmse_is_the_weighted_sum_of_the_horizons(arrays):
    for figures in score_arrays(*arrays)["channels"].values():
        counts = np.array(figures["per_horizon"]["count"])
        if counts.sum():
            rmse = np.nan_to_num(figures["per_horizon"]["rmse"])
            weighted = (counts / counts.sum() * rmse**2).sum()
            np.testing.assert_allclose(figures["pooled"]["rmse"] ** 2, weighted, rtol=1e-10, atol=1e-12)


def test_mean_and_pooled_rmse_of_a_published_log():
    # Graph WaveNet on METR-LA, RMSE of the 12 steps in STG4Traffic's log of 2022-12-24, which prints 6.0381 as average.
    rmse = [3.8495, 4.6246, 5.1400, 5.5349, 5.8586, 6.1468, 6.4036, 6.6228, 6.8196, 7.0009, 7.1531, 7.3027]
    prediction = np.tile(np.array(rmse)[:, None], (2, 1, 3)) * np.array([1, -1, 1])
    figures = score_arrays(prediction, np.zeros((2, 12, 3)))["channels"]["0"]
    assert figures["mean"]["rmse"] == pytest.approx(6.0381, abs=5e-5)
    assert figures["pooled"]["rmse"] == pytest.approx(6.1254, abs=5e-5)


def test_65_windows_in_batches_of_64_score_as_in_one_of_65():
    rng = np.random.default_rng(3)
    target = rng.normal(50, 10, (65, 12, 7, 1))
    prediction = target + rng.normal(0, 3, target.shape)
    prediction[64] += 100  # the window that dropping or padding would lose or repeat
    results = []
    for batch in (64, 65):
        sums = ScoreSums(12, 7, 1)
        for start in range(0, 65, batch):
            sums.update(prediction[start : start + batch], target[start : start + batch])
        results.append(scores(sums)["channels"]["0"])
    for part in ("mean", "pooled"):
        for name in MEASURES:
            assert results[0][part][name] == pytest.approx(results[1][part][name], rel=1e-12)
    assert results[0]["pooled"]["count"] == 65 * 12 * 7


def test_horizon_without_scored_cells_is_nan_and_so_is_the_mean():
    target = np.ones((3, 4, 2, 1))
    target[:, 2] = np.nan
    result = score_arrays(np.zeros_like(target), target)
    figures = result["channels"]["0"]
    assert figures["per_horizon"]["mae"][:2] == [1.0, 1.0] and np.isnan(figures["per_horizon"]["mae"][2])
    assert figures["per_horizon"]["count"] == [6, 6, 0, 6]
    assert all(np.isnan(figures["mean"][name]) for name in MEASURES)
    assert figures["pooled"]["mae"] == 1.0
    text = json.dumps(to_jsonable(result), allow_nan=False)
    assert json.loads(text)["channels"]["0"]["per_horizon"]["rmse"] == [1.0, 1.0, None, 1.0]
    assert json.loads(text)["channels"]["0"]["mean"]["mae"] is None


def test_nothing_scored_at_all_is_nan_without_a_warning():
    figures = scores(ScoreSums(2, 3, 1))["channels"]["0"]
    assert np.isnan(figures["pooled"]["mae"]) and figures["pooled"]["count"] == 0


def test_zero_is_a_reading_for_mae_and_left_out_of_mape_only():
    target = np.array([0.0, 4.0, 20.0]).reshape(1, 1, 3)
    figures = score_arrays(target + np.array([1.0, 1.0, 2.0]), target)["channels"]["0"]["pooled"]
    assert figures["mae"] == pytest.approx(4 / 3) and figures["bias"] == pytest.approx(4 / 3)
    assert figures["mape"] == pytest.approx((25 + 10) / 2)
    assert figures["mape_at_10"] == pytest.approx(10)
    assert figures["wape"] == pytest.approx(100 * 4 / 24)


def test_units_channels_nodes_hours_and_days_are_named():
    target = np.zeros((2, 1, 2, 2))
    prediction = np.broadcast_to([[1.0, 10.0], [3.0, 30.0]], target.shape)
    result = score_arrays(
        prediction,
        target,
        nodes=["west", "east"],
        channels=["inflow", "outflow"],
        target_hour=np.array([[5], [7]]),
        day=np.array(["2016-08-20", "2016-08-22"], dtype="datetime64[D]"),
    )
    assert result["nodes"] == ["west", "east"] and result["labels"] == {"mean": "mean1", "pooled": "pooled1"}
    assert result["channels"]["inflow"]["per_node"] == {"mae": [1.0, 3.0], "rmse": [1.0, 3.0], "count": [2, 2]}
    outflow = result["channels"]["outflow"]
    assert outflow["per_day"] == {"day": ["2016-08-20", "2016-08-22"], "mae": [20.0, 20.0], "count": [2, 2]}
    assert [hour for hour, count in enumerate(outflow["per_hour"]["count"]) if count] == [5, 7]
    assert outflow["per_hour"]["mae"][5] == 20.0


def test_mask_none_scores_what_the_rule_leaves_out_but_never_the_unobserved():
    target = np.array([0.0, 2.0, 4.0, 6.0]).reshape(1, 1, 4)
    observed = np.array([True, True, True, False]).reshape(1, 1, 4)
    prediction = np.zeros_like(target)
    rule = "cells with target > 0, as published"
    usual = score_arrays(prediction, target, observed, rule)
    foreign = score_arrays(prediction, target, observed, rule, arithmetic=Arithmetic(mask="none", average="pooled"))
    assert usual["channels"]["0"]["pooled"]["mae"] == 3.0 and usual["headline"] == "mean"
    assert foreign["channels"]["0"]["pooled"]["mae"] == 2.0 and foreign["headline"] == "pooled"
    assert foreign["arithmetic"] == {"mask": "none", "average": "pooled"} and "mask=none" in foreign["rule"]


def test_arrays_in_large_numbers_are_scored_in_parts():
    target = np.ones((2100, 1, 1000), dtype=np.float32)
    figures = score_arrays(target * 3, target, day=np.arange(2100) // 100)["channels"]["0"]
    assert figures["pooled"]["count"] == 2_100_000 and figures["pooled"]["mae"] == 2.0
    assert figures["per_day"]["count"] == [100_000] * 21


def test_arrays_that_do_not_fit_are_refused_in_a_sentence():
    ones = np.ones((3, 2, 4))
    for arguments, word in [
        ((ones, ones[:, :1]), "shape"),
        ((ones[0], ones[0]), "shape"),
        ((ones, ones, ones[:2]), "observed"),
    ]:
        with pytest.raises(FieldcastError, match=word):
            score_arrays(*arguments)
    with pytest.raises(FieldcastError, match="day"):
        score_arrays(ones, ones, day=np.arange(2))
    with pytest.raises(FieldcastError, match="missing"):
        tgcn_scores(ones, ones * np.nan)
    with pytest.raises(FieldcastError, match="shape"):
        tgcn_scores(ones, ones[:1])


def test_stored_tgcn_predictions_score_as_published():
    folder = dataset_path("los_loop_week")
    values = np.load(folder / "data.npz")["values"]
    with np.load(folder / "reference_tgcn_15min.npz") as stored:
        prediction, first = stored["prediction"], stored["target_start_index"]
    target = window_slices(values, first, 3)
    figures = tgcn_scores(prediction[..., None], target)
    assert figures["rmse"] == pytest.approx(5.1264, abs=5e-5)
    assert figures["mae"] == pytest.approx(3.1802, abs=5e-5)
    assert figures["accuracy"] == pytest.approx(0.9127, abs=5e-5)
    assert figures["r2"] == pytest.approx(0.8634, abs=5e-5)
    pooled = score_arrays(prediction[..., None], target)["channels"]["0"]["pooled"]
    assert pooled["rmse"] == pytest.approx(figures["rmse"], rel=1e-12)
    assert pooled["mae"] == pytest.approx(figures["mae"], rel=1e-12)
    last = np.repeat(values[first - 1][:, None], 3, axis=1)
    assert score_arrays(last, target)["channels"]["0"]["pooled"]["mae"] == pytest.approx(3.156, abs=5e-4)


def test_tgcn_figures_of_a_constant_target_are_nan_not_a_division():
    figures = tgcn_scores(np.ones(4), np.zeros(4))
    assert np.isnan(figures["accuracy"]) and np.isnan(figures["r2"]) and figures["mae"] == 1.0


def test_window_mean_on_pems08_scores_as_published_with_and_without_zeros():
    folder = dataset_path("pems08_tail")
    meta = tomllib.loads((folder / "meta.toml").read_text(encoding="utf-8"))
    values = np.load(folder / "data.npz")["values"]
    first = np.arange(meta["splits"]["tail"]["test"][0] + 12, meta["splits"]["tail"]["test"][1] - 11)
    assert len(first) == 3549
    forecast = window_slices(values, first - 12, 12).mean(axis=1, keepdims=True, dtype=np.float64)
    published, kept = (ScoreSums(12, 170, 1, rule) for rule in ScoreRule.parse(meta["scored_cells"]))
    for start in range(0, len(first), 500):
        part = slice(start, start + 500)
        target = window_slices(values, first[part], 12)
        for sums in (published, kept):
            sums.update(np.repeat(forecast[part], 12, axis=1), target)
    without, with_zeros = (scores(sums)["channels"]["0"] for sums in (published, kept))
    assert without["mean"]["mae"] == pytest.approx(32.06, abs=0.005)
    assert without["mean"]["rmse"] == pytest.approx(46.565, abs=0.01)
    assert without["mean"]["mape"] == pytest.approx(20.35, abs=0.005)
    assert without["pooled"]["rmse"] == pytest.approx(47.51, abs=0.005)
    assert with_zeros["mean"]["mae"] == pytest.approx(31.98, abs=0.005)


@pytest.mark.parametrize(("lag", "inflow", "outflow"), [(1, 10.70, 11.07), (24, 10.46, 10.84), (168, 8.54, 8.85)])
def test_bike_grid_scores_inflow_and_outflow_apart(lag, inflow, outflow):
    folder = dataset_path("nycbike1_grid")
    values = np.load(folder / "data.npz")["values"]
    rows = np.arange(505, 1369)
    target, prediction = values[rows][:, None], values[rows - lag][:, None]
    active, beside = ScoreRule.parse("active cells; targets > 5 beside (ST-SSL)")
    channels = score_arrays(prediction, target, None, beside, channels=["in", "out"])["channels"]
    assert channels["in"]["pooled"]["mae"] == pytest.approx(inflow, abs=0.005)
    assert channels["out"]["pooled"]["mae"] == pytest.approx(outflow, abs=0.005)
    counted = score_arrays(prediction, target, None, active, active=active_nodes(values))["channels"]
    assert counted["0"]["pooled"]["count"] == 864 * 81


def test_last_known_value_on_metr_la_scores_the_observed_cells():
    values = np.load(dataset_path("metr_la_10") / "data.npz")["values"]
    known = np.isfinite(values)
    row = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None, None], 0), axis=0)
    carried = np.take_along_axis(values, row, axis=0)
    first = np.arange(34249 - 6850, 34249) + 12
    target = window_slices(values, first, 12)
    figures = score_arrays(np.repeat(carried[first - 1][:, None], 12, axis=1), target)["channels"]["0"]["per_horizon"]
    for step, mae, rmse in [(3, 3.360, 5.988), (6, 3.985, 7.471), (12, 5.053, 9.617)]:
        assert figures["mae"][step - 1] == pytest.approx(mae, abs=5e-4)
        assert figures["rmse"][step - 1] == pytest.approx(rmse, abs=5e-4)
