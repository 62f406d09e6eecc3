"""The optimiser has the groups, rates and norms that were asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from fieldcast.core.context import Batch, Context
from fieldcast.core.module import ParameterGroup
from fieldcast.core.task import Forecasting
from fieldcast.data.loader import WindowLoader
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from fieldcast.methods.st_lora import STLoRA
from fieldcast.training.module import TrainingModule
from tests.training.common import RUN, Curious, windows

PLAIN = dataclasses.replace(RUN, schedule="constant")


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_optimisers_and_groups(name: str, kind: type) -> None:
    forecaster = create(Curious, windows(), seed=0)
    own = ParameterGroup(list(forecaster.backbone.input.parameters()), 0.5, 0.25, 0.1)
    rest = ParameterGroup(list(forecaster.backbone.output.parameters()))
    forecaster.backbone.groups = lambda: [own, rest]  # type: ignore[method-assign]
    options = dataclasses.replace(PLAIN, optimizer=name, weight_decay=0.01, learning_rate=0.02, clip_norm=2.0)
    module = TrainingModule(forecaster, options, Forecasting())
    optimizer = module.configure_optimizers()
    assert type(optimizer) is kind
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.5, 0.25), (0.02, 0.01)]
    for parameter in forecaster.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    module.configure_gradient_clipping(optimizer)
    assert norm(own.parameters) == pytest.approx(0.1, rel=1e-4), "its own norm"
    assert norm(rest.parameters) == pytest.approx(2.0, rel=1e-4), "the norm of the run"


class Blind(Forecasting):
    """A task of somebody's own, which knows nothing of what stages put aside."""

    def errors(self, model: Any, x: Tensor, ctx: Context, y: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        return (model(x, ctx) - y).abs().sum(dim=(0, 1, 2)), observed.sum(dim=(0, 1, 2))


def test_what_a_stage_puts_aside_is_trained_on_or_refused() -> None:
    data = windows()
    batch = Batch.of(next(iter(WindowLoader(data, "train", 4))))
    forecaster = create("stid", data, [STLoRA(rank=1, apart=True)], seed=0).train()
    TrainingModule(forecaster, PLAIN, Forecasting())._loss(batch).backward()
    assert all(each.grad is not None for each in forecaster.backbone.parameters())
    with pytest.raises(
        FieldcastError, match=r"the task Blind leaves out what a stage put aside .* train without 'apart'"
    ):
        TrainingModule(forecaster, PLAIN, Blind())._loss(batch)


def norm(parameters: list[Any]) -> float:
    return float(torch.sqrt(sum((each.grad**2).sum() for each in parameters)))  # type: ignore[arg-type]


def test_no_clipping_leaves_gradients_alone() -> None:
    forecaster = create(Curious, windows(), seed=0)
    module = TrainingModule(forecaster, dataclasses.replace(PLAIN, clip_norm=0.0), Forecasting())
    module.configure_optimizers()
    for parameter in forecaster.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    module.configure_gradient_clipping(None)
    assert all((parameter.grad == 100).all() for parameter in forecaster.parameters())  # type: ignore[union-attr]
