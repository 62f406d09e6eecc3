"""Builders equal plain loops over pairs of nodes, on random and on real data, and refuse what has no graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.graph import (
    Graph,
    from_coordinates,
    from_correlation,
    from_distance_matrix,
    from_distances,
    from_grid,
    nearest,
)
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from tests.data.graph.graphs import random_matrix
from tests.datasets import dataset_path

PAIR = np.array([[0, 1], [1, 2]])


def dense(graph: Graph) -> np.ndarray:
    return graph.adjacency().toarray()


# Distances


@settings(deadline=None, max_examples=40)
@given(
    nodes=st.integers(2, 8), seed=st.integers(0, 10**6), threshold=st.sampled_from([0.0, 0.1, 0.4]),
    symmetric=st.booleans(), self_loops=st.sampled_from([None, True, False]), sigma=st.sampled_from([None, 0.5]),
)  # fmt: skip
def test_distances_equal_the_formula(
    nodes: int, seed: int, threshold: float, symmetric: bool, self_loops: bool | None, sigma: float | None
) -> None:
    distance = random_matrix(nodes, seed, density=1.0).astype(np.float64)
    distance[0, -1] = np.inf  # no edge
    given_ones = [d for d in distance.ravel() if d < np.inf]
    spread = sigma or float(np.std(given_ones))
    expected = np.zeros((nodes, nodes))
    for i in range(nodes):
        for j in range(nodes):
            weight = math.exp(-(distance[i, j] ** 2) / spread**2)
            if weight >= threshold and (i != j or self_loops is None):
                expected[i, j] = weight
    if symmetric:
        expected = np.maximum(expected, expected.T)
    if self_loops:
        expected += np.eye(nodes)
    options: dict[str, Any] = {"threshold": threshold, "symmetric": symmetric, "self_loops": self_loops, "sigma": sigma}
    if not any(math.exp(-(d**2) / spread**2) >= threshold for d in given_ones):
        with pytest.raises(FieldcastError, match="larger sigma"):
            from_distance_matrix(distance, **options)
        return
    np.testing.assert_allclose(dense(from_distance_matrix(distance, **options)), expected, rtol=1e-6, atol=1e-30)
    index = np.stack(np.nonzero(distance < np.inf))
    order = np.random.default_rng(seed).permutation(np.tile(np.arange(index.shape[1]), 2))  # each given twice
    graph = from_distances(nodes, index[:, order], distance[tuple(index[:, order])], **options | {"sigma": spread})
    np.testing.assert_allclose(dense(graph), expected, rtol=1e-6, atol=1e-30)


def test_binary_weights_need_no_sigma() -> None:
    np.testing.assert_array_equal(
        dense(from_distances(3, PAIR, np.array([5.0, 5.0]), weights="binary")), [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    )


def test_nodes_at_one_place_weigh_one() -> None:
    assert dense(from_distances(3, PAIR, np.array([0.0, 9.0]), sigma=1.0))[0, 1] == 1
    assert (from_distances(3, PAIR, np.zeros(2)).edge_weight == 1).all()


def test_no_distances_are_no_edges() -> None:
    assert from_distances(3, np.empty((2, 0), int), np.empty(0)).empty


@pytest.mark.parametrize(
    ("distance", "options", "said"),
    [
        ([1.0, -2.0], {}, "the edge from 1 to 2 (number 1) a negative distance (-2)"),
        ([np.nan, 2.0], {}, "the edge from 0 to 1 (number 0) a missing distance"),
        ([np.inf, 2.0], {}, "an infinite distance"),
        ([3.0, 3.0], {}, "all 3, so that their standard deviation is 0"),
        ([1.0, 2.0], {"sigma": 0.0}, "sigma is 0"),
        ([1.0, 2.0], {"sigma": 0.01}, "no edge"),
        ([1.0, 2.0], {"weights": "gauss"}, "did you mean 'gaussian'"),
        ([1.0], {}, "give [edges] and [2, edges]"),
    ],
)
def test_distances_that_make_no_graph_are_refused(distance: list[float], options: dict, said: str) -> None:
    with pytest.raises(FieldcastError) as caught:
        from_distances(3, PAIR, np.array(distance), **options)
    assert said in str(caught.value)


def test_an_edge_with_two_distances_is_refused() -> None:
    with pytest.raises(FieldcastError, match="the edge from 0 to 1 two values, 1 and 2"):
        from_distances(3, np.array([[0, 1, 0], [1, 2, 1]]), np.array([1.0, 3.0, 2.0]))


def test_a_matrix_of_distances_is_square_and_has_no_nan() -> None:
    with pytest.raises(FieldcastError, match="square"):
        from_distance_matrix(np.ones((2, 3)))
    with pytest.raises(FieldcastError, match=r"edge from 1 to 0 .* missing"):
        from_distance_matrix(np.array([[0, 1], [np.nan, 0]]))


# Coordinates


def haversine(a: np.ndarray, b: np.ndarray) -> float:
    """Kilometres between two places, as every textbook has it."""
    (lat1, lon1), (lat2, lon2) = np.radians(a), np.radians(b)
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(h))


@settings(deadline=None, max_examples=30)
@given(nodes=st.integers(1, 12), neighbours=st.integers(1, 14), seed=st.integers(0, 10**6), close=st.booleans())
def test_the_nearest_equal_a_plain_search(nodes: int, neighbours: int, seed: int, close: bool) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform((-90, -180), (90, 180), (nodes, 2))
    if close:  # several stand at one place
        places = places[rng.integers(0, nodes, nodes)]
    index, distance = nearest(places, neighbours)
    width = min(neighbours, nodes - 1)
    assert index.shape == distance.shape == (nodes, width)
    for i in range(nodes):
        plain = sorted(haversine(places[i], places[j]) for j in range(nodes) if j != i)[:width]
        np.testing.assert_allclose(distance[i], plain, atol=1e-4)
        assert i not in index[i] and len(set(index[i])) == width
        np.testing.assert_allclose([haversine(places[i], places[j]) for j in index[i]], plain, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(nodes=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_neighbours_weigh_by_their_distance(nodes: int, seed: int) -> None:
    places = np.random.default_rng(seed).uniform(40, 50, (nodes, 2))
    index, distance = nearest(places, 3)
    one_way = np.zeros((nodes, nodes))
    for i in range(nodes):
        for j, d in zip(index[i], distance[i], strict=True):
            one_way[i, j] = math.exp(-((d / distance.mean()) ** 2))
    np.testing.assert_allclose(dense(from_coordinates(places, 3, symmetric=False)), one_way, rtol=1e-5)
    both = np.maximum(one_way, one_way.T)
    np.testing.assert_allclose(dense(from_coordinates(places, 3)), both, rtol=1e-5)
    np.testing.assert_array_equal(dense(from_coordinates(places, 3, weights="binary")), both > 0)
    looped = from_coordinates(places, 3, self_loops=True, sigma=1e6, threshold=0.5)
    np.testing.assert_allclose(dense(looped), (both > 0) + np.eye(nodes), atol=1e-4)


def test_places_across_the_date_line_are_near() -> None:
    index, distance = nearest(np.array([[0, 179.9], [0, -179.9], [0, 170.0]]), 1)
    assert index[0, 0] == 1 and distance[0, 0] == pytest.approx(22.24, abs=0.01)


@pytest.mark.parametrize(
    ("places", "neighbours", "said"),
    [
        ([[1, 2], [np.nan, 3]], 1, "node 1 lies at latitude nan"),
        ([[120, 2], [0, 3]], 1, "node 0 lies at latitude 120"),
        ([[1, 2], [0, 361]], 1, "longitude 361"),
        ([[1, 2], [0, 3]], 0, "0 neighbours"),
        ([[1, 2, 3]], 1, "shape (1, 3)"),
    ],
)
def test_places_that_are_none_are_refused(places: list, neighbours: int, said: str) -> None:
    with pytest.raises(FieldcastError) as caught:
        from_coordinates(np.array(places, dtype=float), neighbours)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["beijing_air", "los_loop_week"])
def test_real_distances_are_great_circles(name: str) -> None:
    folder = dataset_path(name)
    with np.load(folder / "data.npz") as data, np.load(folder / "graph.npz") as arrays:
        places, (source, target), given = data["coords"], arrays["edge_index"], arrays["distance"]
    index, distance = nearest(places, len(places) - 1)
    matrix = np.zeros((len(places), len(places)))
    np.put_along_axis(matrix, index, distance, axis=1)
    np.testing.assert_allclose(matrix[source, target], given, atol=1e-3)


# Correlation


def plain_correlation(values: np.ndarray, observed: np.ndarray, shared: int) -> np.ndarray:
    nodes = values.shape[1]
    found = np.zeros((nodes, nodes))
    for i in range(nodes):
        for j in range(nodes):
            both = observed[:, i] & observed[:, j]
            a, b = values[both, i].astype(np.float64), values[both, j].astype(np.float64)
            if i != j and both.sum() >= shared and a.std() > 1e-6 and b.std() > 1e-6:
                found[i, j] = np.corrcoef(a, b)[0, 1]
    return found


@settings(deadline=None, max_examples=30)
@given(
    nodes=st.integers(2, 7), seed=st.integers(0, 10**6), missing=st.sampled_from([0.0, 0.3, 0.7]),
    absolute=st.booleans(), symmetric=st.booleans(), level=st.sampled_from([0.0, 1000.0]),
)  # fmt: skip
def test_correlations_equal_numpy(
    nodes: int, seed: int, missing: float, absolute: bool, symmetric: bool, level: float
) -> None:
    rng = np.random.default_rng(seed)
    values = (level + rng.normal(size=(40, 1)) * rng.choice([-1, 1], nodes) + rng.normal(size=(40, nodes))).astype("f4")
    values[:, 0] = 5.0  # never changes
    observed = rng.random(values.shape) >= missing
    values[~observed] = np.nan
    r = plain_correlation(values, observed, 10)
    strength = np.abs(r) if absolute else r
    expected = np.where(strength >= 0.3, strength, 0)
    options: dict[str, Any] = {"absolute": absolute, "symmetric": symmetric}
    if not expected.any():
        with pytest.raises(FieldcastError, match="no two of"):
            from_correlation(values, threshold=0.3, **options)
        return
    if symmetric:
        expected = np.maximum(expected, expected.T)
    np.testing.assert_allclose(dense(from_correlation(values, threshold=0.3, **options)), expected, atol=1e-5)
    hidden = np.where(observed, values, 1e6)  # what was not observed may hold anything
    np.testing.assert_allclose(dense(from_correlation(hidden, observed, threshold=0.3, **options)), expected, atol=1e-5)
    nearest_two = dense(from_correlation(values, neighbours=2, absolute=absolute, symmetric=False))
    for i in range(nodes):
        best = np.sort(strength[i])[::-1][: min(2, nodes)]
        np.testing.assert_allclose(np.sort(nearest_two[i])[::-1][: len(best)], best.clip(0), atol=1e-5)
        assert (nearest_two[i] > 0).sum() <= 2


def test_correlations_see_training_rows_only() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(100, 4)).astype(np.float32).cumsum(axis=0)
    windows = [
        Windows(
            Readings.from_array(series, None, start="2024-01-01", frequency="1h"), 3, 2, split="windows-first 7:1:2"
        )
        for series in (values, np.concatenate([values[:80], -5 * rng.normal(size=(20, 4)).astype(np.float32)]))
    ]
    first, stop = windows[0].split.train_rows
    assert stop <= 80
    expected = dense(from_correlation(values[first:stop], neighbours=2))
    for each in windows:
        np.testing.assert_allclose(dense(from_correlation(each, neighbours=2)), expected, atol=1e-5)
    assert np.abs(dense(from_correlation(values, neighbours=2)) - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        (np.ones((20, 2)), {}, "give neighbours"),
        (np.ones((20, 2)), {"neighbours": 0}, "neighbours=0"),
        (np.ones((20, 2)), {"threshold": 0.0}, "threshold=0.0"),
        (np.ones((20, 2)), {"neighbours": 1}, "no two of 2 nodes correlate"),
        (np.ones((20, 2, 1)), {"neighbours": 1, "channel": 1}, "no channel 1"),
        (np.ones(20), {"neighbours": 1}, "shape (20,)"),
        (np.ones((20, 2)), {"neighbours": 1, "observed": np.ones((20, 3))}, "(20, 3)"),
    ],
)
def test_series_that_make_no_graph_are_refused(values: np.ndarray, options: dict, said: str) -> None:
    with pytest.raises(FieldcastError) as caught:
        from_correlation(values, **options)
    assert said in str(caught.value)


# Grids


@pytest.mark.parametrize("neighbours", [4, 8])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 3), (4, 4)])
def test_a_grid_equals_a_plain_search(shape: tuple[int, int], neighbours: int) -> None:
    cells = [(r, c) for r in range(shape[0]) for c in range(shape[1])]
    expected = np.zeros((len(cells), len(cells)))
    for i, (r, c) in enumerate(cells):
        for j, (s, d) in enumerate(cells):
            down, right = abs(r - s), abs(c - d)
            expected[i, j] = i != j and (max(down, right) == 1 if neighbours == 8 else down + right == 1)
    graph = from_grid(*shape, neighbours=neighbours)
    np.testing.assert_array_equal(dense(graph), expected)
    assert graph.edge_index.shape[1] == expected.sum()  # none repeated
    np.testing.assert_array_equal(
        dense(from_grid(*shape, neighbours=neighbours, self_loops=True)), expected + np.eye(len(cells))
    )


def test_the_real_grid_is_the_exact_neighbourhood() -> None:
    folder = dataset_path("nycbike1_grid")
    with np.load(folder / "data.npz") as data:
        rows, columns = data["grid_shape"].tolist()
    real, made = Graph.from_npz(folder / "graph.npz", rows * columns), from_grid(rows, columns)
    assert made.edge_index.shape[1] == 884
    np.testing.assert_array_equal(dense(made), dense(real))


@pytest.mark.parametrize(("shape", "neighbours"), [((0, 3), 8), ((3, -1), 4), ((2, 2), 6)])
def test_grids_that_are_none_are_refused(shape: tuple[int, int], neighbours: int) -> None:
    with pytest.raises(FieldcastError, match="grid"):
        from_grid(*shape, neighbours=neighbours)
