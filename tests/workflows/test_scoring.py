"""Scores are those of the forecasts, whatever the size of a batch, and go with their protocol."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from fieldcast.workflows.scoring import Sample, evaluate, score
from tests.tiny import tiny_readings, tiny_values, with_gaps


@pytest.fixture(scope="module")
def windows() -> Windows:
    values = tiny_values(260, 4, 2, missing=0.2)
    values[..., 1] = np.round(values[..., 1] - 20).clip(0)  # counts with true zeros
    values[:, 3, 1] = np.where(np.isnan(values[:, 3, 1]), np.nan, 0)  # a dead sensor
    rules = {"scored_cells": "active cells; targets > 1 beside; all cells beside"}
    return Windows(tiny_readings(values=values, targets=("c1", "c0"), **rules), 6, 4)


def dense(windows: Windows, part: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """Last values and truth of a whole part, plainly: [windows, H, N, O] each, NaN where unobserved."""
    forecast, truth = [], []
    values = windows.readings.values[..., windows.readings.channel_index(windows.form.targets)]
    for start in windows.starts(part):
        past = values[start : start + 6]
        last = np.broadcast_to(windows.form.scaler.mean, past.shape[1:]).astype(np.float64)
        for row in past:
            last = np.where(np.isnan(row), last, row)
        forecast.append(np.repeat(last[None], 4, axis=0))
        truth.append(values[start + 6 : start + 10])
    return np.stack(forecast), np.stack(truth).astype(np.float64)


def test_scores_equal_a_dense_computation(windows: Windows) -> None:
    result = evaluate(create("last_value", windows).eval(), windows)
    forecast, truth = dense(windows)
    alive = np.array([True, True, True, False])[:, None] | np.array([False, True])
    for scores, keep in zip(
        (result.scores, *result.beside),
        (np.broadcast_to(alive.any(axis=1)[:, None], alive.shape), None, np.ones_like(alive)),
        strict=True,
    ):
        for position, channel in enumerate(("c1", "c0")):
            error = np.abs(forecast - truth)[..., position]
            chosen = ~np.isnan(truth[..., position])
            chosen &= truth[..., position] > 1 if keep is None else keep[:, position]
            expected = [error[:, h][chosen[:, h]].mean() for h in range(4)]
            np.testing.assert_allclose(scores["channels"][channel]["per_horizon"]["mae"], expected, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_the_size_of_a_batch_changes_nothing(windows: Windows, batch_size: int) -> None:
    """Checks 29 and 33 of the protocol."""
    forecaster = create("last_value", windows).eval()
    whole, parts = score(forecaster, windows), score(forecaster, windows, batch_size=batch_size)
    for first, second in zip(
        [whole.scores(), *whole.scores_beside()], [parts.scores(), *parts.scores_beside()], strict=True
    ):
        for channel in first["channels"]:
            for figures in ("per_horizon", "pooled"):
                for measure, value in first["channels"][channel][figures].items():
                    again = second["channels"][channel][figures][measure]
                    np.testing.assert_allclose(np.array(again, float), np.array(value, float), rtol=1e-12)
    np.testing.assert_array_equal(whole.sample.forecast, parts.sample.forecast)


def test_which_sensors_are_alive_is_decided_in_training(windows: Windows) -> None:
    values = windows.readings.values.copy()
    values[-30:, 3, 1] = 9.0  # alive in the test rows alone
    rules = {"scored_cells": "active cells"}
    late = Windows(tiny_readings(values=values[..., 1:], **rules), 6, 4)
    channels = evaluate(create("last_value", late).eval(), late).scores["channels"]
    assert channels["c0"]["per_node"]["mae"][3] is None


def test_the_model_keeps_its_mode_and_the_protocol_names_the_part(windows: Windows) -> None:
    forecaster = create("stid", windows, seed=0, width=4).train()
    result = evaluate(forecaster, windows, "validation")
    assert forecaster.training and result.protocol["part"] == "validation"
    assert result.protocol["targets"] == ["c1", "c0"] and result.protocol["scaler"] == "channel"
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()
    text = str(result)
    assert "scored on" in text and "active cells" in text and "targets > 1" in text


def test_a_forecaster_scores_other_readings_in_its_own_scale(windows: Windows) -> None:
    forecaster = create("last_value", windows).eval()
    shifted = Windows(tiny_readings(values=windows.readings.values + 100, targets=("c1", "c0")), 6, 4)
    first = evaluate(forecaster, shifted).scores["channels"]["c0"]["pooled"]["count"]
    assert first == evaluate(forecaster, windows).beside[1]["channels"]["c0"]["pooled"]["count"]


def test_the_sample_is_of_the_last_rows_and_of_some_nodes() -> None:
    readings = with_gaps(tiny_readings(rows=240, nodes=5), [100])
    windows = Windows(readings, 6, 3)
    sample = Sample(windows, "test", rows=20, nodes=2)
    assert sample.nodes == [readings.nodes[0], readings.nodes[4]] and sample.rows.tolist() == list(range(220, 240))
    assert sample.steps.tolist() == [3] and np.isnan(sample.forecast).all()
    prediction = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5, 1)
    sample.update(np.array([231, 100]), prediction)
    assert (
        sample.forecast[0, 231 + 6 + 2 - 220, :, 0].tolist() == [10.0, 14.0] and np.isfinite(sample.forecast).sum() == 2
    )


def test_a_part_without_windows_is_told_in_a_sentence(windows: Windows) -> None:
    unseen = Windows.for_scoring(windows.readings, windows.form)
    with pytest.raises(FieldcastError, match="the train part of tiny has no window"):
        evaluate(create("last_value", windows), unseen, "train")
