"""AGCRN: the parameters of the specification, the equations, its special cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fieldcast.core.spec import Spec
from fieldcast.nn.adaptive import AdaptiveAdjacency
from tests.backbones.common import arrays, assert_equals, clock_of, inputs, parameters, spec, stirred
from tests.reference.agcrn import agcrn


@pytest.mark.parametrize(
    ("nodes", "ten", "two", "with_clock"),
    [(207, 747_810, 150_186, 755_490), (325, 748_990, 150_422, 756_670), (358, 749_320, 150_488, 757_000),
     (307, 748_810, 150_386, 756_490), (883, 754_570, 151_538, 762_250), (170, 747_440, 150_112, 755_120),
     (716, 752_900, 151_204, 760_580)],
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


def test_with_nodes_alike_it_is_an_ordinary_graph_gru() -> None:
    """Embeddings of 1 / d and pools that do not depend on d: every node has the pool's weights and the mean's graph."""
    form = spec(4, horizon=2)
    x, ctx = inputs(form)
    backbone = stirred("agcrn", form, width=3, layers=1, calendar_inputs=False)
    cell = backbone.cells[0]  # type: ignore[index]
    with torch.no_grad():
        backbone.embedding.fill_(1 / backbone.embedding.shape[1])  # type: ignore[union-attr]
        for pool in cell.parameters():
            pool.copy_(pool[:1].expand_as(pool))
        actual = backbone(x, ctx)
    own, around = np.eye(4), np.full((4, 4), 1 / 4)

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    def convolve(v: np.ndarray, pool: torch.Tensor, bias: torch.Tensor) -> np.ndarray:
        weight = pool[0].detach().numpy()  # [order, C + width, D]
        return own @ v @ weight[0] + around @ v @ weight[1] + bias[0].detach().numpy()

    for series, forecast in zip(x.numpy(), actual.numpy(), strict=True):
        h = np.zeros((4, 3))
        for step in series:
            gates = sigmoid(convolve(np.concatenate([step, h], axis=1), cell.gate_pool, cell.gate_bias))
            z, r = gates[:, :3], gates[:, 3:]
            held = np.concatenate([step, z * h], axis=1)
            h = r * h + (1 - r) * np.tanh(convolve(held, cell.candidate_pool, cell.candidate_bias))
        weights = arrays(backbone)
        y = h @ weights["output.weight"].T + weights["output.bias"]  # [N, H]
        np.testing.assert_allclose(forecast[..., 0], y.T, rtol=0, atol=1e-12 * max(1.0, np.abs(y).max()))
