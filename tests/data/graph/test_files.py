"""Graphs from files: what people have in CSV and NPZ, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse
from hypothesis import given, settings

from fieldcast.data.formats.tgcn_pair import read_adjacency
from fieldcast.data.graph import (
    Graph,
    from_adjacency_csv,
    from_distances,
    from_edge_csv,
    from_npz,
    from_sparse_npz,
    read_edges,
)
from fieldcast.errors import FieldcastError
from tests.data.graph.graphs import matrices
from tests.datasets import dataset_path

IDS = ["a1", "b2", "c3"]


def dense(graph: Graph) -> np.ndarray:
    return graph.adjacency().toarray()


def text(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "file.csv"
    path.write_text(content, encoding="utf-8")
    return path


# Edge lists


@pytest.mark.parametrize("header", ["from,to,cost", "Source, Target, Distance", "\ufeffsrc,dst,km"])
def test_edges_by_id(tmp_path: Path, header: str) -> None:
    edges = read_edges(text(tmp_path, f"{header}\nb2,a1,2\n\nc3,b2,0.5\nb2,a1,2.0\na1,b2,3\n"), IDS)
    np.testing.assert_array_equal(edges.edge_index, [[1, 2, 0], [0, 1, 1]])
    assert edges.cost is not None and edges.cost.tolist() == [2, 0.5, 3] and edges.repeats == 1
    expected = from_distances(3, edges.edge_index, edges.cost, symmetric=True)
    np.testing.assert_array_equal(dense(edges.graph(symmetric=True)), dense(expected))
    np.testing.assert_array_equal(dense(edges.graph("given")), [[0, 3, 0], [2, 0, 0], [0, 0.5, 0]])


def test_edges_by_position(tmp_path: Path) -> None:
    graph = from_edge_csv(text(tmp_path, "from,to\n2,0\n0,1\n"), 3, weights="binary")
    np.testing.assert_array_equal(dense(graph), [[0, 1, 0], [0, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "from,to,cost\na1,b2,1\na1,b22,1\n",
            "line 3 of {} names the node 'b22', which is none of the 3 (did you mean 'b2'",
        ),
        ("from,to,cost\na1,b2,-1\n", "line 2 of {} gives the edge from a1 to b2 the cost '-1', which is negative"),
        ("from,to,cost\na1,b2,\n", "the cost '', which is missing"),
        ("from,to,cost\na1,b2,NA\n", "the cost 'NA', which is missing"),
        ("from,to,cost\na1,b2,nan\n", "the cost 'nan', which is missing"),
        ("from,to,cost\na1,b2,inf\n", "which is infinite"),
        ("from,to,cost\na1,b2,1\na1,b2,2\n", "two values, 1 and 2"),
        ("from,to,cost\na1,b2\n", "line 2 of {} has 2 cells"),
        ("a1,b2,1\n", "name the columns from,to,cost"),
        ("", "is empty"),
    ],
)
def test_edge_lists_that_are_wrong_are_refused(tmp_path: Path, content: str, said: str) -> None:
    path = text(tmp_path, content)
    with pytest.raises(FieldcastError) as caught:
        read_edges(path, IDS)
    assert said.format(path) in str(caught.value)


@pytest.mark.parametrize("cell", ["3", "-1", "a1", "1.0"])
def test_positions_outside_are_refused(tmp_path: Path, cell: str) -> None:
    with pytest.raises(FieldcastError, match="counted from 0 to 2"):
        read_edges(text(tmp_path, f"from,to,cost\n0,{cell},1\n"), 3)


def test_weights_that_a_list_does_not_have_are_refused(tmp_path: Path) -> None:
    bare = read_edges(text(tmp_path, "from,to\na1,b2\n"), IDS)
    with pytest.raises(FieldcastError, match="binary"):
        bare.graph()
    full = read_edges(text(tmp_path, "from,to,cost\na1,b2,1\n"), IDS)
    with pytest.raises(FieldcastError, match="option 'sigma'"):
        full.graph("given", sigma=1)
    with pytest.raises(FieldcastError, match="did you mean 'gaussian'"):
        full.graph("gausian")


def test_the_real_edge_list() -> None:
    folder = dataset_path("pems08_tail")
    with np.load(folder / "data.npz") as data, np.load(folder / "graph.npz") as arrays:
        nodes, index, distance = data["node_ids"].tolist(), arrays["edge_index"], arrays["distance"]
    for named in (nodes, len(nodes)):
        edges = read_edges(folder / "raw" / "distance.csv", named)
        assert edges.repeats == 18 and edges.edge_index.shape == (2, 277) and edges.cost is not None
        made, given = (set(map(tuple, each.T.tolist())) for each in (edges.edge_index, index))
        assert made == given
        np.testing.assert_allclose(np.sort(edges.cost), np.sort(distance), rtol=1e-6)
    gaussian = from_npz(folder / "graph.npz", 170, weights="gaussian")
    np.testing.assert_allclose(dense(gaussian), dense(edges.graph()), rtol=1e-4)


# Adjacency matrices


def plain_csv(matrix: np.ndarray, header: list[str] | None, column: list[str] | None) -> str:
    lines = [",".join(([""] if column else []) + header)] if header else []
    for i, row in enumerate(matrix.tolist()):
        lines.append(",".join(([column[i]] if column else []) + [repr(value) for value in row]))
    return "\n".join(lines) + "\n"


@settings(deadline=None, max_examples=30)
@given(matrix=matrices)
def test_matrices_with_and_without_names(tmp_path_factory: pytest.TempPathFactory, matrix: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("matrix")
    ids = [f"s{i}" for i in range(len(matrix))]
    numbers = [str(400000 + i) for i in range(len(matrix))]
    for header, column in ((None, None), (ids, None), (None, ids), (ids, ids), (numbers, None), (numbers, numbers)):
        path = text(folder, plain_csv(matrix, header, column))
        np.testing.assert_array_equal(dense(from_adjacency_csv(path)), matrix)
        if header or column:
            backwards = (header or column or [])[::-1]
            np.testing.assert_array_equal(dense(from_adjacency_csv(path, backwards)), matrix[::-1, ::-1])
        np.testing.assert_array_equal(dense(from_adjacency_csv(path, len(matrix))), matrix)


@pytest.mark.parametrize(
    ("content", "nodes", "said"),
    [
        ("0,1\n1\n", None, "line 2 of {} has 1 cells, the first 2"),
        ("0,1,2\n", None, "square"),
        ("0,1\n1,x\n", None, "line 2 of {} holds 'x' for the edge from 1 to 1"),
        ("0,\n1,0\n", None, "holds '' for the edge from 0 to 1"),
        ("0,-1\n1,0\n", None, "negative (the edge from 0 to 1: -1.0"),
        ("0,1\n1,0\n", 3, "has 2 nodes, not 3"),
        ("0,1\n1,0\n", IDS, "has 2 nodes, not 3"),
        ("a1,b2,c33\n0,1,0\n1,0,0\n0,0,1\n", IDS, "no node 'c3' (did you mean 'c33'?)"),
        (",a1,b2\nb2,0,1\na1,1,0\n", None, "another order"),
        ("", None, "empty"),
    ],
)
def test_matrices_that_are_wrong_are_refused(tmp_path: Path, content: str, nodes: object, said: str) -> None:
    path = text(tmp_path, content)
    with pytest.raises(FieldcastError) as caught:
        from_adjacency_csv(path, nodes)  # type: ignore[arg-type]
    assert said.format(path) in str(caught.value)


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    for read in (lambda path: read_edges(path, 2), from_adjacency_csv, from_sparse_npz, lambda path: from_npz(path, 2)):
        with pytest.raises(FieldcastError, match="absent"):
            read(tmp_path / "absent.csv")
        wrong = tmp_path / "wrong.bin"
        wrong.write_bytes(b"\xff\xfe\x00PK")
        with pytest.raises(FieldcastError, match=r"no CSV|no .npz archive"):
            read(wrong)


def test_the_real_matrix_equals_the_common_form() -> None:
    folder = dataset_path("los_loop_week")
    made, given = from_adjacency_csv(folder / "raw" / "los_adj.csv", 207), Graph.from_npz(folder / "graph.npz", 207)
    assert made.edge_index.shape == (2, 2833)
    np.testing.assert_array_equal(dense(made), dense(given))
    np.testing.assert_array_equal(dense(made), read_adjacency(folder / "raw" / "los_adj.csv"))


# NPZ


def npz(tmp_path: Path, **arrays: object) -> Path:
    path = tmp_path / "graph.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


INDEX = np.array([[0, 1, 2], [1, 2, 0]])


def test_weights_come_before_distances(tmp_path: Path) -> None:
    weight, distance = np.array([0.5, 0.25, 1.0]), np.array([1.0, 2.0, 3.0])
    path = npz(tmp_path, edge_index=INDEX, edge_weight=weight, distance=distance)
    np.testing.assert_array_equal(from_npz(path, 3).edge_weight, weight)
    np.testing.assert_array_equal(from_npz(path, 3, weights="binary").edge_weight, [1, 1, 1])
    gaussian = from_npz(path, 3, weights="gaussian")
    np.testing.assert_array_equal(dense(gaussian), dense(from_distances(3, INDEX, distance)))


def test_distances_alone_are_binary_for_neighbours_and_gaussian_for_all_pairs(tmp_path: Path) -> None:
    path = npz(tmp_path, edge_index=INDEX, distance=np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(from_npz(path, 3).edge_weight, [1, 1, 1])
    pairs = np.concatenate([INDEX, INDEX[::-1]], axis=1)
    distance = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
    path = npz(tmp_path, edge_index=pairs, distance=distance)
    np.testing.assert_array_equal(dense(from_npz(path, 3)), dense(from_distances(3, pairs, distance)))
    path = npz(tmp_path, edge_index=pairs, distance=np.ones(6))
    np.testing.assert_array_equal(from_npz(path, 3).edge_weight, np.ones(6))


def test_real_graphs_leave_no_more_nodes_alone_than_they_have() -> None:
    for name, nodes, alone in (("beijing_air", 12, 0), ("montevideo_bus", 675, 0), ("los_loop_week", 207, 0)):
        graph = Graph.from_npz(dataset_path(name) / "graph.npz", nodes)
        assert (graph.symmetric_degree() == 0).sum() == alone, name


@pytest.mark.parametrize(
    ("arrays", "options", "said"),
    [
        ({"edges": INDEX}, {}, "no array 'edge_index'"),
        ({"edge_index": INDEX.astype(float)}, {}, "whole numbers"),
        ({"edge_index": INDEX.T}, {}, "whole numbers [2, edges]"),
        ({"edge_index": INDEX}, {"weights": "gaussian"}, "no array 'distance'"),
        ({"edge_index": INDEX}, {"weights": "binry"}, "did you mean 'binary'"),
        ({"edge_index": INDEX + 1}, {}, "outside 0..2"),
        ({"edge_index": INDEX, "distance": [1, np.nan, 2]}, {"weights": "gaussian"}, "edge from 1 to 2"),
        ({"edge_index": INDEX, "edge_weight": np.array([{}])}, {}, "is pickled"),
        ({"indptr": INDEX}, {}, "from_sparse_npz"),
    ],
)
def test_archives_that_are_no_graph_are_refused(tmp_path: Path, arrays: dict, options: dict, said: str) -> None:
    with pytest.raises(FieldcastError) as caught:
        from_npz(npz(tmp_path, **arrays), 3, **options)
    assert said in str(caught.value)


@settings(deadline=None, max_examples=10)
@given(matrix=matrices)
def test_sparse_matrices_of_scipy(tmp_path_factory: pytest.TempPathFactory, matrix: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("sparse") / "adj.npz"
    for kind in (sparse.csr_matrix, sparse.coo_matrix, sparse.csc_array):
        sparse.save_npz(path, kind(matrix))
        np.testing.assert_array_equal(dense(from_sparse_npz(path, len(matrix))), matrix)
    with pytest.raises(FieldcastError, match="give the graph of these sensors"):
        from_sparse_npz(path, len(matrix) + 1)


def test_archives_that_are_no_sparse_matrix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match="no sparse matrix of scipy"):
        from_sparse_npz(npz(tmp_path, edge_index=INDEX))
    with pytest.raises(FieldcastError, match="write it again"):
        from_sparse_npz(npz(tmp_path, format=np.array(b"odd"), shape=np.array([2, 2]), data=np.ones(2)))
