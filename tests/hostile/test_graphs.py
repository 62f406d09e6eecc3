"""Graph files: the edges that they list with their weights, or a refusal that names the file."""

from __future__ import annotations

import csv
import io
import math
import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
from hypothesis import example, given
from hypothesis import strategies as st

from fieldcast.data.graph import Graph, from_adjacency_csv, from_npz, from_sparse_npz
from fieldcast.data.graph.files import read_edges
from fieldcast.data.windows import Windows
from fieldcast.workflows.options import choose_graph
from tests.hostile.common import Canary, attempt, harmed, some
from tests.tiny import tiny_readings

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
CELLS = st.one_of(
    st.integers(-2, 5).map(str), st.floats(allow_nan=True).map(repr),
    st.sampled_from(["", " 1 ", "nan", "inf", "1e400", "1e39", "1e-400", "-0.0", "1_0", "0x1", "\u0661", "\u00b2",
    "9" * 5000, "a", "A", "a ",
                     '"1', '"0\n"', "1.0", "True", "+1", "01", "-1", "99999999999999999999"]),
)  # fmt: skip
EDGES = b"from,to,cost\n0,1,2.5\n1,2,0\n2,0,1e2\n"
MATRIX = b"0,1.5,0\n1,0,2\n0,0,1\n"


@st.composite
def tables(draw: st.DrawFn, head: list[str], width: int) -> bytes:
    rows = [[draw(st.sampled_from("012")) for _ in range(width)] for _ in range(draw(st.integers(0, 4)))]
    for _ in range(draw(st.integers(0, 2)) if rows else 0):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(row) - 1))] = draw(CELLS)
    return "\n".join(",".join(row) for row in [*([head] if head else []), *rows]).encode()


def rows_of(content: bytes) -> list[list[str]]:
    text = content.decode("utf-8").removeprefix("\ufeff")
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    return [[cell.strip() for cell in row] for row in rows if any(row)]


def number(cell: str) -> float:
    assert NUMBER.fullmatch(cell) and math.isfinite(float(cell)), f"{cell!r} was read as a number"
    return float(cell)


@some(60)
@given(
    st.one_of(tables(["from", "to", "cost"], 3), harmed(EDGES)),
    st.sampled_from([3, ("0", "1", "2"), ("a", "A", "a b")]),
)
@example(b"from,to,cost\n0,1,1_0\n", 3)  # was read as 10
@example(b"from,to,cost\n" + b"9" * 5000 + b",1,1\n", 3)
def test_an_edge_list_is_read_edge_by_edge(tmp_path: Path, content: bytes, nodes: Any) -> None:
    (tmp_path / "edges.csv").write_bytes(content)
    edges = attempt(lambda: read_edges(tmp_path / "edges.csv", nodes), "edges.csv")
    if edges is None:
        return
    names = [str(node) for node in range(nodes)] if isinstance(nodes, int) else list(nodes)
    expected = {(row[0].lstrip("0") or "0", row[1].lstrip("0") or "0", number(row[2])) for row in rows_of(content)[1:]}
    found = {(names[a], names[b], cost) for a, b, cost in zip(*edges.edge_index, edges.cost, strict=True)}  # type: ignore[arg-type]
    assert found == expected and all(cost >= 0 for *_, cost in found)


@some(60)
@given(
    st.one_of(tables([], 3), tables(["a", "b", "c"], 3), harmed(MATRIX)),
    st.sampled_from([None, 3, ("a", "b", "c"), ("0", "1", "2")]),
)
@example(b"0,1_0\n1,0\n", None)  # was read as 10
@example(b"a,a\n0,1\n1,0\n", None)  # two nodes of one name
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_matrix_is_read_cell_by_cell(tmp_path: Path, content: bytes, nodes: Any) -> None:
    (tmp_path / "adjacency.csv").write_bytes(content)
    graph = attempt(lambda: from_adjacency_csv(tmp_path / "adjacency.csv", nodes))
    if graph is None:
        return
    rows = rows_of(content)
    named = len(rows) == graph.nodes + 1
    body = [row[-graph.nodes :] for row in rows[named:]]
    if rows[0][0] in ("", "a") and len(rows[0]) == graph.nodes + 1:
        body = [row[1:] for row in rows[1:]]
    expected = np.array([[number(cell) for cell in row] for row in body])
    np.testing.assert_allclose(graph.adjacency().toarray(), expected.astype(np.float32), rtol=1e-6)


INDEX = np.array([[0, 1], [1, 2]])
PAIRS = np.array([[a for a in range(3) for b in range(3) if a != b], [b for a in range(3) for b in range(3) if a != b]])
ARRAYS: list[Any] = [
    np.ones(2), np.array([0.5, 2]), -np.ones(2), np.array([1, np.nan]), np.array([1, np.inf]), np.array([1, 1e300]),
    np.array(["1", "2"]),
    np.array(["a", "b"]), np.ones(2) * 1j, np.array([1, 2], "M8[s]"), np.zeros(2, [("a", "f4")]), np.ones(1),
    np.ones((2, 1)), np.array(1.0),
    np.array([True, False]), np.arange(6.0) + 1, np.full(6, np.nan), np.full(6, np.inf), -np.arange(6.0),
    np.zeros(6), np.ones(3),
    np.full(3, np.nan), -np.ones(3), np.array(["a", "b", "c"]), np.array(-1.0), np.array("x"), np.array(1j),
    np.array(np.nan), INDEX, INDEX - 1,
    INDEX + 1, INDEX * 1.0, INDEX[None], INDEX > 0, INDEX.astype(np.uint64) + np.uint64(2**63), np.zeros((2, 0),
    int), PAIRS,
]  # fmt: skip
NAMES = ["edge_index", "edge_weight", "distance", "degree", "out_degree", "lambda_max"]


