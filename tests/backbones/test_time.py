"""Inside a backbone nothing flows back in time, and the whole look-back is heard."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.registry import BACKBONES
from fieldcast.core.spec import Spec
from tests.backbones.common import inputs, over_ring, spec, stirred

# Modules whose outputs run along time, and the axis of it; of one that is called at every step, the steps. What
# STAEformer's attention and D2STGNN's dynamic graphs see of the whole window is left out: there every step hears all.
ALONG_TIME = {
    "lstm": (("lstm",), 1),
    "stgcn": (("blocks.0.before", "blocks.0.graph", "blocks.0", "blocks.1"), 1),
    "graph_wavenet": (tuple(f"layers.{i}" for i in range(7)), 0),
    "agcrn": (("cells.0", "cells.1"), 0),
    "dcrnn": (("encoder.0", "encoder.1"), 0),
    "gcn_gru": (("gates", "candidate"), 0),
    "d2stgnn": (("layers.0.inherent.gru",), 1),
}
# The last layer of AGCRN tells of its last state alone: a third shows the second whole.
HYPER = {"d2stgnn": {"dropout": 0.0}, "agcrn": {"layers": 3}}


def along_time(backbone: Backbone, form: Spec, x: Tensor, names: tuple[str, ...]) -> list[Tensor]:
    found: dict[Any, list[Tensor]] = {}

    def keep(module: Any, _: Any, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        output = torch.stack(output) if isinstance(output, list) else output
        found.setdefault(module, []).append(output.detach())

    hooks = [backbone.get_submodule(name).register_forward_hook(keep) for name in names]
    with torch.no_grad():
        backbone(x, inputs(form)[1])
    for hook in hooks:
        hook.remove()
    return [torch.stack(outputs) if len(outputs) > 1 else outputs[0] for outputs in found.values()]


@pytest.mark.parametrize("step", [3, 7, 11])
@pytest.mark.parametrize("name", ALONG_TIME)
def test_a_reading_changes_no_earlier_step(name: str, step: int) -> None:
    form = over_ring(spec(4))
    backbone = stirred(name, form, **HYPER.get(name, {}))
    if name == "d2stgnn":  # its graphs see the whole window: what flows through the GRU is tried without them
        backbone.graphs.register_forward_hook(lambda _, __, output: [0 * graph for graph in output])  # type: ignore[union-attr]
    names, axis = ALONG_TIME[name]
    x, _ = inputs(form)
    other = x.clone()
    other[:, step] += 1.0
    for before, after in zip(
        along_time(backbone, form, x, names), along_time(backbone, form, other, names), strict=True
    ):
        steps = before.shape[axis]
        earlier = max(0, steps - (form.lookback - step))  # outputs are aligned to the right
        assert torch.equal(before.narrow(axis, 0, earlier), after.narrow(axis, 0, earlier))
        assert not torch.equal(before, after)


TRAINED = [name for name in BACKBONES.names() if (cls := BACKBONES.get(name)).trainable and not cls.needs_grid]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", TRAINED)
def test_every_step_of_the_look_back_has_a_say(name: str) -> None:
    form = over_ring(spec(4))
    x, ctx = inputs(form)
    x.requires_grad_()
    stirred(name, form)(x, ctx).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum(dim=(0, 2, 3)).gt(0).all()
