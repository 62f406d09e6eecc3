"""--graph: a file, or neighbours by coordinates or by correlation; what does not fit is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse

from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError
from fieldcast.workflows.options import WindowOptions
from fieldcast.workflows.running import run
from tests.tiny import tiny_readings, tiny_values
from tests.workflows.common import tiny_run, with_windows


def edges(readings: Readings, choice: str | None) -> set[tuple[int, int]]:
    graph = WindowOptions(lookback=6, horizon=3, graph=choice).windows(readings).graph
    return set() if graph is None else {(int(a), int(b)) for a, b in graph.edge_index.T}


def test_files_of_every_kind(tmp_path: Path) -> None:
    readings = tiny_readings(nodes=3)
    matrix = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    np.savetxt(tmp_path / "adjacency.csv", matrix, delimiter=",", fmt="%d")
    (tmp_path / "edges.csv").write_text("from,to,cost\nnode0,node1,5\nnode1,node2,7\n")
    sparse.save_npz(tmp_path / "sparse.npz", sparse.csr_matrix(matrix))
    np.savez(tmp_path / "common.npz", edge_index=np.array([[0, 1], [1, 2]]), edge_weight=np.ones(2, np.float32))
    for name in ("adjacency.csv", "edges.csv", "sparse.npz", "common.npz"):
        assert edges(readings, str(tmp_path / name)) == {(0, 1), (1, 2)}, name


def test_neighbours_by_place_and_by_likeness() -> None:
    values = tiny_values(240, 4)
    values[:, 3] = -values[:, 0]
    values[:, 1] = values[:, 0] + 1
    places = np.array([[50.0, 4.0], [50.0, 4.1], [50.0, 4.2], [50.0, 9.0]])
    readings = Readings.from_array(values, start="2024-01-01", frequency="1h", coordinates=places)
    assert {(0, 1), (1, 0)} <= edges(readings, "nearest:1") and (0, 3) not in edges(readings, "nearest:1")
    assert {(0, 1), (1, 0)} <= edges(readings, "correlation:1")
    assert edges(readings, "none") == edges(readings, None) == set()
    with pytest.raises(FieldcastError, match="has no coordinates"):
        edges(tiny_readings(), "nearest:2")
    with pytest.raises(FieldcastError, match="there is no graph 'neares:2'"):
        edges(readings, "neares:2")


def test_a_graph_backbone_trains_on_readings_without_a_graph(tmp_path: Path) -> None:
    options = tiny_run(tmp_path, backbone="gcn_gru", hyper={"width": 4}, seeds=(0,), baselines=("last_value",))
    with pytest.raises(FieldcastError, match="needs a graph"):
        run(options, tmp_path / "none")
    board = run(with_windows(options, graph="correlation:2"), tmp_path / "run")
    assert board["models"][0]["name"] == "gcn_gru" and board["graph"]


def test_a_graph_that_is_named_keeps_the_one_beside_the_data_unread(tmp_path: Path) -> None:
    (tmp_path / "graph.npz").write_text("no archive")
    options = tiny_run(tmp_path, seeds=(0,), baselines=("last_value",))
    with pytest.raises(FieldcastError, match=r"graph\.npz"):
        run(options, tmp_path / "a")
    assert run(with_windows(options, graph="none"), tmp_path / "b")["graph"] is None
