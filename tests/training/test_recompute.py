"""Blocks computed again in the backward pass: the bits of ordinary training, with less held in between."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from fieldcast.core.registry import BACKBONES
from fieldcast.errors import FieldcastError
from fieldcast.training.fitting import fit
from fieldcast.training.recompute import blocks_of, recomputing
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

    def keep_what_enters(_: object, args: object) -> None:  # in lists too, which the hooks below do not see
        for each in tree_leaves(args):
            if isinstance(each, Tensor):
                keep(each)

    for block in blocks_of(forecaster.backbone):
        block.register_forward_pre_hook(keep_what_enters)
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


def test_what_is_no_module_is_refused() -> None:
    backbone = Subject("stid").build(SIZES).backbone
    backbone.recompute_blocks = ("blokcs",)  # type: ignore[misc]
    with pytest.raises(FieldcastError, match="recompute_blocks names 'blokcs', which is no module of it"):
        blocks_of(backbone)


def test_a_forward_of_the_block_s_own_comes_back_and_a_block_named_twice_is_one() -> None:
    backbone = Subject("stid").build(SIZES).backbone
    backbone.recompute_blocks = ("blocks", "blocks.0")  # type: ignore[misc]
    first, *others = blocks_of(backbone)
    assert len(others) == len(backbone.get_submodule("blocks")._modules) - 1
    own = first.forward = first.forward
    with recomputing(backbone):
        assert first.forward is not own
    assert first.forward is own and all("forward" not in vars(block) for block in others)
