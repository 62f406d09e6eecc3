"""The linear SVR is scikit-learn's, one for each step and target, on seeded pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVR

from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from tests.backbones.common import forecast, solved
from tests.tiny import tiny_readings


def objective(weight: np.ndarray, bias: float, x: np.ndarray, y: np.ndarray, C: float, epsilon: float) -> float:
    return 0.5 * float(weight @ weight + bias**2) + C * float(
        np.maximum(0, np.abs(y - x @ weight - bias) - epsilon).sum()
    )


def test_it_reaches_the_objective_of_scikit_learn_within_a_hundredth() -> None:
    windows = Windows(tiny_readings(rows=200, nodes=2), 6, 2)
    backbone = solved("svr", windows, samples=10**6).backbone
    batch = windows.batch(windows.starts("train"))
    scaler = windows.form.scaler
    x = scaler.transform(batch.x).transpose(0, 2, 1, 3).reshape(-1, 6).astype(np.float64)
    y = scaler.transform(batch.y).transpose(0, 2, 1, 3).reshape(-1, 2).astype(np.float64)
    for step in range(2):
        best = LinearSVR(C=0.1, epsilon=0.05, random_state=1, max_iter=100_000, tol=1e-6).fit(x, y[:, step])
        reached = objective(backbone.weight[step].numpy(), float(backbone.bias[step]), x, y[:, step], 0.1, 0.05)
        aim = objective(best.coef_, float(best.intercept_[0]), x, y[:, step], 0.1, 0.05)
        assert reached <= 1.01 * aim


def test_equal_seeds_draw_equal_pairs_and_missing_targets_have_no_say() -> None:
    readings = tiny_readings(rows=200, nodes=3, channels=2, missing=0.2)
    windows = Windows(readings, 6, 3, channels=["c1", "c0"], targets=["c0", "c1"])
    one, two = (solved("svr", windows, samples=100, sample_seed=4) for _ in range(2))
    assert torch.equal(one.backbone.weight, two.backbone.weight)
    assert not torch.equal(one.backbone.weight, solved("svr", windows, samples=100, sample_seed=5).backbone.weight)
    batch = windows.batch(windows.starts("test"))
    error = np.abs(forecast(one, batch) - batch.y)[batch.y_observed]
    assert np.isfinite(error).all() and error.mean() < 1.5


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(FieldcastError, match="give C > 0"):
        create("svr", Windows(tiny_readings(), 6, 3), C=0.0)
