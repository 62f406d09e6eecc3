"""Graph WaveNet: the parameters of the specification, the equations, its reach over the look-back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fieldcast.core.spec import Spec
from tests.backbones.common import arrays, assert_equals, clock_of, inputs, over_ring, parameters, spec, stirred
from tests.reference.graph_wavenet import graph_wavenet

SMALL = {"width": 4, "skip_width": 5, "end_width": 6, "embedding_width": 3}


@pytest.mark.parametrize(
    ("nodes", "largest", "official"),
    [(207, 300_984, 309_400), (325, 303_344, 311_760), (358, 304_004, 312_420), (307, 302_984, 311_400),
     (883, 314_504, 322_920), (170, 300_244, 308_660), (716, 311_164, 319_580)],
)  # fmt: skip
def test_parameters(nodes: int, largest: int, official: int) -> None:
    assert parameters("graph_wavenet", over_ring(spec(nodes)), legacy_params=True) == largest
    two = over_ring(spec(nodes, channels=2))
    whole = {"calendar_inputs": False, "legacy_params": True, "residual_maps": True}
    assert parameters("graph_wavenet", two, **whole) == official
    assert parameters("graph_wavenet", over_ring(spec(nodes))) == largest - 7_264


@pytest.mark.parametrize("calendar_inputs", [True, False])
@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize(
    ("form", "blocks"),
    [(spec(4), 4), (spec(1, lookback=5, horizon=2), 4), (spec(3, lookback=15, horizon=3, channels=3, targets=2), 5)],
    ids=["12 to 12", "short", "longer than 13"],
)
def test_equals_the_plain_form(form: Spec, blocks: int, adaptive: bool, calendar_inputs: bool) -> None:
    form = over_ring(form)
    backbone = stirred("graph_wavenet", form, adaptive=adaptive, calendar_inputs=calendar_inputs, **SMALL)
    for layer in backbone.layers[:-1]:  # type: ignore[index,union-attr]
        layer.norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))
        layer.norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
    walks = [walk.tensor().numpy().T for walk in backbone.walks]  # type: ignore[union-attr]
    walk = form.graph.supports("random_walk", dense=True)[0]  # type: ignore[union-attr]
    np.testing.assert_allclose(walks[0], walk, atol=1e-7)
    assert_equals(
        backbone, form,
        lambda x, ctx: graph_wavenet(
            x, clock_of(form, ctx) if calendar_inputs else None, walks, arrays(backbone), form.horizon, blocks
        ),
    )  # fmt: skip


@pytest.mark.parametrize("lookback", [1, 12, 13, 24])
def test_the_whole_look_back_is_seen(lookback: int) -> None:
    """The receptive field is 13 steps, and grows with the look-back."""
    form = over_ring(spec(3, lookback=lookback))
    x, ctx = inputs(form)
    x.requires_grad_()
    stirred("graph_wavenet", form, width=4, skip_width=32, end_width=32)(x, ctx).sum().backward()
    assert x.grad is not None and bool((x.grad.abs().sum(dim=(0, 2, 3)) > 0).all())


def test_a_short_look_back_is_one_with_zeros_before() -> None:
    short, long = over_ring(spec(3, lookback=12)), over_ring(spec(3, lookback=13))
    x, ctx = inputs(short)
    padded = torch.cat([torch.zeros_like(x[:, :1]), x], dim=1)
    first, second = (stirred("graph_wavenet", form, calendar_inputs=False, **SMALL) for form in (short, long))
    with torch.no_grad():
        torch.testing.assert_close(first(x, ctx), second(padded, ctx), rtol=0, atol=1e-12)


def test_all_links_are_the_whole_graph_and_few_are_its_strongest() -> None:
    form = over_ring(spec(6))
    x, ctx = inputs(form)
    whole, all_links, three = (stirred("graph_wavenet", form, links=links, **SMALL) for links in (None, 6, 3))
    with torch.no_grad():
        torch.testing.assert_close(all_links(x, ctx), whole(x, ctx), rtol=0, atol=1e-12)
        positions, weights = three.adaptive(three.source, three.target)  # type: ignore[operator]
        scores = (three.source @ three.target.T).relu()  # type: ignore[operator,union-attr]
    assert positions.shape == weights.shape == (6, 3)
    torch.testing.assert_close(weights, scores.gather(1, positions).softmax(dim=1), rtol=0, atol=1e-12)
    assert bool((scores.gather(1, positions).amin(dim=1) >= scores.sort(dim=1).values[:, -3] - 1e-12).all())
    three(x, ctx).sum().backward()
    assert three.source.grad is not None and bool(three.source.grad.any())  # type: ignore[union-attr]
