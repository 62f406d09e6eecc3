"""The plainly written backbones that speed is measured against compute what ours compute, gradients too."""

from __future__ import annotations

from copy import deepcopy
from inspect import signature

import pytest
import torch
from benchmarks.plain import PLAIN
from benchmarks.ratios import forward_of
from torch import Tensor, nn

from fieldcast.core.registry import BACKBONES
from tests.backbones.common import inputs, over_ring, spec, stirred


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("nodes", [4, 1])
def test_both_compute_the_same(name: str, nodes: int, training: bool) -> None:
    """In training mode too, without dropout; gradients of the inputs and of the last maps element by element."""
    form = over_ring(spec(nodes, horizon=6))
    without = {"dropout": 0.0} if "dropout" in signature(BACKBONES.get(name)).parameters else {}
    backbone = stirred(name, form, **without).train(training)
    for parameter in backbone.parameters():  # small, so that sums over many channels keep their digits
        parameter.data *= 0.3
    x, ctx = inputs(form, neutral=False)
    plain = PLAIN[name](deepcopy(backbone)).double().train(training)  # type: ignore[arg-type]
    for module in plain.modules():
        if isinstance(walks := module.__dict__.get("walks"), list):
            walks[:] = [walk.double() for walk in walks]
        if "gso" in module.__dict__:
            module.gso = module.gso.double()
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    actual = backbone(ours, ctx)
    expected = forward_of(plain, theirs, ctx, bool(backbone.calendar_inputs), backbone.calendar_sizes)()  # type: ignore[arg-type]
    close(actual, expected)
    actual.square().sum().backward()
    expected.square().sum().backward()
    close(ours.grad, theirs.grad)
    assert ours.grad is not None and bool(ours.grad.any())
    names = ("end1", "end2", "output", "projection", "fc1", "fc2")
    last = [name for name in names if isinstance(getattr(backbone, name, None), nn.Linear)]
    assert last
    for part in last:
        grads = [getattr(model, part).weight.grad for model in (backbone, plain)]
        close(grads[0], grads[1].view_as(grads[0]))


def close(actual: Tensor | None, expected: Tensor | None) -> None:
    assert actual is not None and expected is not None
    size = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11 * size)
