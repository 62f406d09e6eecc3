"""DCRNN: the parameters of the paper's model, the equations, scheduled sampling."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from fieldcast.core.context import Progress
from fieldcast.core.spec import Spec
from tests.backbones.common import arrays, assert_equals, clock_of, inputs, over_ring, parameters, spec, stirred
from tests.reference.dcrnn import dcrnn


@pytest.mark.parametrize("nodes", [207, 325, 3])
def test_parameters(nodes: int) -> None:
    assert parameters("dcrnn", over_ring(spec(nodes, channels=2)), calendar_inputs=False) == 372_353


@pytest.mark.parametrize("calendar_inputs", [True, False])
@pytest.mark.parametrize(("layers", "order"), [(2, 2), (1, 1), (1, 3)])
@pytest.mark.parametrize("form", [spec(4), spec(1, lookback=1, horizon=2, channels=3, targets=2)], ids=["4", "1"])
def test_equals_the_plain_form(form: Spec, layers: int, order: int, calendar_inputs: bool) -> None:
    form = over_ring(form)
    backbone = stirred("dcrnn", form, hidden=3, layers=layers, order=order, calendar_inputs=calendar_inputs)
    walks = [walk.tensor().numpy() for walk in backbone.walks]  # type: ignore[union-attr]
    assert_equals(
        backbone, form,
        lambda x, ctx: dcrnn(
            x, clock_of(form, ctx) if calendar_inputs else None, walks, arrays(backbone), form.horizon, layers, order
        ),
    )  # fmt: skip


def test_the_truth_is_fed_early_in_training_alone() -> None:
    form = over_ring(spec(3, horizon=4))
    backbone = stirred("dcrnn", form, hidden=3)
    x, ctx = inputs(form)
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(2, 4, 3, 1, dtype=torch.float64, generator=generator)
    known = torch.rand(2, 4, 3, 1, generator=generator) < 0.7

    def forecast(step: int, train: bool = True) -> torch.Tensor:
        progress = Progress(step=step, steps=100_000)
        with torch.no_grad():
            return backbone.train(train)(
                x, dataclasses.replace(ctx, teacher=teacher, teacher_observed=known, progress=progress)
            )

    own = forecast(0, train=False)
    assert torch.equal(forecast(100_000), own), "late in training it is fed with its own forecasts"
    torch.manual_seed(0)
    fed = forecast(0)  # all but surely with the truth
    walks = [walk.tensor().numpy() for walk in backbone.walks]  # type: ignore[union-attr]
    clock, weights = clock_of(form, ctx), arrays(backbone)
    expected = dcrnn(x.numpy(), clock, walks, weights, 4, 2, 2, teacher=torch.where(known, teacher, torch.nan).numpy())
    np.testing.assert_allclose(fed.numpy(), expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))
    assert not torch.equal(fed[:, 1:], own[:, 1:])


@pytest.mark.parametrize("steps", [40, 1_000, 100_000])
def test_half_of_the_draws_are_the_truth_in_the_middle_of_training(steps: int) -> None:
    form = over_ring(spec(2))
    backbone, (_, ctx) = stirred("dcrnn", form, hidden=2), inputs(form)

    def share(step: int) -> float:
        now = dataclasses.replace(ctx, progress=Progress(step=step, steps=steps))
        return float(backbone._share_of_truth(now, torch.zeros(())))  # type: ignore[operator]

    assert share(steps // 2) == pytest.approx(0.5, abs=1e-6) and share(0) > 0.85 and share(steps) < 0.15
