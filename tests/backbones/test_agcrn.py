"""AGCRN: the parameters of the specification, the equations, its special cases."""

from __future__ import annotations

import pytest
import torch

from fieldcast.core.spec import Spec
from fieldcast.nn.adaptive import AdaptiveAdjacency
from tests.backbones.common import arrays, assert_equals, clock_of, inputs, parameters, spec, stirred
from tests.reference.agcrn import agcrn


@pytest.mark.parametrize(
    ("nodes", "ten", "two", "with_clock"),
    [(207, 747_810, 150_186, 755_490), (325, 748_990, 150_422, 756_670), (358, 749_320, 150_488, 757_000),
     (307, 748_810, 150_386, 756_490), (883, 754_570, 151_538, 762_250), (170, 747_440, 150_112, 755_120)],
)  # fmt: skip
def test_parameters(nodes: int, ten: int, two: int, with_clock: int) -> None:
    assert parameters("agcrn", spec(nodes), calendar_inputs=False) == ten
    assert parameters("agcrn", spec(nodes), calendar_inputs=False, embedding_width=2) == two
    assert parameters("agcrn", spec(nodes)) == with_clock


@pytest.mark.parametrize("calendar_inputs", [True, False])
@pytest.mark.parametrize(("layers", "order"), [(2, 2), (1, 1), (2, 3)])
@pytest.mark.parametrize("form", [spec(4), spec(1, lookback=1, horizon=2, channels=3, targets=2)], ids=["4", "1"])
def test_equals_the_plain_form(form: Spec, layers: int, order: int, calendar_inputs: bool) -> None:
    hyper = {"width": 3, "embedding_width": 2, "layers": layers, "order": order, "calendar_inputs": calendar_inputs}
    backbone = stirred("agcrn", form, **hyper)
    assert_equals(
        backbone, form,
        lambda x, ctx: agcrn(
            x, clock_of(form, ctx) if calendar_inputs else None, arrays(backbone), form.horizon, layers, order
        ),
    )  # fmt: skip


def test_rows_of_the_graph_are_distributions() -> None:
    embedding = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    graph = AdaptiveAdjacency()(embedding, embedding)
    torch.testing.assert_close(graph.sum(dim=1), torch.ones(7, dtype=torch.float64), rtol=0, atol=1e-12)
    assert bool((graph > 0).all())


def test_one_term_sees_no_neighbour() -> None:
    form = spec(4)
    x, ctx = inputs(form)
    backbone = stirred("agcrn", form, width=3, order=1)
    with torch.no_grad():
        before = backbone(x, ctx)
        after = backbone(torch.cat([x[:, :, :3], x[:, :, 3:] + 1], dim=2), ctx)
    assert torch.equal(before[:, :, :3], after[:, :, :3]) and not torch.equal(before[:, :, 3], after[:, :, 3])
