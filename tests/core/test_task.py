"""The loss against numpy, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fieldcast.core.context import Context
from fieldcast.core.task import Forecasting
from fieldcast.errors import FieldcastError

SHAPE = (2, 3, 4, 2)


def losses(task: Forecasting, forecast: Tensor, y: Tensor, observed: Tensor) -> Tensor:
    blank = torch.zeros(2, 1, 4, 1)
    context = Context(blank.bool(), blank, blank.bool(), torch.zeros(2, 4, 3, dtype=torch.long))
    return task.loss(lambda x, ctx: forecast, blank, context, y, observed)


def by_numpy(name: str, delta: float, forecast: np.ndarray, y: np.ndarray, observed: np.ndarray) -> float:
    means = []
    for channel in range(forecast.shape[-1]):
        keep = observed[..., channel]
        error = np.abs(forecast[..., channel].astype(np.float64) - y[..., channel])[keep]
        if name == "mse":
            error = error**2
        elif name == "huber":
            error = np.where(error <= delta, error**2 / 2, delta * (error - delta / 2))
        means.append(error.mean() if keep.any() else 0.0)
    return float(np.mean(means))


@pytest.mark.parametrize("name", ["mae", "mse", "huber"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), delta=st.floats(0.1, 3))
def test_masked_loss_as_numpy_counts_it(name: str, seed: int, share: float, delta: float) -> None:
    rng = np.random.default_rng(seed)
    forecast, y = rng.normal(size=SHAPE).astype("f"), rng.normal(size=SHAPE).astype("f")
    observed = rng.random(SHAPE) < share
    hidden = np.where(observed, y, np.float32(np.nan))
    task = Forecasting(name, delta)  # type: ignore[arg-type]
    loss = losses(task, *(torch.from_numpy(array) for array in (forecast, hidden, observed)))
    assert float(loss) == pytest.approx(by_numpy(name, delta, forecast, y, observed), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["mae", "mse", "huber"])
@pytest.mark.parametrize("unseen", [float("nan"), float("inf"), 1e30])
def test_what_was_not_observed_gives_no_gradient(name: str, unseen: float) -> None:
    forecast = torch.ones(SHAPE, requires_grad=True)
    observed = torch.zeros(SHAPE, dtype=torch.bool)
    observed[0] = True
    losses(Forecasting(name), forecast, torch.where(observed, 0.0, unseen), observed).backward()  # type: ignore[arg-type]
    assert forecast.grad is not None
    assert torch.isfinite(forecast.grad).all() and forecast.grad[0].ne(0).all() and forecast.grad[1].eq(0).all()


def test_nothing_observed_is_no_loss() -> None:
    forecast = torch.ones(SHAPE, requires_grad=True)
    loss = losses(Forecasting(), forecast, torch.full(SHAPE, torch.nan), torch.zeros(SHAPE, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and forecast.grad is not None and forecast.grad.eq(0).all()


def test_channels_weigh_alike_however_often_they_are_observed() -> None:
    forecast, observed = torch.zeros(SHAPE), torch.ones(SHAPE, dtype=torch.bool)
    observed[..., 1] = False
    observed[0, 0, 0, 1] = True
    y = torch.stack([torch.full(SHAPE[:-1], 1.0), torch.full(SHAPE[:-1], 3.0)], dim=-1)
    assert losses(Forecasting(), forecast, y, observed) == 2.0


def test_errors_of_shares_add_up() -> None:
    rng = torch.Generator().manual_seed(0)
    forecast, y = torch.randn(SHAPE, generator=rng), torch.randn(SHAPE, generator=rng)
    observed = torch.rand(SHAPE, generator=rng) < 0.6
    context = Context(observed, y, observed, torch.zeros(2, 4, 3, dtype=torch.long))

    def errors(part: slice) -> tuple[Tensor, Tensor]:
        return Forecasting().errors(lambda x, ctx: forecast[part], y, context, y[part], observed[part])

    whole, first, second = errors(slice(None)), errors(slice(0, 1)), errors(slice(1, 2))
    assert torch.allclose(whole[0], first[0] + second[0]) and torch.equal(whole[1], first[1] + second[1])


@pytest.mark.parametrize(
    ("every", "after", "steps"),
    [
        (0, 0, {0: 12, 99: 12}),
        (6, 0, {0: 1, 5: 1, 6: 2, 65: 11, 66: 12, 80: 12}),  # D2STGNN on METR-LA
        (3, 30, {0: 12, 29: 12, 30: 1, 32: 1, 33: 2, 62: 11, 63: 12, 299: 12}),  # and on its other datasets
    ],
)
def test_the_curriculum_takes_one_more_step_at_a_time(every: int, after: int, steps: dict[int, int]) -> None:
    task = Forecasting(curriculum=every, curriculum_after=after)
    assert {epoch: task.steps(12, epoch) for epoch in steps} == steps


def test_only_the_steps_of_the_curriculum_are_trained_on() -> None:
    forecast = torch.ones(SHAPE, requires_grad=True)
    observed = torch.ones(SHAPE, dtype=torch.bool)
    task = Forecasting(curriculum=1)
    loss = losses(task, forecast, torch.zeros(SHAPE), task.counted(observed, 0))
    loss.backward()
    assert loss == 1 and forecast.grad is not None
    assert forecast.grad[:, :1].ne(0).all() and forecast.grad[:, 1:].eq(0).all()


def test_a_wrong_loss_is_refused() -> None:
    with pytest.raises(FieldcastError, match="there is no loss 'rmse': choose mae, mse or huber"):
        Forecasting("rmse")  # type: ignore[arg-type]
    with pytest.raises(FieldcastError, match="positive"):
        Forecasting("huber", 0)
