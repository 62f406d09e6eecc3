"""Operators equal plain dense formulas, sparse and dense agree, and what they cannot take is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.graph import Graph, from_coordinates, from_grid
from fieldcast.data.graph.operators import largest_eigenvalue
from fieldcast.errors import FieldcastError
from tests.data.graph.graphs import matrices, random_matrix, split_edges
from tests.datasets import dataset_path

# Plain forms, loop by loop.


def plain_walk(matrix: np.ndarray) -> np.ndarray:
    walk = np.zeros_like(matrix)
    for i, row in enumerate(matrix):
        if row.sum() > 0:
            walk[i] = row / row.sum()
    return walk


def plain_laplacian(matrix: np.ndarray) -> np.ndarray:
    matrix = np.maximum(matrix, matrix.T)
    degree = matrix.sum(axis=1)
    laplacian = np.eye(len(matrix))
    for i in range(len(matrix)):
        for j in range(len(matrix)):
            if matrix[i, j]:
                laplacian[i, j] -= matrix[i, j] / np.sqrt(degree[i] * degree[j])
    return laplacian


def plain_scaled(matrix: np.ndarray, largest: float | None = None) -> np.ndarray:
    laplacian = plain_laplacian(matrix)
    largest = largest or np.linalg.eigvalsh(laplacian).max() or 2.0
    return 2 * laplacian / largest - np.eye(len(matrix))


def plain_chebyshev(matrix: np.ndarray, order: int) -> list[np.ndarray]:
    """By the eigenvalues: T_k(cos a) = cos(k a)."""
    values, vectors = np.linalg.eigh(plain_scaled(matrix))
    angles = np.arccos(values.clip(-1, 1))
    return [vectors @ np.diag(np.cos(k * angles)) @ vectors.T for k in range(order)]


PLAIN: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "adjacency": lambda matrix: [matrix],
    "random_walk": lambda matrix: [plain_walk(matrix)],
    "double_transition": lambda matrix: [plain_walk(matrix), plain_walk(matrix.T)],
    "normalised_laplacian": lambda matrix: [plain_laplacian(matrix)],
    "scaled_laplacian": lambda matrix: [plain_scaled(matrix)],
    "chebyshev": lambda matrix: plain_chebyshev(matrix, 3),
}


@settings(deadline=None, max_examples=60)
@given(matrix=matrices, name=st.sampled_from(sorted(PLAIN)), seed=st.integers(0, 99))
def test_sparse_and_dense_equal_the_plain_form(matrix: np.ndarray, name: str, seed: int) -> None:
    graph = split_edges(matrix, seed)
    loops_alone = graph.without_self_loops().empty and name in ("scaled_laplacian", "chebyshev")
    if graph.nodes > 1 and (loops_alone or (graph.empty and name == "double_transition")):
        with pytest.raises(FieldcastError, match="has no edge"):
            graph.supports(name)
        return
    expected = PLAIN[name](matrix.astype(np.float64))
    thin, full = graph.supports(name), graph.supports(name, dense=True)
    assert len(thin) == len(full) == len(expected)
    for sparse, dense, plain in zip(thin, full, expected, strict=True):
        assert sparse.format == "csr" and sparse.dtype == dense.dtype == np.float32
        np.testing.assert_allclose(dense, plain, atol=2e-6)
        np.testing.assert_allclose(sparse.toarray(), dense, atol=1e-6, rtol=0)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_the_stack_has_as_many_matrices_as_its_order(order: int) -> None:
    matrix = random_matrix(7, 3)
    stack = Graph.from_adjacency(matrix).supports("chebyshev", order=order, dense=True)
    assert len(stack) == order
    for made, plain in zip(stack, plain_chebyshev(matrix.astype(np.float64), order), strict=True):
        np.testing.assert_allclose(made, plain, atol=1e-5)


def test_a_given_lambda_max_is_taken() -> None:
    matrix = random_matrix(6, 1)
    made = Graph.from_adjacency(matrix).supports("scaled_laplacian", lambda_max=2, dense=True)[0]
    np.testing.assert_allclose(made, plain_scaled(matrix.astype(np.float64), 2.0), atol=1e-6)


@pytest.mark.parametrize("graph", [from_grid(20, 20), from_grid(1, 400, neighbours=4)], ids=["grid", "path"])
def test_the_largest_eigenvalue_of_large_graphs(graph: Graph) -> None:
    dense = np.linalg.eigvalsh(plain_laplacian(graph.adjacency().toarray().astype(np.float64))).max()
    assert largest_eigenvalue(graph) == pytest.approx(dense, rel=1e-6)
    assert largest_eigenvalue(graph) == largest_eigenvalue(graph)  # to the bit: the start vector is fixed


def test_the_largest_eigenvalue_of_a_ring() -> None:
    # All ones is an eigenvector of a ring, and would find 0.
    index = np.stack([np.arange(300), np.roll(np.arange(300), -1)])
    ring = Graph(300, index, np.ones(300, np.float32))
    assert largest_eigenvalue(ring) == pytest.approx(2.0, abs=1e-6)


def test_eigenvalues_of_the_scaled_laplacian_lie_in_the_unit_interval() -> None:
    rng = np.random.default_rng(0)
    graph = from_coordinates(rng.uniform(40, 50, (300, 2)), 4)
    values = np.linalg.eigvalsh(graph.supports("scaled_laplacian", dense=True)[0].astype(np.float64))
    assert values.max() == pytest.approx(1, abs=1e-5) and values.min() >= -1 - 1e-5


def test_nodes_without_edges() -> None:
    matrix = np.zeros((4, 4))
    matrix[0, 1] = matrix[1, 0] = 1.0
    matrix[2, 2] = 0.5  # a self loop alone; node 3 has nothing
    graph = Graph.from_adjacency(matrix)
    walk, back = graph.supports("double_transition", dense=True)
    assert not walk[3].any() and not back[3].any() and walk[2, 2] == 1
    laplacian = graph.supports("normalised_laplacian", dense=True)[0]
    np.testing.assert_allclose(laplacian, [[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], atol=1e-7)


def test_one_node_has_every_operator() -> None:
    for name in PLAIN:
        assert all(support.shape == (1, 1) for support in Graph.from_adjacency(np.zeros((1, 1))).supports(name))


@pytest.mark.parametrize("name", ["normalised_laplacian", "scaled_laplacian", "chebyshev"])
def test_directed_graphs_are_refused_where_told(name: str) -> None:
    matrix = np.ones((3, 3))
    Graph.from_adjacency(matrix).supports(name, symmetric="refuse")
    matrix[0, 2] = 0.25
    with pytest.raises(FieldcastError, match=r"edge from 0 to 2 weighs 0\.25 and its reverse 1"):
        Graph.from_adjacency(matrix).supports(name, symmetric="refuse")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("scaled_laplacien", {}, "did you mean 'scaled_laplacian'"),
        ("double_transitions", {}, "did you mean 'double_transition'"),
        ("chebyshev", {"orders": 3}, "did you mean 'order'"),
        ("double_transition", {"order": 3}, "it takes none"),
        ("chebyshev", {"order": 0}, "give at least 1"),
        ("scaled_laplacian", {"lambda_max": 0}, "lambda_max is 0"),
        ("scaled_laplacian", {"lambda_max": float("nan")}, "lambda_max is nan"),
        ("normalised_laplacian", {"symmetric": "maximum"}, "did you mean 'max'"),
    ],
)
def test_unknown_names_and_options_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(FieldcastError) as caught:
        from_grid(2, 2).supports(name, **options)
    assert said in str(caught.value)


def test_operators_of_a_real_graph() -> None:
    with np.load(dataset_path("los_loop_week") / "graph_dcrnn.npz") as arrays:
        matrix = np.zeros((207, 207))
        matrix[tuple(arrays["edge_index"])] = arrays["edge_weight"]
    graph = Graph.from_npz(dataset_path("los_loop_week") / "graph_dcrnn.npz", 207)
    for name, plain in PLAIN.items():
        for made, expected in zip(graph.supports(name), plain(matrix), strict=True):
            np.testing.assert_allclose(made.toarray(), expected, atol=2e-6)
