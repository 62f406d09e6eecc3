"""STAEformer: the parameters of the specification, the equations, what its vectors tell apart."""

from __future__ import annotations

import pytest
import torch

from fieldcast.core.spec import Spec
from fieldcast.errors import FieldcastError
from tests.backbones.common import arrays, assert_equals, clock_of, inputs, parameters, spec, stirred
from tests.reference.staeformer import staeformer

SMALL = {
    "input_width": 3, "slot_width": 2, "day_width": 2, "adaptive_width": 5, "hidden": 6, "heads": 3, "layers": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "count"),
    [(207, 1_258_980), (325, 1_372_260), (358, 1_403_940), (307, 1_354_980), (883, 1_907_940), (170, 1_223_460)],
)
def test_parameters(nodes: int, count: int) -> None:
    assert parameters("staeformer", spec(nodes)) == count


@pytest.mark.parametrize("calendar_inputs", [True, False])
@pytest.mark.parametrize("form", [spec(4), spec(1, lookback=1, horizon=2, channels=3, targets=2)], ids=["4", "1"])
def test_equals_the_plain_form(form: Spec, calendar_inputs: bool) -> None:
    backbone = stirred("staeformer", form, calendar_inputs=calendar_inputs, **SMALL)
    assert_equals(
        backbone, form,
        lambda x, ctx: staeformer(
            x, clock_of(form, ctx) if calendar_inputs else None, ctx.calendar.numpy(), arrays(backbone),
            form.horizon, 3,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("calendar_inputs", [True, False])
def test_the_first_layers_queries_are_those_of_the_joined_parts(calendar_inputs: bool) -> None:
    """What `first_qkv` multiplies part by part is the layer's own map of what the layer is given; gradients too."""
    form = spec(3, lookback=4, channels=2)
    backbone = stirred("staeformer", form, calendar_inputs=calendar_inputs, **SMALL)
    given: list[tuple[torch.Tensor, torch.Tensor]] = []
    first = backbone.over_steps[0]  # type: ignore[index,union-attr]
    first.register_forward_pre_hook(lambda _, both: given.append(both))
    backbone(*inputs(form))
    joined, qkv = given[0]
    torch.testing.assert_close(qkv, first.qkv(joined), rtol=0, atol=1e-12)
    weights = (backbone.input.weight, backbone.input.bias, backbone.adaptive_embedding, *first.qkv.parameters())  # type: ignore[union-attr]
    weights += tuple(table.weight for table in (backbone.slot_embedding, backbone.day_embedding))  # type: ignore[union-attr]
    direction = torch.randn_like(qkv)
    for one, other in zip(
        torch.autograd.grad(qkv, weights, direction, retain_graph=True),
        torch.autograd.grad(first.qkv(joined), weights, direction),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["input.bias", "input.weight"])
def test_vectorised_over_weights_it_is_the_loop(name: str) -> None:
    """What is vectorised stands in other strides: nothing may be written into a copy of it."""
    form = spec(3, lookback=4)
    backbone, (x, ctx) = stirred("staeformer", form, **SMALL).eval(), inputs(form)
    weight = dict(backbone.named_parameters())[name].detach()
    several = weight + torch.randn(5, *weight.shape, dtype=weight.dtype)

    def said(one: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(backbone, {name: one}, (x, ctx))

    torch.testing.assert_close(
        torch.func.vmap(said)(several), torch.stack([said(one) for one in several]), rtol=0, atol=1e-12
    )


def test_the_seven_days_are_seven_vectors() -> None:
    form = spec(2, lookback=3)
    x, ctx = inputs(form, batch=7, neutral=False)
    x, ctx.calendar = x[:1].expand(7, -1, -1, -1), ctx.calendar[:1].repeat(7, 1, 1)
    ctx.calendar[:, :, 1] = torch.arange(7)[:, None]
    with torch.no_grad():
        y = stirred("staeformer", form, calendar_inputs=False, **SMALL)(x, ctx)
    assert len({tuple(each.flatten().tolist()) for each in y}) == 7


def test_nodes_are_told_apart_by_their_vectors_alone() -> None:
    form = spec(3, lookback=4)
    x, ctx = inputs(form)
    x = x[:, :, :1].expand(-1, -1, 3, -1)
    backbone = stirred("staeformer", form, **SMALL)
    with torch.no_grad():
        before = backbone(x, ctx)
        backbone.adaptive_embedding[:] = backbone.adaptive_embedding[:, [1, 0, 2]]  # type: ignore[index,operator]
        after = backbone(x, ctx)
    torch.testing.assert_close(after[:, :, [1, 0, 2]], before, rtol=0, atol=1e-12)
    assert not torch.allclose(before[:, :, 0], before[:, :, 1])


def test_heads_must_share_the_width() -> None:
    with pytest.raises(FieldcastError, match="5 heads do not share 12 channels"):
        stirred("staeformer", spec(2), **{**SMALL, "heads": 5})
