"""The controls of ST-LoRA's experiments are what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from fieldcast.core.registry import STAGES
from fieldcast.core.stage import AfterStage
from fieldcast.methods.st_lora import STLoRA
from fieldcast.workflows.plugins import load_plugin
from tests.contracts import checks
from tests.contracts.cases import Sizes, Subject, train_steps

CONTROLS = Path(__file__).parents[3] / "experiments" / "st_lora" / "controls.py"


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STAGES, "_registered", dict(STAGES._registered))
    monkeypatch.setitem(sys.modules, "fieldcast_plugin_controls", None)
    load_plugin(CONTROLS)


def test_twice_is_twice_the_backbone_for_nothing() -> None:
    plain, twice = Subject("lstm").build(stirred=False), Subject("lstm", ("twice",)).build(stirred=False)
    assert sum(each.numel() for each in twice.after[0].parameters()) == 0
    x, ctx = plain.prepare(Subject("lstm").batch())
    with torch.no_grad():
        assert torch.equal(twice(x, ctx), 2 * plain(x, ctx))


def test_the_equal_mlp_has_the_size_and_the_step_size_of_st_lora() -> None:
    sizes = Sizes(nodes=6, lookback=12, horizon=12)
    mlp, lora = (Subject("stgcn", (name,)).build(sizes, stirred=False).after[0] for name in ("equal_mlp", "st_lora"))
    assert isinstance(mlp, AfterStage) and isinstance(lora, STLoRA)
    mine, theirs = (sum(each.numel() for each in stage.parameters()) for stage in (mlp, lora))
    assert abs(mine - theirs) < 50
    assert mlp.groups()[0].learning_rate == lora.groups()[0].learning_rate == 0.01


def test_the_equal_mlp_starts_as_the_backbone_and_trains() -> None:
    subject = Subject("lstm", ("equal_mlp",))
    forecaster, batch = subject.build(stirred=False), subject.batch()
    before = forecaster.forecast(batch)
    assert torch.equal(before, Subject("lstm").build(stirred=False).forecast(batch))
    train_steps(forecaster, subject.windows(Sizes()), 3)
    assert not checks.close(forecaster.forecast(batch), before)
