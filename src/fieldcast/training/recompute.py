"""Less memory in training: what happens inside a block is computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from fieldcast.core.backbone import Backbone
from fieldcast.errors import FieldcastError


@contextmanager
def recomputing(backbone: Backbone) -> Iterator[None]:
    """Inside, each block of the backbone keeps what enters it, and not what it makes of it, until the backward pass.

    Gradients, running statistics and draws are those of ordinary training, on a CPU to the bit: the state of the
    generator is restored before a block runs again, and batch norms count a mini-batch once.
    Source: Chen et al., 2016, arXiv:1604.06174.
    """
    blocks = blocks_of(backbone)
    if not blocks:
        raise FieldcastError(
            f"{type(backbone).__name__} has no blocks that could be computed again: leave recompute out."
        )
    before = [vars(block).get("forward") for block in blocks]
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, context_fn=partial(_contexts, block))
    try:
        yield
    finally:
        for block, own in zip(blocks, before, strict=True):
            del block.forward  # the class's own again
            if own is not None:
                block.forward = own


def blocks_of(backbone: Backbone) -> list[nn.Module]:
    """The modules that ``recompute_blocks`` names, each once."""
    found: list[nn.Module] = []
    for name in backbone.recompute_blocks:
        try:
            named = backbone.get_submodule(name)
        except AttributeError:
            raise FieldcastError(
                f"{type(backbone).__name__}.recompute_blocks names '{name}', which is no module of it: mend the name."
            ) from None
        found += list(named) if isinstance(named, nn.ModuleList) else [named]
    return list(dict.fromkeys(found))


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the forward pass, and around the second one."""
    if any(parameter.device.type == "mps" for parameter in block.parameters()):
        raise FieldcastError("recompute would draw another dropout on this kind of GPU (mps): leave recompute out.")
    return nullcontext(), _without_statistics(block)


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """Inside, batch norms note what they see in copies that are thrown away."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    kept = [dict(norm._buffers) for norm in norms]
    for norm in norms:
        norm._buffers.update({name: None if each is None else each.clone() for name, each in norm._buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
