"""The type Graph: what it refuses, what it hands on, and that files hold all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from fieldcast.data.graph import Graph
from fieldcast.errors import FieldcastError
from tests.data.graph.graphs import matrices, split_edges

ONE = np.array([[0], [1]])


@settings(deadline=None, max_examples=30)
@given(matrix=matrices)
def test_a_matrix_comes_back(matrix: np.ndarray) -> None:
    graph = Graph.from_adjacency(matrix)
    np.testing.assert_array_equal(graph.adjacency().toarray(), matrix)
    np.testing.assert_array_equal(graph.symmetric().adjacency().toarray(), np.maximum(matrix, matrix.T))
    loopless = graph.without_self_loops()
    np.testing.assert_array_equal(loopless.adjacency().toarray(), matrix * (1 - np.eye(len(matrix))))
    np.testing.assert_allclose(graph.symmetric_degree(), np.maximum(matrix, matrix.T).sum(axis=1), rtol=1e-6)
    assert graph.empty == (not matrix.any()) and not graph.frozen


@settings(deadline=None, max_examples=30)
@given(matrix=matrices)
def test_repeated_edges_add_up(matrix: np.ndarray) -> None:
    np.testing.assert_allclose(split_edges(matrix, 0).adjacency().toarray(), matrix, rtol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "index", "weight", "said"),
    [
        (0, np.empty((2, 0), int), [], "0 nodes"),
        (2, np.array([0, 1]), [1.0], "give [2, edges]"),
        (2, ONE.astype(float), [1.0], "whole numbers"),
        (2, ONE, [1.0, 2.0], "one an edge"),
        (1, ONE, [1.0], "outside 0..0"),
        (2, -ONE, [1.0], "outside 0..1"),
        (2, ONE, [np.nan], "not finite (the edge from 0 to 1"),
        (2, ONE, [-0.5], "negative (the edge from 0 to 1: -0.5"),
    ],
)
def test_what_is_no_graph_is_refused(nodes: int, index: np.ndarray, weight: list[float], said: str) -> None:
    with pytest.raises(FieldcastError) as caught:
        Graph(nodes, index, np.array(weight, dtype=np.float32))
    assert said in str(caught.value)


def test_degrees_of_another_size_are_refused() -> None:
    with pytest.raises(FieldcastError, match="in_degree has shape"):
        Graph(2, ONE, np.ones(1, np.float32), in_degree=np.ones(3))


def test_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(FieldcastError, match="square"):
        Graph.from_adjacency(np.ones((2, 3)))


@settings(deadline=None, max_examples=15)
@given(matrix=matrices)
def test_a_frozen_normaliser_goes_through_a_file(tmp_path_factory: pytest.TempPathFactory, matrix: np.ndarray) -> None:
    path: Path = tmp_path_factory.mktemp("graph") / "graph.npz"
    graph = Graph.from_adjacency(matrix).renode(np.array([-1, len(matrix) - 1]))
    np.savez(path, **graph.arrays())  # type: ignore[arg-type]
    again = Graph.from_npz(path, 2)
    assert set(again.arrays()) == set(graph.arrays()) and again.frozen
    for name, value in graph.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], value)


def test_an_unknown_way_to_cut_is_refused_with_the_nearest() -> None:
    with pytest.raises(FieldcastError, match="did you mean 'bridge'"):
        Graph.from_adjacency(np.eye(2)).renode(np.array([0]), "bridges")
