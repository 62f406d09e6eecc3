"""The streamed sums: the same whatever the batches, mergeable, saved and read back, and strict about what they take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.rules import Arithmetic, ScoreRule
from fieldcast.evaluation.sums import STATISTICS, ScoreSums


def windows(count=65, horizon=4, nodes=5, channels=2, seed=0):
    """Forecasts, readings with gaps, their mask, and a clock."""
    rng = np.random.default_rng(seed)
    shape = (count, horizon, nodes, channels)
    target = rng.normal(8, 6, shape).round(1).astype(np.float32)
    target[rng.random(shape) < 0.1] = 0
    observed = rng.random(shape) > 0.2
    target[rng.random(shape) < 0.05] = np.nan
    prediction = (np.nan_to_num(target) + rng.normal(0, 2, shape)).astype(np.float32)
    start = rng.integers(0, 24 * 9, count)
    hours = (start[:, None] + np.arange(horizon)) % 24
    return prediction, target, observed, hours, start // 24 + 17_000


def summed(arrays, batch, order=None, rule: ScoreRule | str = "observed cells", **options):
    count, horizon, nodes, channels = arrays[0].shape
    order = np.arange(count) if order is None else order
    sums = ScoreSums(horizon, nodes, channels, rule, **options)
    for start in range(0, count, batch):
        sums.update(*(array[order[start : start + batch]] for array in arrays))
    return sums


def assert_alike(one, other, tolerance=1e-12):
    np.testing.assert_array_equal(one.days, other.days)
    for name in ("by_node", "by_hour", "by_day"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batch_size_and_order_change_nothing(batch):
    arrays = windows()
    order = np.random.default_rng(1).permutation(65)
    assert_alike(summed(arrays, 65), summed(arrays, batch, order))


def test_hours_days_and_nodes_divide_the_same_cells():
    sums = summed(windows(), 16)
    total = sums.by_node.sum(axis=2)
    assert sums.by_hour is not None and sums.by_day is not None
    np.testing.assert_allclose(sums.by_hour.sum(axis=1), total, atol=1e-9)
    np.testing.assert_allclose(sums.by_day.sum(axis=1), total, atol=1e-9)


def test_hours_follow_each_step_and_days_the_first_step():
    prediction, target = np.zeros((1, 2, 1, 1)), np.array([3.0, 5.0]).reshape(1, 2, 1, 1)
    sums = ScoreSums(2, 1, 1)
    sums.update(prediction, target, None, np.array([[23, 0]]), np.array(["2016-08-20T23:00"], dtype="datetime64[s]"))
    assert sums.by_hour is not None and sums.by_day is not None
    assert sums.by_hour[0, 23, :, 0].tolist() == [3.0, 0.0] and sums.by_hour[0, 0, :, 0].tolist() == [0.0, 5.0]
    assert sums.days.astype("datetime64[D]").astype(str).tolist() == ["2016-08-20"]
    assert sums.by_day[0, 0, :, 0].tolist() == [3.0, 5.0]


@given(cut=st.integers(0, 30), seed=st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_merged_parts_equal_the_whole(cut, seed):
    arrays = windows(30, seed=seed)
    first, second = (summed([array[part] for array in arrays], 8) for part in (slice(0, cut), slice(cut, 30)))
    assert_alike(first.merge(second), summed(arrays, 30))


def test_merge_refuses_other_rules_and_leaves_the_other_untouched():
    arrays = windows(10)
    one, other = summed(arrays, 10), summed(arrays, 10)
    before = other.by_node
    one.merge(other)
    one.merge(other)
    np.testing.assert_array_equal(other.by_node, before)
    np.testing.assert_allclose(one.by_node, 3 * before)
    for wrong in (
        summed(arrays, 10, rule="targets > 0"),
        summed(arrays, 10, arithmetic=Arithmetic(average="pooled")),
        ScoreSums(4, 6, 2),
    ):
        with pytest.raises(FieldcastError, match="cannot be merged"):
            one.merge(wrong)


def test_saved_sums_come_back_to_the_bit_without_pickle(tmp_path):
    arrays = windows()
    rule = ScoreRule("active cells", active_only=True)
    active = np.array([1, 0, 1, 1, 1], dtype=bool)
    sums = summed(arrays, 16, rule=rule, active=active)
    np.savez(tmp_path / "sums.npz", allow_pickle=False, **sums.to_arrays())
    with np.load(tmp_path / "sums.npz", allow_pickle=False) as stored:
        back = ScoreSums.from_arrays(stored)
    assert_alike(sums, back, tolerance=0)
    assert back.rule == rule and back.channels == sums.channels and back.arithmetic == sums.arithmetic
    back.update(*arrays)  # and they take more windows
    back.merge(sums)


def test_saved_sums_keep_foreign_arithmetic_and_absent_clocks():
    prediction, target, observed, *_ = windows(9)
    sums = ScoreSums(4, ["a", "b", "c", "d", "é"], ["in", "out"], "targets > 5", arithmetic=Arithmetic(mask="none"))
    sums.update(prediction, target, observed)
    back = ScoreSums.from_arrays(sums.to_arrays())
    assert back.by_hour is None and back.by_day is None and back.nodes[-1] == "é"
    assert back.rule.above is None and back.arithmetic == Arithmetic(mask="none")
    np.testing.assert_array_equal(back.by_node, sums.by_node)


@pytest.mark.parametrize("damage", ["header", "by_node", "format"])
def test_damaged_sums_are_refused(damage):
    arrays = summed(windows(5), 5).to_arrays()
    if damage == "format":
        arrays["header"] = np.array(str(arrays["header"]).replace('"format": 1', '"format": 99'))
    elif damage == "header":
        del arrays["header"]
    else:
        arrays["by_node"] = arrays["by_node"][:, 1:]
    with pytest.raises(FieldcastError, match="not score sums"):
        ScoreSums.from_arrays(arrays)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_forecast_that_is_not_finite_is_refused_where_scored_and_leaves_the_sums(value):
    prediction, target, observed, *_ = (array.copy() for array in windows(6))
    target = np.nan_to_num(target)
    observed[2, 1, 3, 0], observed[4, 0, 0, 1] = True, False
    sums = ScoreSums(4, ["a", "b", "c", "d", "e"], ["inflow", "outflow"])
    prediction[4, 0, 0, 1] = value  # not scored: may hold anything
    sums.update(prediction, target, observed)
    before = sums.by_node
    prediction[2, 1, 3, 0] = value
    with pytest.raises(FieldcastError, match=r"window 2 .*step 2, node 'd', channel 'inflow'"):
        sums.update(prediction, target, observed)
    np.testing.assert_array_equal(sums.by_node, before)
    assert np.isfinite(before).all()


def test_forecast_too_large_to_square_is_refused():
    with pytest.raises(FieldcastError, match="unit"):
        ScoreSums(1, 1, 1).update(np.full((1, 1, 1, 1), 1e300), np.ones((1, 1, 1, 1)))


def test_wrong_shapes_clocks_and_names_are_refused_in_a_sentence():
    prediction, target, observed, hours, days = windows(6)
    sums = ScoreSums(4, 5, 2)
    for arguments, word in [
        ((prediction[:, :3], target[:, :3]), "prediction"),
        ((prediction, target[:5]), "target"),
        ((prediction, target, observed[..., :1]), "observed"),
        ((prediction, target, observed, hours + 1 + hours.max()), "hour"),
        ((prediction, target, observed, hours, days + 0.5), "whole numbers"),
        ((np.float64(3), target), "prediction"),
    ]:
        with pytest.raises(FieldcastError, match=word):
            sums.update(*arguments)
    assert not sums.by_node.any()
    sums.update(prediction, target, observed, hours, days)
    with pytest.raises(FieldcastError, match="some without"):
        sums.update(prediction, target, observed)
    with pytest.raises(FieldcastError, match="'a' is named more than once"):
        ScoreSums(4, ["a", "b", "a"], 1)
    with pytest.raises(FieldcastError, match="horizon"):
        ScoreSums(0, 3, 1)
    with pytest.raises(FieldcastError, match="active"):
        ScoreSums(4, 3, 1, "active cells")
    with pytest.raises(FieldcastError, match="active"):
        ScoreSums(4, 3, 1, "active cells", active=np.ones(4, dtype=bool))


def test_empty_batch_adds_nothing():
    sums = ScoreSums(4, 5, 2)
    sums.update(np.zeros((0, 4, 5, 2)), np.zeros((0, 4, 5, 2)))
    assert not sums.by_node.any() and len(sums.days) == 0


def test_sums_stay_exact_where_float32_would_lose_the_count():
    # A float32 running sum stops growing when its last bit exceeds what is added.
    sums = ScoreSums(1, 1, 1)
    for size in (2.0**20, 1.0, 1.0, 1.0):
        error = np.full((1000, 1, 1, 1), size, dtype=np.float32)
        sums.update(error, np.zeros_like(error))
    totals = dict(zip(STATISTICS, sums.by_node.ravel().tolist(), strict=True))
    assert totals["count"] == 4000
    assert totals["squared"] == 1000 * 2.0**40 + 3000
