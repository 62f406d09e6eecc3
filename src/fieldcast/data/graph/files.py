"""Graphs from files: edge lists ``from,to,cost``, adjacency matrices as CSV, NPZ of the common form or of scipy.

No file is unpickled.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse

from fieldcast.data.archives import Archive, open_npz
from fieldcast.data.graph.builders import distinct_edges, from_distances
from fieldcast.data.graph.graph import Graph
from fieldcast.errors import FieldcastError, did_you_mean

_ENDS = (("from", "to"), ("source", "target"), ("src", "dst"))
_WEIGHTS = ("auto", "binary", "gaussian")


@dataclass(frozen=True, eq=False)
class Edges:
    """An edge list as it was read: ``edge_index`` int64 [2, E], ``cost`` float64 [E] (None without a third column).

    ``repeats`` counts the lines that said the same as another and were left out.
    """

    nodes: int
    edge_index: np.ndarray
    cost: np.ndarray | None
    repeats: int
    source: str

    def graph(self, weights: str = "gaussian", **options: Any) -> Graph:
        """The graph: ``gaussian`` and ``binary`` as :func:`from_distances` makes it, ``given``: cost is weight."""
        cost = self.cost
        if cost is None and weights != "binary":
            raise FieldcastError(f"{self.source} has no third column with costs: choose binary weights.")
        if weights == "given":
            if options:
                raise FieldcastError(f"weights that are given take no option '{next(iter(options))}': leave it out.")
            assert cost is not None
            return Graph(self.nodes, self.edge_index, cost.astype(np.float32))
        cost = np.ones(self.edge_index.shape[1]) if cost is None else cost
        return from_distances(
            self.nodes, self.edge_index, cost, weights=weights, source=f"the costs of {self.source}", **options
        )


def from_edge_csv(path: str | Path, nodes: Sequence[str] | int, *, weights: str = "gaussian", **options: Any) -> Graph:
    """The graph of an edge list: :func:`read_edges`, then :meth:`Edges.graph`."""
    return read_edges(path, nodes).graph(weights, **options)


def read_edges(path: str | Path, nodes: Sequence[str] | int) -> Edges:
    """Read a CSV with a header and the columns from, to (or source, target) and cost, one line for each directed edge.

    ``nodes`` are the ids of the nodes in their order, by which the file names them, or their number where the file
    counts them from 0. A line that repeats another is left out and counted; an edge with two costs, an unknown node,
    and a cost that is missing, negative or no finite number are refused with their line.
    """
    path = Path(path)
    lines = _read_cells(path)
    _, header = lines[0]
    names = [name.lower() for name in header]
    if len(names) not in (2, 3) or tuple(names[:2]) not in _ENDS:
        raise FieldcastError(
            f"the first line of {path} is {','.join(header[:4])!r}: name the columns from,to,cost (or source,target)."
        )
    ids = None if isinstance(nodes, int | np.integer) else {str(node): i for i, node in enumerate(nodes)}
    count = nodes if isinstance(nodes, int | np.integer) else len(nodes)
    ends, costs = np.empty((2, len(lines) - 1), dtype=np.int64), np.empty(len(lines) - 1)
    for at, (number, cells) in enumerate(lines[1:]):
        if len(cells) != len(names):
            raise FieldcastError(f"line {number} of {path} has {len(cells)} cells where the header has {len(names)}.")
        ends[0, at] = _node(cells[0], ids, count, path, number)
        ends[1, at] = _node(cells[1], ids, count, path, number)
        costs[at] = _cost(cells, path, number) if len(cells) == 3 else 1.0
    ends, costs, repeats = distinct_edges(ends, costs, f"the lines of {path}")
    return Edges(count, ends, costs if len(names) == 3 else None, repeats, str(path))


def from_adjacency_csv(path: str | Path, nodes: Sequence[str] | int | None = None) -> Graph:
    """Read an adjacency matrix, N lines of N weights, entry (i, j) the weight of the edge from i to j, 0 for none.

    A header line with the ids of the nodes, a first column with them, or both, are recognised by the shape. With
    ``nodes`` as ids a matrix that names its nodes is put in their order; as a number it is only checked.
    """
    path = Path(path)
    lines = _read_cells(path)
    width = len(lines[0][1])
    for number, cells in lines:
        if len(cells) != width:
            raise FieldcastError(f"line {number} of {path} has {len(cells)} cells, the first {width}: mend that line.")
    height = len(lines)
    corner = height == width > 1 and _number(lines[0][1][0]) is None
    has_header, has_column = corner or height == width + 1, corner or width == height + 1
    if not corner and height != width and not has_header and not has_column:
        raise FieldcastError(f"{path} has {height} lines of {width} cells: give a square matrix, or one with a header.")
    body = [(number, cells[1:] if has_column else cells) for number, cells in lines[1 if has_header else 0 :]]
    matrix = np.empty((len(body), len(body)))
    for i, (number, cells) in enumerate(body):
        matrix[i] = [np.nan if (value := _number(cell)) is None else value for cell in cells]
        if not np.isfinite(matrix[i]).all():
            j = int((~np.isfinite(matrix[i])).argmax())
            raise FieldcastError(
                f"line {number} of {path} holds '{cells[j]}' for the edge from {i} to {j}, which is no finite number: "
                "write 0 for no edge."
            )
    column_ids = lines[0][1][1 if has_column else 0 :] if has_header else None
    row_ids = [cells[0] for _, cells in lines[1 if has_header else 0 :]] if has_column else None
    for ids in (column_ids, row_ids):
        if ids and len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise FieldcastError(f"{path} names the node '{twice}' twice: give each an id of its own.")
    if column_ids and row_ids and column_ids != row_ids:
        raise FieldcastError(f"{path} names its lines in another order than its columns: give both the same order.")
    return Graph.from_adjacency(_ordered(matrix, column_ids or row_ids, nodes, path))


def from_npz(path: str | Path, nodes: int, *, weights: str = "auto") -> Graph:
    """Read the common form: ``edge_index`` int [2, E] with ``edge_weight`` and/or ``distance`` [E].

    ``weights``: ``gaussian`` takes exp(-d^2 / sigma^2) of the distances, as :func:`from_distances`; ``binary`` gives
    every edge 1; ``auto`` takes ``edge_weight`` where the file has it. Where it has distances alone, auto is binary for
    a list of neighbours, as is usual for PEMS03 to PEMS08, and gaussian where all pairs of nodes are listed, because
    there the distances alone say who is near.
    """
    if weights not in _WEIGHTS:
        raise FieldcastError(
            f"there are no weights '{weights}'{did_you_mean(weights, _WEIGHTS)}: choose {', '.join(_WEIGHTS)}."
        )
    path = Path(path)
    with _archive(path) as archive:
        names = archive.content.files
        if "edge_index" not in names:
            hint = (
                "read it with from_sparse_npz" if "indptr" in names else "give edge_index and edge_weight or distance"
            )
            raise FieldcastError(f"{path} has no array 'edge_index': {hint}.")
        index = archive.read("edge_index")
        if index.ndim != 2 or len(index) != 2 or not np.issubdtype(index.dtype, np.integer):
            raise FieldcastError(f"edge_index of {path} is {index.dtype} {index.shape}: give whole numbers [2, edges].")
        index = index.astype(np.int64)
        distance = archive.numbers("distance") if "distance" in names else None
        if distance is not None and distance.shape != (index.shape[1],):
            raise FieldcastError(f"distance of {path} has shape {distance.shape}: give one for each edge.")
        if weights == "gaussian" and distance is None:
            raise FieldcastError(f"{path} has no array 'distance' for gaussian weights: choose auto or binary.")
        given = weights == "auto" and "edge_weight" in names
        weight = archive.numbers("edge_weight") if given else np.ones(index.shape[1], dtype=np.float32)
        kept = ("out_degree", "in_degree", "degree", "lambda_max", "lambda_max_without_loops")
        normaliser = {key: archive.numbers(key) for key in kept if given and key in names}
    for key, array in normaliser.items():
        if key.startswith("lambda") and array.ndim:
            raise FieldcastError(f"{key} of {path} has shape {array.shape}: give one number.")
    asked = weights == "gaussian" or (weights == "auto" and not given)
    if distance is not None and asked and (weights == "gaussian" or _tells(index, distance, nodes)):
        return from_distances(nodes, index, distance, source=f"the distances of {path}")
    with np.errstate(over="ignore"):  # what is too large becomes infinite and is refused by the graph
        weight = weight.astype(np.float32)
    kept = {key: float(array) if key.startswith("lambda") else array for key, array in normaliser.items()}
    try:
        return Graph(nodes, index, weight, **kept)  # pyright: ignore[reportArgumentType]
    except FieldcastError as error:
        raise FieldcastError(f"{path} holds no graph of these sensors: {error}") from None


def from_sparse_npz(path: str | Path, nodes: int | None = None) -> Graph:
    """Read an adjacency matrix that ``scipy.sparse.save_npz`` wrote."""
    path = Path(path)
    with _archive(path) as archive:
        if not {"format", "shape", "data"} <= set(archive.content.files):
            raise FieldcastError(f"{path} is no sparse matrix of scipy: write it with scipy.sparse.save_npz.")
        for name in archive.content.files:
            archive.read(name)
        data = archive.read("data")
        if data.dtype.kind not in "biuf":
            raise FieldcastError(f"the array 'data' of {path} holds values of type {data.dtype}: give numbers.")
    try:
        matrix = sparse.load_npz(path)
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # pyright: ignore[reportAttributeAccessIssue]
        entries = sparse.coo_matrix(matrix)
    except (ValueError, KeyError, NotImplementedError, TypeError, AttributeError, IndexError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise FieldcastError(f"{path} is no sparse matrix that can be read ({reason}): write it again.") from None
    if nodes is not None and matrix.shape[0] != nodes:
        raise FieldcastError(f"{path} has {matrix.shape[0]} nodes, not {nodes}: give the graph of these sensors.")
    return Graph.from_adjacency(entries)


def _tells(index: np.ndarray, distance: np.ndarray, nodes: int) -> bool:
    """Whether the distances say who is near: all pairs of nodes are listed, and lie unequally far apart."""
    return _all_pairs(index, nodes) and not distance.std() <= 1e-9 * distance.mean()  # NaN too: refused further on


def _all_pairs(index: np.ndarray, nodes: int) -> bool:
    """Whether each node has an edge to each other: distances then say more than the list."""
    return nodes > 2 and int((index[0] != index[1]).sum()) == nodes * (nodes - 1)


def _archive(path: Path) -> AbstractContextManager[Archive]:
    if not path.is_file():
        raise FieldcastError(f"there is no file {path}: check the path.")
    return open_npz(path)


def _read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that hold anything, each with its number and its cells."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, skipinitialspace=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except OSError as error:
        raise FieldcastError(f"{path} cannot be read ({error.strerror}): check its name and rights.") from None
    except (UnicodeDecodeError, csv.Error):
        raise FieldcastError(f"{path} is no CSV in UTF-8: save it as such.") from None
    if not lines:
        raise FieldcastError(f"{path} is empty: give a table.")
    return lines


def _node(cell: str, ids: dict[str, int] | None, count: int, path: Path, number: int) -> int:
    """The position of a node that a cell names, by id or by number."""
    if ids is not None:
        if cell not in ids:
            raise FieldcastError(
                f"line {number} of {path} names the node '{cell}', which is none of the {count}"
                f"{did_you_mean(cell, ids)}: give the ids of the file, or the number of nodes where it counts them."
            )
        return ids[cell]
    if not re.fullmatch(r"0*[0-9]{1,18}", cell) or int(cell[-18:]) >= count:
        raise FieldcastError(
            f"line {number} of {path} names the node '{cell}', but nodes are counted from 0 to {count - 1}: give the "
            "ids of the nodes where the file names them by id."
        )
    return int(cell)


def _cost(cells: list[str], path: Path, number: int) -> float:
    cost = _number(cells[2])
    if cost is None or not 0 <= cost < np.inf:
        problem = "missing or no number" if cost is None or np.isnan(cost) else "negative" if cost < 0 else "infinite"
        raise FieldcastError(
            f"line {number} of {path} gives the edge from {cells[0]} to {cells[1]} the cost '{cells[2]}', which is "
            f"{problem}: give 0 or more, or delete the line."
        )
    return cost


def _number(cell: str) -> float | None:
    """A number as CSV files write it; Python itself would also take 1_000 and digits of other scripts."""
    try:
        return float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None


def _ordered(matrix: np.ndarray, names: list[str] | None, nodes: Sequence[str] | int | None, path: Path) -> np.ndarray:
    """The matrix in the order of ``nodes``, where both name theirs."""
    wanted = None if nodes is None else nodes if isinstance(nodes, int | np.integer) else len(nodes)
    if wanted is not None and wanted != len(matrix):
        raise FieldcastError(f"{path} has {len(matrix)} nodes, not {wanted}: give the matrix of these sensors.")
    if names is None or nodes is None or isinstance(nodes, int | np.integer):
        return matrix
    place = {name: i for i, name in enumerate(names)}
    for node in nodes:
        if str(node) not in place:
            raise FieldcastError(f"{path} has no node '{node}'{did_you_mean(str(node), place)}: give matching ids.")
    order = [place[str(node)] for node in nodes]
    return matrix[np.ix_(order, order)]
