"""The plainly written backbones that speed is measured against compute what ours compute, gradients too."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from benchmarks.plain import PLAIN
from benchmarks.ratios import forward_of

from tests.backbones.common import inputs, over_ring, spec, stirred


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("nodes", [4, 1])
def test_both_compute_the_same(name: str, nodes: int) -> None:
    form = over_ring(spec(nodes, horizon=6))
    backbone = stirred(name, form)
    for parameter in backbone.parameters():  # small, so that sums over many channels keep their digits
        parameter.data *= 0.3
    x, ctx = inputs(form, neutral=False)
    plain = PLAIN[name](deepcopy(backbone)).double().eval()  # type: ignore[arg-type]
    for walks in (module.__dict__.get("walks") for module in plain.modules()):
        if isinstance(walks, list):
            walks[:] = [walk.double() for walk in walks]
    for module in plain.modules():
        if "gso" in module.__dict__:
            module.gso = module.gso.double()
    forward = forward_of(plain, x, ctx, bool(backbone.calendar_inputs), backbone.calendar_sizes)  # type: ignore[arg-type]
    expected = forward()
    actual = backbone(x, ctx)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12 * max(1, float(expected.detach().abs().max())))
    norms = [
        sum(float(parameter.grad.square().sum()) for parameter in model.parameters() if parameter.grad is not None)
        for model, y in ((backbone, actual), (plain, expected))
        if y.square().sum().backward() is None
    ]
    assert norms[1] == pytest.approx(norms[0], rel=1e-9)
