"""DCRNN: the parameters of the paper's model, the equations, scheduled sampling."""

from __future__ import annotations

import dataclasses

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
    backbone = stirred("dcrnn", form, hidden=3, sampling_decay=10.0)
    x, ctx = inputs(form)
    teacher = torch.full((2, 4, 3, 1), 50.0, dtype=torch.float64)

    def forecast(step: int, train: bool) -> torch.Tensor:
        with torch.no_grad():
            return backbone.train(train)(x, dataclasses.replace(ctx, teacher=teacher, progress=Progress(step=step)))

    own = forecast(0, train=False)
    assert torch.equal(forecast(100_000, train=True), own), "late in training it is fed with its own forecasts"
    torch.manual_seed(0)
    early = forecast(0, train=True)  # with probability 10 / 11
    assert torch.equal(early[:, 0], own[:, 0]) and not torch.equal(early[:, 1:], own[:, 1:])
