"""STGCN and GCN-GRU: the parameters of the specification, the equations, sparse like dense."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fieldcast.core.spec import Spec
from fieldcast.data.graph import Graph
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from fieldcast.nn.calendar import calendar_channels
from tests.backbones.common import arrays, inputs, over_ring, parameters, ring, spec, stirred
from tests.reference.gcn_gru import gcn_gru
from tests.reference.stgcn import stgcn
from tests.tiny import tiny_windows


@pytest.mark.parametrize("nodes", [207, 325, 358, 307, 883, 170, 716])
def test_stgcn_has_the_parameters_of_the_specification(nodes: int) -> None:
    form = over_ring(spec(nodes))
    assert parameters("stgcn", form, calendar_inputs=False, legacy_params=True) == 140_044 + 512 * nodes
    assert parameters("stgcn", form, legacy_params=True) == 140_940 + 512 * nodes
    assert parameters("stgcn", form, calendar_inputs=False) == 140_044 - 14_784 + 512 * nodes
    assert parameters("stgcn", form) == 140_940 - 14_912 + 512 * nodes


@pytest.mark.parametrize("calendar_inputs", [True, False])
@pytest.mark.parametrize(
    "form",
    [spec(4), spec(1, lookback=5, horizon=2), spec(3, lookback=10, horizon=3, channels=3, targets=2)],
    ids=["12 to 12", "shorter than its convolutions", "ten steps, two targets"],
)
def test_stgcn_equals_the_plain_form(form: Spec, calendar_inputs: bool) -> None:
    form = over_ring(form)
    hyper = {"width": 6, "bottleneck": 3, "end_width": 5, "calendar_inputs": calendar_inputs}
    backbone = stirred("stgcn", form, **hyper)
    x, ctx = inputs(form)
    clock = calendar_channels(ctx.calendar[:, : form.lookback, :2], form.calendar_sizes).double()
    laplacian = backbone.laplacian.tensor().numpy()  # type: ignore[union-attr]
    expected = stgcn(x.numpy(), clock.numpy() if calendar_inputs else None, laplacian, arrays(backbone), form.horizon)
    with torch.no_grad():
        actual = backbone(x, ctx).numpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))


def test_stgcn_on_a_laplacian_of_zero() -> None:
    """Two nodes joined by one edge have M = [[0, -1], [-1, 0]]; a lone node has M = 0, so T_2 = -I."""
    pair = Graph.from_adjacency(np.array([[0, 1], [1, 0]]))
    np.testing.assert_allclose(pair.supports("scaled_laplacian", dense=True)[0], [[0, -1], [-1, 0]], atol=1e-7)
    form = spec(1).with_(graph=Graph.from_adjacency(np.zeros((1, 1))))
    convolution = stirred("stgcn", form, calendar_inputs=False).blocks[0].graph  # type: ignore[index,union-attr]
    x = torch.randn(1, 2, 1, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        u = convolution.align(x)
        w0, w1, w2 = convolution.linear.weight.chunk(3, dim=1)
        support = stirred("stgcn", form, calendar_inputs=False).laplacian
        zero = float(support.tensor()[0, 0])  # type: ignore[operator]
        by_hand = (u @ (w0 + zero * w1 + (2 * zero**2 - 1) * w2).T + convolution.linear.bias + u).relu()
        torch.testing.assert_close(convolution(x, support), by_hand, rtol=0, atol=1e-12)


def test_gcn_gru_equals_the_plain_form() -> None:
    form = over_ring(spec(4, lookback=5, horizon=3, channels=2, targets=2))
    backbone = stirred("gcn_gru", form, width=4)
    x, ctx = inputs(form)
    clock = calendar_channels(ctx.calendar[:, :5, :2], form.calendar_sizes).double()
    full = torch.cat([x, clock.unsqueeze(2).expand(-1, -1, 4, -1)], dim=-1).numpy()
    walks = [walk.tensor().numpy() for walk in backbone.walks]  # type: ignore[union-attr]
    with torch.no_grad():
        actual = backbone(x, ctx).numpy()
    np.testing.assert_allclose(actual, gcn_gru(full, walks, arrays(backbone), 4, 3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["stgcn", "gcn_gru", "graph_wavenet", "dcrnn"])
def test_sparse_supports_give_what_dense_ones_give(name: str) -> None:
    form = over_ring(spec(6, lookback=12, horizon=3))
    x, ctx = inputs(form)
    dense, sparse = (stirred(name, form, sparse=by_edges).float() for by_edges in (False, True))
    with torch.no_grad():
        torch.testing.assert_close(sparse(x.float(), ctx), dense(x.float(), ctx), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["stgcn", "gcn_gru", "graph_wavenet", "dcrnn"])
def test_a_graph_is_needed_and_must_fit(name: str) -> None:
    with pytest.raises(FieldcastError, match="needs a graph"):
        create(name, tiny_windows())
    with pytest.raises(FieldcastError, match="the graph has 5 nodes"):
        tiny_windows(graph=ring(5))


def test_stgcn_refuses_a_graph_without_edges() -> None:
    with pytest.raises(FieldcastError, match="has no edge"):
        create("stgcn", tiny_windows(graph=Graph.from_adjacency(np.zeros((3, 3)))))
