"""STGCN and GCN-GRU: the parameters of the specification, the equations, sparse like dense."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fieldcast.core.registry import BACKBONES
from fieldcast.core.spec import Spec
from fieldcast.data.graph import Graph
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create, export
from fieldcast.nn.calendar import calendar_channels
from fieldcast.nn.graph import Support
from tests.backbones.common import arrays, assert_equals, clock_of, inputs, over_ring, parameters, ring, spec, stirred
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
    laplacian = backbone.laplacian.tensor().numpy()  # type: ignore[union-attr]
    assert_equals(
        backbone, form,
        lambda x, ctx: stgcn(
            x, clock_of(form, ctx) if calendar_inputs else None, laplacian, arrays(backbone), form.horizon
        ),
    )  # fmt: skip


def test_stgcn_takes_the_laplacian_unscaled_too() -> None:
    form = over_ring(spec(4))
    scaled, plain = (stirred("stgcn", form, scaled=each).laplacian.tensor() for each in (True, False))  # type: ignore[union-attr]
    graph = form.graph.without_self_loops()  # type: ignore[union-attr]
    np.testing.assert_allclose(plain, graph.supports("normalised_laplacian", dense=True)[0], atol=1e-6)
    assert not torch.equal(plain, scaled)


def test_directed_edges_are_refused_where_told() -> None:
    windows = tiny_windows(graph=ring(3))
    create("stgcn", windows)
    with pytest.raises(FieldcastError, match="a symmetric graph is needed"):
        create("stgcn", windows, directed="refuse")
    both = Graph.from_adjacency(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0.0]]))
    create("stgcn", tiny_windows(graph=both), directed="refuse")


def test_stgcn_on_a_laplacian_of_zero() -> None:
    """Two nodes joined by one edge have M = [[0, -1], [-1, 0]]; where M = 0, T_2 = -I."""
    pair = Graph.from_adjacency(np.array([[0, 1], [1, 0]]))
    np.testing.assert_allclose(pair.supports("scaled_laplacian", dense=True)[0], [[0, -1], [-1, 0]], atol=1e-7)
    convolution = stirred("stgcn", over_ring(spec(2)), calendar_inputs=False).blocks[0].graph  # type: ignore[index,union-attr]
    x = torch.randn(1, 2, 2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        u = convolution.align(x)
        w0, _, w2 = convolution.linear.weight.chunk(3, dim=1)
        by_hand = (u @ (w0 - w2).T + convolution.linear.bias + u).relu()
        torch.testing.assert_close(convolution(x, Support(np.zeros((2, 2)))), by_hand, rtol=0, atol=1e-12)


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


def test_supports_are_those_of_the_equations() -> None:
    """From the weights of a directed ring with self loops: walks both ways, and STGCN's Laplacian without the loops."""
    form = over_ring(spec(4))
    matrix = form.graph.adjacency().toarray().astype(np.float64)  # type: ignore[union-attr]
    walks = [each / each.sum(axis=1, keepdims=True) for each in (matrix, matrix.T)]
    for name, expected in (
        ("dcrnn", walks), ("gcn_gru", walks), ("graph_wavenet", [walk.T for walk in walks])
    ):  # fmt: skip
        made = stirred(name, form).walks  # type: ignore[union-attr]
        for support, walk in zip(made, expected, strict=True):  # type: ignore[arg-type]
            np.testing.assert_allclose(support.tensor().numpy(), walk, atol=1e-7)
    masks = stirred("d2stgnn", form).walks.numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(masks, np.stack([walk.T for walk in walks]), atol=1e-6)
    undirected = np.maximum(matrix, matrix.T) * (1 - np.eye(4))
    root = np.diag(undirected.sum(axis=1) ** -0.5)
    laplacian = np.eye(4) - root @ undirected @ root
    scaled = 2 * laplacian / np.linalg.eigvalsh(laplacian)[-1] - np.eye(4)
    np.testing.assert_allclose(stirred("stgcn", form).laplacian.tensor().numpy(), scaled, atol=1e-6)  # type: ignore[union-attr,operator]


@pytest.mark.parametrize("name", ["stgcn", "gcn_gru", "graph_wavenet", "dcrnn"])
def test_what_holds_its_graph_by_edges_is_not_exported(name: str) -> None:
    forecaster = create(name, tiny_windows(graph=ring(3)), sparse=True)
    with pytest.raises(FieldcastError, match="by edges here"):
        export(forecaster)


@pytest.mark.parametrize("name", ["stgcn", "gcn_gru", "graph_wavenet", "dcrnn"])
def test_sparse_supports_give_what_dense_ones_give(name: str) -> None:
    form = over_ring(spec(6, lookback=12, horizon=3))
    x, ctx = inputs(form)
    dense, sparse = (stirred(name, form, sparse=by_edges) for by_edges in (False, True))
    with torch.no_grad():
        torch.testing.assert_close(sparse(x, ctx), dense(x, ctx), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["stgcn", "gcn_gru", "graph_wavenet", "dcrnn"])
def test_a_graph_is_needed_and_must_fit(name: str) -> None:
    with pytest.raises(FieldcastError, match="needs a graph"):
        create(name, tiny_windows())
    with pytest.raises(FieldcastError, match="the graph has 5 nodes"):
        tiny_windows(graph=ring(5))


@pytest.mark.parametrize("name", [name for name in BACKBONES.names() if BACKBONES.get(name).needs_graph])  # type: ignore[attr-defined]
def test_a_graph_without_edges_is_refused(name: str) -> None:
    with pytest.raises(FieldcastError, match="has no edge"):
        create(name, tiny_windows(graph=Graph.from_adjacency(np.zeros((3, 3)))))


@pytest.mark.parametrize(("name", "limit"), [("graph_wavenet", 2.4), ("agcrn", 1.8), ("d2stgnn", 3.5)])
def test_one_window_of_307_sensors_keeps_to_its_budget(name: str, limit: float) -> None:
    """In 1e9 operations, as torch counts them: a product made twice, or with an identity, would show."""
    form = over_ring(spec(307))
    x, ctx = inputs(form, batch=1, neutral=False)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        stirred(name, form)(x, ctx)
    assert counted.get_total_flops() / 1e9 <= limit