@some(80)
@given(
    st.sampled_from([INDEX, PAIRS]), st.dictionaries(st.sampled_from(NAMES), st.sampled_from(range(len(ARRAYS))),
    min_size=1, max_size=3),
    st.sampled_from(["auto", "binary", "gaussian"]),
)  # fmt: skip
@example(INDEX, {"edge_weight": 6}, "auto")  # texts were read as numbers
@example(INDEX, {"edge_weight": 8}, "auto")  # as were complex numbers
@example(PAIRS, {"distance": 16}, "auto")  # NaN between all pairs gave weights of 1
@example(INDEX, {"edge_weight": 0, "lambda_max": 25}, "auto")
@example(INDEX, {"edge_weight": 0, "degree": 21}, "auto")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_archive_of_edges(tmp_path: Path, index: np.ndarray, chosen: dict[str, int], weights: str) -> None:
    arrays = {"edge_index": index, **{name: ARRAYS[position] for name, position in chosen.items()}}
    np.savez(tmp_path / "graph.npz", **arrays)
    graph = attempt(lambda: from_npz(tmp_path / "graph.npz", 3, weights=weights), "graph.npz")
    if graph is None:
        return
    index = arrays["edge_index"]
    for name in ("edge_weight", "distance"):
        assert name not in arrays or (name == "edge_weight" and weights != "auto") or arrays[name].dtype.kind in "iuf"
    if weights == "auto" and "edge_weight" in arrays:
        listed = Counter(zip(*index.tolist(), arrays["edge_weight"].tolist(), strict=True))
        assert Counter(zip(*graph.edge_index.tolist(), graph.edge_weight.tolist(), strict=True)) == Counter(
            {(a, b, float(np.float32(w))): count for (a, b, w), count in listed.items()}
        )
    elif weights == "binary":
        assert (graph.edge_weight == 1).all()
    assert np.isfinite(graph.edge_weight).all() and (graph.edge_weight >= 0).all()
    for name in ("degree", "out_degree", "lambda_max"):
        kept = getattr(graph, name)
        assert kept is None or np.isfinite(kept).all()


MATRICES: dict[str, list[Any]] = {
    "format": [np.array(b"csr"), np.array(b"canary"), np.array(5), np.array(b"\xff"), np.array(b"coo"),
    np.array(b"bsr"), np.array(b"lil")],
    "shape": [np.array([3, 3]), np.array([3]), np.array([-3, 3]), np.array([3.5, 3]), np.array([10**12, 10**12]),
    np.array([2, 3])],
    "data": [np.ones(3), np.full(3, np.nan), -np.ones(3), np.array(["a", "b", "c"]), np.ones(3) * 1j, np.ones((3,
    1)), np.ones(2),
             np.array([1, 2, 3], "M8[s]"), np.array([1e300, 1, 1])],
    "indices": [np.array([0, 1, 2]), np.array([0, 1, 7]), np.array([0, -1, 2]), np.array([0.0, 1, 2]),
    np.array(["a"]), np.array([0, 1])],
    "indptr": [np.array([0, 1, 2, 3]), np.array([0, 5, 2, 3]), np.array([0, 1]), np.array([0, 1, 2, 9]),
    np.array([[0, 1, 2, 3]])],
}  # fmt: skip


@some(50)
@given(st.fixed_dictionaries({name: st.sampled_from([each[0]] * 6 + each) for name, each in MATRICES.items()}))
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_an_archive_of_scipy(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "matrix.npz", **arrays)
    graph = attempt(lambda: from_sparse_npz(tmp_path / "matrix.npz", 3))
    if graph is not None:
        weights = arrays["data"].ravel()
        expected = np.zeros((3, 3))
        for row in range(3):
            for at in range(int(arrays["indptr"][row]), int(arrays["indptr"][row + 1])):
                expected[row, int(arrays["indices"][at])] += weights[at]
        np.testing.assert_array_equal(graph.adjacency().toarray(), expected.astype(np.float32))


def test_the_files_above_are_read_at_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(EDGES)
    (tmp_path / "b.csv").write_bytes(MATRIX)
    sparse.save_npz(tmp_path / "c.npz", sparse.csr_matrix(np.eye(3)))
    np.savez(tmp_path / "d.npz", edge_index=INDEX, edge_weight=np.array([0.5, 2]))
    assert read_edges(tmp_path / "a.csv", 3).cost.tolist() == [2.5, 0, 100]  # type: ignore[union-attr]
    assert from_adjacency_csv(tmp_path / "b.csv").adjacency().sum() == 5.5
    assert from_sparse_npz(tmp_path / "c.npz", 3).adjacency().sum() == 3
    assert Graph.from_npz(tmp_path / "d.npz", 3).edge_weight.tolist() == [0.5, 2]


def test_a_choice_of_the_command_line_that_is_no_graph(tmp_path: Path) -> None:
    readings, sung = tiny_readings(rows=60), tmp_path / "sung"
    for name, content in {
        "a.npz": b"junk", "b.npz": pickle.dumps(Canary(sung)), "c.csv": b"\xff\xfe", "d.csv": b"", "e.npz": b"",
        "f.csv": b"from,to,cost\nq,r,1\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert (
            attempt(lambda at=name: choose_graph(str(tmp_path / at), readings, lambda: Windows(readings, 4, 2)), name)
            is None
        )
    for choice in ("nearest:0", "nearest:" + "9" * 400, "correlation:0", "/", "", "\0", "a\nb"):
        assert attempt(lambda choice=choice: choose_graph(choice, readings, lambda: Windows(readings, 4, 2))) is None
    assert not sung.exists()
