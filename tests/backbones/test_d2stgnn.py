"""D2STGNN: the parameters of the specification, the equations, its graphs."""

from __future__ import annotations

import pytest
import torch

from fieldcast.backbones.d2stgnn import _powers
from fieldcast.core.spec import Spec
from fieldcast.errors import FieldcastError
from tests.backbones.common import arrays, assert_equals, inputs, over_ring, parameters, spec, stirred
from tests.reference.d2stgnn import d2stgnn

SMALL = {"hidden": 4, "embedding_width": 3, "heads": 2, "forecast_width": 5, "end_width": 6}


@pytest.mark.parametrize(
    ("nodes", "ten", "twelve"),
    [(207, 391_962, 396_388), (325, 394_322, 399_220), (358, 394_982, 400_012), (307, 393_962, 398_788),
     (883, 405_482, 412_612), (170, 391_222, 395_500)],
)  # fmt: skip
def test_parameters(nodes: int, ten: int, twelve: int) -> None:
    form = over_ring(spec(nodes))
    for width, count in ((10, ten), (12, twelve)):
        assert parameters("d2stgnn", form, legacy_params=True, embedding_width=width) == count
        unused = 320 + 32 * width + 32 + 1_120
        assert parameters("d2stgnn", form, embedding_width=width) == count - unused


def test_parameters_with_slots_of_a_quarter_of_an_hour() -> None:
    """San Diego in LargeST: 716 sensors, 96 slots a day, 406 K as published there."""
    form = over_ring(spec(716, sizes=(96, 7, 366)))
    assert parameters("d2stgnn", form, legacy_params=True, embedding_width=12) == 406_300


@pytest.mark.parametrize(
    ("form", "layers", "gap"),
    [(spec(3), 5, 3), (spec(1, lookback=4, horizon=2), 2, 3), (spec(3, 3, 7, channels=2, targets=2), 2, 2)],
    ids=["12 to 12", "short, one node", "padded, gap does not divide"],
)  # fmt: skip
def test_equals_the_plain_form(form: Spec, layers: int, gap: int) -> None:
    form = over_ring(form)
    backbone = stirred("d2stgnn", form, layers=layers, gap=gap, **SMALL)
    backbone.graphs.norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr,operator]
    backbone.graphs.norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))  # type: ignore[union-attr,operator]
    walks = form.graph.supports("double_transition", dense=True)  # type: ignore[union-attr]
    masks = backbone.walks.numpy() - 1e-7  # type: ignore[union-attr]
    assert max(abs(mask - walk.T).max() for mask, walk in zip(masks, walks, strict=True)) < 1e-7
    exact = [mask.T for mask in masks]
    assert_equals(
        backbone, form,
        lambda x, ctx: d2stgnn(x, ctx.calendar.numpy(), exact, arrays(backbone), form.horizon, layers, 2, gap),
    )  # fmt: skip


def test_dynamic_graphs_are_distributions_and_powers_have_no_diagonal() -> None:
    form = over_ring(spec(5, lookback=6))
    backbone = stirred("d2stgnn", form, **SMALL)
    x, _ = inputs(form)
    clock = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = backbone.graphs(x.transpose(1, 2).flatten(2), clock, backbone.source, backbone.target, backbone.walks)  # type: ignore[operator]
    assert len(made) == 2
    for graph in made:
        torch.testing.assert_close(graph.sum(dim=-1), torch.ones(2, 5, dtype=torch.float64), rtol=0, atol=1e-12)
        once, twice = _powers(graph)
        assert not once.diagonal(dim1=1, dim2=2).any() and not twice.diagonal(dim1=1, dim2=2).any()
        off = ~torch.eye(5, dtype=torch.bool)
        assert torch.equal(once[:, off], graph[:, off]) and torch.equal(twice[:, off], (graph @ graph)[:, off])


def test_every_layer_takes_two_steps() -> None:
    form = over_ring(spec(3))
    backbone = stirred("d2stgnn", form, **SMALL)
    lengths = []
    for layer in backbone.layers:  # type: ignore[union-attr]
        layer.register_forward_hook(lambda _, __, out: lengths.append(out[0].shape[2]))
    with torch.no_grad():
        backbone(*inputs(form))
    assert lengths == [10, 8, 6, 4, 2]


def test_heads_must_share_the_width() -> None:
    with pytest.raises(FieldcastError, match="5 heads"):
        stirred("d2stgnn", over_ring(spec(2)), **{**SMALL, "heads": 5})


def test_one_window_of_one_node_can_be_trained_on() -> None:
    form = over_ring(spec(1))
    x, ctx = inputs(form, batch=1, neutral=False)
    y = stirred("d2stgnn", form, **SMALL).train()(x, ctx)
    y.sum().backward()
    assert bool(torch.isfinite(y).all())
