"""The scaler equals numpy over observed training cells, whatever the data look like."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.scaling import KINDS, Scaler
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from tests.tiny import tiny_readings, tiny_values

AXES = {"channel": (0, 1), "global": (0, 1, 2), "node": (0,)}


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(2, 30), nodes=st.integers(1, 4), channels=st.integers(1, 3), seed=st.integers(0, 10**6),
    missing=st.sampled_from([0.0, 0.3, 0.8]), kind=st.sampled_from(sorted(AXES)),
)  # fmt: skip
def test_mean_and_deviation_equal_numpy(
    rows: int, nodes: int, channels: int, seed: int, missing: float, kind: str
) -> None:
    values = tiny_values(rows, nodes, channels, missing, seed)
    observed = ~np.isnan(values)
    scaler = Scaler.fit(values, observed, kind)
    masked = np.ma.masked_array(values.astype(np.float64), ~observed)
    mean = np.broadcast_to(masked.mean(axis=AXES[kind], keepdims=True).filled(0)[0], (nodes, channels))
    deviation = masked.std(axis=AXES[kind], keepdims=True).filled(0)[0]
    if kind == "node":  # a node that was silent takes the channel's
        silent = ~observed.any(axis=0)
        mean = np.where(silent, masked.mean(axis=(0, 1)).filled(0), mean)
        deviation = np.where(silent, masked.std(axis=(0, 1)).filled(0), deviation)
    deviation = np.broadcast_to(np.where(deviation > 1e-9, deviation, 1), (nodes, channels))
    assert scaler.mean.shape == scaler.scale.shape == (nodes if kind == "node" else 1, channels)
    assert scaler.mean.dtype == scaler.scale.dtype == np.float32
    np.testing.assert_allclose(np.broadcast_to(scaler.mean, mean.shape), mean, rtol=1e-6)
    np.testing.assert_allclose(np.broadcast_to(scaler.scale, mean.shape), deviation, rtol=1e-6)


def test_blocks_of_rows_change_nothing() -> None:
    values = np.random.default_rng(0).normal(50, 3, (5000, 1000, 1)).astype(np.float32)  # more than one block
    scaler = Scaler.fit(values, np.ones(values.shape, bool))
    assert scaler.mean[0, 0] == np.float32(values.mean(dtype=np.float64))
    assert scaler.scale[0, 0] == pytest.approx(values.std(dtype=np.float64), rel=1e-7)


def test_what_is_not_observed_may_hold_anything() -> None:
    values = tiny_values(50, 2, 2, missing=0.4)
    observed = ~np.isnan(values)
    rubbish = np.where(observed, values, np.float32(1e30))
    for kind in KINDS:
        first, second = Scaler.fit(values, observed, kind), Scaler.fit(rubbish, observed, kind)
        assert np.array_equal(first.mean, second.mean) and np.array_equal(first.scale, second.scale)


@pytest.mark.parametrize("level", [0.0, 0.1, 5.0, -1e6, 1e-7])
@pytest.mark.parametrize("kind", ["channel", "global", "node"])
def test_a_constant_series_becomes_zero(level: float, kind: str) -> None:
    values = np.full((1000, 3, 1), level, np.float32)
    scaler = Scaler.fit(values, np.ones(values.shape, bool), kind)
    assert (scaler.scale == 1).all()
    np.testing.assert_allclose(scaler.transform(values), 0, atol=abs(level) * 1e-6)


@pytest.mark.parametrize("unit", [1e-12, 1e-9, 1e-3, 1.0, 1e6])
def test_the_unit_of_a_channel_does_not_matter(unit: float) -> None:
    values = np.random.default_rng(0).normal(3, 1, (200, 2, 1))
    small = Scaler.fit((values * unit).astype(np.float32), np.ones(values.shape, bool))
    plain = Scaler.fit(values.astype(np.float32), np.ones(values.shape, bool))
    z = small.transform((values * unit).astype(np.float32))
    np.testing.assert_allclose(z, plain.transform(values.astype(np.float32)), atol=1e-4)


def test_a_channel_without_any_reading_is_left_alone() -> None:
    values = tiny_values(40, 2, 2)
    values[..., 1] = np.nan
    for kind in ("channel", "node"):
        scaler = Scaler.fit(values, ~np.isnan(values), kind)
        assert (scaler.mean[:, 1] == 0).all() and (scaler.scale[:, 1] == 1).all()
        assert np.isfinite(scaler.mean).all() and np.isfinite(scaler.scale).all()


def test_none_keeps_the_readings() -> None:
    values = tiny_values(20, 2, 2)
    assert np.array_equal(Scaler.fit(values, np.ones(values.shape, bool), "none").transform(values), values)


@settings(deadline=None, max_examples=25)
@given(part=st.sampled_from([0.5, 0.6, 0.7]), lookback=st.integers(1, 15), kind=st.sampled_from(sorted(AXES)))
def test_no_row_behind_the_training_inputs_is_used(part: float, lookback: int, kind: str) -> None:
    """Check 28 of the protocol: changing any row >= n_train + T - 1 changes neither mean nor deviation."""
    split = f"windows-first {part}:0.1:{0.9 - part:.1f}"
    before = Windows(tiny_readings(rows=200), lookback, 5, split=split, scaler=kind)
    border = len(before.starts("train")) + lookback - 1
    assert before.split.train_rows == (0, border)
    values = tiny_values(200)
    values[border:] += 1000
    after = Windows(tiny_readings(values=values), lookback, 5, split=split, scaler=kind).form.scaler
    assert np.array_equal(before.form.scaler.mean, after.mean)
    assert np.array_equal(before.form.scaler.scale, after.scale)
    values[border - 1] += 1000
    last = Windows(tiny_readings(values=values), lookback, 5, split=split, scaler=kind).form.scaler
    assert not np.array_equal(before.form.scaler.mean, last.mean), "the last training row does count"


def test_channels_nodes_and_json() -> None:
    values = tiny_values(50, 3, 2)
    scaler = Scaler.fit(values, np.ones(values.shape, bool), "node")
    picked = scaler.channels(np.array([1])).nodes(np.array([2, -1, 0]))
    assert picked.mean[[0, 2], 0].tolist() == scaler.mean[[2, 0], 1].tolist()
    assert picked.mean[1, 0] == pytest.approx(scaler.mean[:, 1].mean())
    again = Scaler.from_json(json.loads(json.dumps(scaler.to_json())))
    assert again.kind == "node"
    assert np.array_equal(again.mean, scaler.mean) and np.array_equal(again.scale, scaler.scale), "to the bit"


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(FieldcastError, match="did you mean 'channel'"):
        Scaler.fit(tiny_values(5), np.ones((5, 3, 1), bool), "chanel")


def test_a_node_silent_in_training_takes_the_channels_scale() -> None:
    values = (
        np.random.default_rng(0).normal([10.0, 400.0, 0.0], [1.0, 2.0, 1.0], size=(50, 3))[..., None].astype(np.float32)
    )
    observed = np.ones(values.shape, bool)
    observed[:, 2] = False
    scaler = Scaler.fit(values, observed, "node")
    heard = values[:, :2].astype(np.float64)
    np.testing.assert_allclose(scaler.mean[2, 0], heard.mean(), rtol=1e-5)
    np.testing.assert_allclose(scaler.scale[2, 0], heard.std(), rtol=1e-5)
    np.testing.assert_allclose(scaler.mean[:2, 0], heard.mean(axis=0)[:, 0], rtol=1e-5)
