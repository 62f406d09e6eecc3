"""The plainly written backbones that speed is measured against compute what ours compute, gradients too."""

from __future__ import annotations

from copy import deepcopy
from inspect import signature

import pytest
import torch
from benchmarks.plain import PLAIN
from benchmarks.ratios import forward_of
from torch import Tensor

from fieldcast.core.registry import BACKBONES
from tests.backbones.common import inputs, over_ring, spec, stirred

COMPARED = {"stgcn": 4, "graph_wavenet": 7, "agcrn": 3, "staeformer": 41, "d2stgnn": 16, "dcrnn": 2}
"""How many of its tensors at least."""


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("nodes", [4, 1])
def test_both_compute_the_same(name: str, nodes: int, training: bool) -> None:
    """In training mode too, without dropout; gradients of inputs and of what both lay out alike element by element."""
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
    theirs_by_name = dict(plain.named_parameters())
    compared = 0
    for each, parameter in backbone.named_parameters():
        other = theirs_by_name.get(each)  # where it is laid out in the same way
        if other is not None and parameter.grad is not None and sizes(parameter) == sizes(other):
            assert other.grad is not None
            close(parameter.grad, other.grad.view_as(parameter.grad), each)
            compared += 1
    assert compared >= COMPARED[name], compared


def sizes(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape if size > 1]


def close(actual: Tensor | None, expected: Tensor | None, what: str = "") -> None:
    assert actual is not None and expected is not None
    size = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11 * size, msg=lambda said: f"{what}: {said}")
