"""Sub-graphs: induced ones keep the normaliser, rebuilt ones the neighbours, bridged ones the ways through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fieldcast.data.graph import Graph, from_coordinates, from_grid
from fieldcast.errors import FieldcastError
from tests.data.graph.graphs import matrices, random_matrix


def chain(*weights: float, both: bool = True) -> Graph:
    matrix = np.diag(np.array(weights), 1)
    return Graph.from_adjacency(matrix + matrix.T if both else matrix)


def dense(graph: Graph) -> np.ndarray:
    return graph.adjacency().toarray()


# Induced


@settings(deadline=None, max_examples=40)
@given(matrix=matrices, seed=st.integers(0, 99))
def test_an_operator_of_the_induced_graph_is_a_block_of_the_whole(matrix: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = Graph.from_adjacency(matrix)
    index = rng.permutation(len(matrix))[: rng.integers(1, len(matrix) + 1)]
    part = whole.renode(index)
    for plain, cut in ((whole, part), (whole.without_self_loops(), part.without_self_loops())):
        names = ["random_walk", "normalised_laplacian"]
        names += [] if plain.empty and plain.nodes > 1 else ["double_transition"]
        names += [] if plain.without_self_loops().empty else ["scaled_laplacian"]
        for name in names:
            for large, small in zip(plain.supports(name, dense=True), cut.supports(name, dense=True), strict=True):
                np.testing.assert_allclose(small, large[np.ix_(index, index)], atol=1e-6)
    if not whole.without_self_loops().empty:
        np.testing.assert_allclose(
            part.symmetric().supports("scaled_laplacian", dense=True)[0],
            part.supports("scaled_laplacian", dense=True)[0],
            atol=1e-6,
        )


def test_cutting_twice_is_cutting_once() -> None:
    whole = Graph.from_adjacency(random_matrix(8, 5))
    once, twice = whole.renode(np.array([6, 0, 3])), whole.renode(np.array([3, 6, 1, 0])).renode(np.array([1, 3, 0]))
    for name in ("double_transition", "scaled_laplacian"):
        for a, b in zip(once.supports(name, dense=True), twice.supports(name, dense=True), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("how", ["induced", "bridge"])
def test_new_nodes_have_no_edges(how: str) -> None:
    part = from_grid(2, 2).renode(np.array([-1, 0, 3, -1]), how)
    matrix = dense(part)
    assert part.nodes == 4 and matrix[1, 2] and not matrix[0].any() and not matrix[:, 3].any()


@pytest.mark.parametrize("how", ["induced", "bridge"])
@pytest.mark.parametrize("index", [[0, 4], [0, -2], [0.0, 1.0], [[0]], []])
def test_positions_that_are_none_are_refused(how: str, index: list) -> None:
    with pytest.raises(FieldcastError, match="cannot choose these nodes of 4"):
        from_grid(2, 2).renode(np.array(index), how)


def test_a_node_cannot_be_chosen_twice() -> None:
    with pytest.raises(FieldcastError, match="twice"):
        from_grid(2, 2).renode(np.array([1, 1]))


# Rebuilt


def test_rebuilding_is_building_from_what_remains() -> None:
    coordinates = np.random.default_rng(0).uniform(40, 50, (30, 2))
    whole, index = from_coordinates(coordinates, 3, symmetric=False), np.arange(0, 30, 2)
    part = whole.renode(index, "rebuild_knn", coordinates=coordinates[index], symmetric=False)
    np.testing.assert_array_equal(dense(part), dense(from_coordinates(coordinates[index], 3, symmetric=False)))
    assert not part.frozen


def test_rebuilding_keeps_self_loops_and_binary_weights() -> None:
    coordinates = np.random.default_rng(0).uniform(40, 50, (16, 2))
    whole = from_grid(4, 4, self_loops=True)
    part = whole.renode(np.array([5, 2, 9]), "rebuild_knn", coordinates=coordinates[[5, 2, 9]])
    np.testing.assert_array_equal(dense(part), np.ones((3, 3)))


def test_coordinates_of_other_nodes_are_refused() -> None:
    with pytest.raises(FieldcastError, match=r"shape \(4, 2\)"):
        from_grid(2, 2).renode(np.array([0]), "rebuild_knn", coordinates=np.zeros((4, 2)))


# Bridges


def test_a_bridge_over_one_node() -> None:
    graph = chain(1.0, 0.5)
    np.testing.assert_allclose(dense(graph.renode(np.array([0, 2]), "bridge")), [[0, 0.5], [0.5, 0]])
    harmonic = dense(graph.renode(np.array([0, 2]), "bridge", weights="harmonic"))
    np.testing.assert_allclose(harmonic, [[0, 1 / 3], [1 / 3, 0]], rtol=1e-6)


def test_a_bridge_over_a_chain() -> None:
    graph = chain(1.0, 0.5, 0.5, 0.25, 1.0)
    bridged = dense(graph.renode(np.array([0, 4, 5]), "bridge"))
    np.testing.assert_allclose(bridged[0, 1], 0.0625, rtol=1e-6)
    assert bridged[1, 2] == 1 and bridged[0, 2] == 0
    harmonic = dense(graph.renode(np.array([0, 4, 5]), "bridge", weights="harmonic"))
    np.testing.assert_allclose(harmonic[0, 1], 1 / (1 + 2 + 2 + 4), rtol=1e-6)


def test_one_way_roads_stay_so() -> None:
    bridged = dense(chain(1.0, 0.5, both=False).renode(np.array([0, 2]), "bridge"))
    np.testing.assert_allclose(bridged, [[0, 0.5], [0, 0]])


def plain_product(matrix: np.ndarray, keep: list[int]) -> np.ndarray:
    """Floyd and Warshall over the removed nodes, with products for sums."""
    peak = matrix.max() or 1.0
    best = matrix / peak
    for k in set(range(len(matrix))) - set(keep):
        best = np.maximum(best, best[:, [k]] * best[[k]])
    best = best * (1 - np.eye(len(matrix))) + np.diag(np.diag(matrix / peak))
    return best[np.ix_(keep, keep)] * peak


@settings(deadline=None, max_examples=60)
@given(matrix=matrices, scale=st.sampled_from([1.0, 40.0]), seed=st.integers(0, 99))
def test_product_bridges_equal_the_plain_form(matrix: np.ndarray, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    keep = rng.permutation(len(matrix))[: rng.integers(1, len(matrix) + 1)]
    graph = Graph.from_adjacency(matrix * np.float32(scale))
    expected = plain_product(matrix.astype(np.float64) * scale, keep.tolist())
    np.testing.assert_allclose(dense(graph.renode(keep, "bridge")), expected, rtol=1e-5, atol=1e-9)
    limited = dense(graph.renode(keep, "bridge", limit=1))
    induced = dense(graph.renode(keep))
    assert ((limited >= induced) & (limited <= expected * (1 + 1e-5))).all()
    assert ((limited > induced).sum(axis=1) <= 1).all()


@settings(deadline=None, max_examples=40)
@given(nodes=st.integers(3, 8), seed=st.integers(0, 10**6), symmetric=st.booleans())
def test_harmonic_bridges_keep_the_walk_over_what_remains(nodes: int, seed: int, symmetric: bool) -> None:
    # Without self loops, L_KK - L_KR L_RR^-1 L_RK of L = D - A: Kron reduction where A is symmetric.
    matrix = random_matrix(nodes, seed, density=0.9, symmetric=symmetric).astype(np.float64) * (1 - np.eye(nodes))
    keep, gone = np.arange(0, nodes, 2), np.arange(1, nodes, 2)
    laplacian = np.diag(matrix.sum(axis=1)) - matrix
    inner = laplacian[np.ix_(gone, gone)]
    assume(np.linalg.cond(inner) < 1e6)
    reduced = laplacian[np.ix_(keep, keep)] - laplacian[np.ix_(keep, gone)] @ np.linalg.solve(
        inner, laplacian[np.ix_(gone, keep)]
    )
    expected = -reduced * (1 - np.eye(len(keep)))
    made = dense(Graph.from_adjacency(matrix).renode(keep, "bridge", weights="harmonic"))
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_bridges_keep_together_what_was_together() -> None:
    from scipy.sparse.csgraph import connected_components

    graph = from_grid(8, 8, neighbours=4)
    keep = np.random.default_rng(3).permutation(64)[:20]
    assert connected_components(graph.renode(keep).adjacency())[0] > 1
    for weights in ("product", "harmonic"):
        assert connected_components(graph.renode(keep, "bridge", weights=weights).adjacency())[0] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [({"weights": "products"}, "did you mean 'product'"), ({"limit": 0}, "limit=0"),
     ({"limit": 2, "weights": "harmonic"}, "product bridges")],
)  # fmt: skip
def test_bridges_that_are_none_are_refused(options: dict, said: str) -> None:
    with pytest.raises(FieldcastError) as caught:
        from_grid(2, 2).renode(np.array([0]), "bridge", **options)
    assert said in str(caught.value)
