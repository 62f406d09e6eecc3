"""Blocks computed again in the backward pass: the bits of ordinary training, with less held in between."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from fieldcast.core.registry import BACKBONES
from fieldcast.errors import FieldcastError
from fieldcast.training.fitting import fit
from fieldcast.training.recompute import recomputing
from tests.contracts.cases import Sizes, Subject
from tests.training.common import RUN

WITH_BLOCKS = [name for name in BACKBONES.names() if getattr(BACKBONES.get(name), "recompute_blocks", ())]
SIZES = Sizes(lookback=12)
OPTIONS = dataclasses.replace(RUN, max_epochs=2, batch_size=16)


def held(name: str, *, again: bool) -> int:
    """Bytes of the tensors that a training step keeps for its backward pass, blocks computed again or not."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    subject = Subject(name)
    forecaster = subject.build(SIZES).train()
    x, ctx = forecaster.prepare(subject.batch(SIZES, 8, "train"), teacher=True)
    watched = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with recomputing(forecaster.backbone) if again else nullcontext(), watched:
        y = forecaster.backbone(x, ctx)
    assert y.requires_grad
    own = {each.untyped_storage().data_ptr() for each in (*forecaster.parameters(), *forecaster.buffers())}
    return sum(size for place, size in kept.items() if place not in own)


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_the_bits_are_those_of_ordinary_training(name: str) -> None:
    states, losses = [], []
    for again in (False, True):
        subject = Subject(name)
        forecaster = subject.build(SIZES, stirred=False)
        history = fit(forecaster, subject.windows(SIZES), dataclasses.replace(OPTIONS, recompute=again), progress=False)
        states.append(forecaster.state_dict())
        losses.append([row["train_loss"] for row in history.rows])
        assert not any("forward" in vars(module) for module in forecaster.modules()), "wrapped after training"
    assert losses[0] == losses[1]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_less_is_held(name: str) -> None:
    assert held(name, again=True) < 0.8 * held(name, again=False)


def test_a_backbone_without_blocks_is_refused() -> None:
    subject = Subject("lstm")
    with pytest.raises(FieldcastError, match="LSTM has no blocks that could be computed again: leave recompute out"):
        fit(subject.build(SIZES), subject.windows(SIZES), dataclasses.replace(OPTIONS, recompute=True), progress=False)


def test_every_trained_graph_backbone_names_its_blocks() -> None:
    assert {"agcrn", "d2stgnn", "dcrnn", "graph_wavenet", "staeformer", "stgcn", "stid"} <= set(WITH_BLOCKS)
