"""The type Graph: edges with weights, and the normaliser that outlives removed edges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse

from fieldcast.errors import FieldcastError, did_you_mean

_PER_NODE = ("out_degree", "in_degree", "degree")
_NUMBERS = ("lambda_max", "lambda_max_without_loops")
SUBGRAPHS = ("induced", "rebuild_knn", "bridge")


@dataclass(frozen=True, eq=False)
class Graph:
    """A weighted directed graph over N nodes.

    Shapes: ``edge_index`` int64 [2, E] (row 0 source, row 1 target), ``edge_weight`` float32 [E], not negative (larger
    is closer). An edge that is given more than once counts with the sum of its weights, in every operator; a self loop
    is an edge like others. Nodes without edges are allowed.

    The other fields are given only where a normaliser must outlive its edges: a graph that was cut out of a larger one
    keeps the larger one's, so that a compacted model equals a masked one. ``out_degree`` and ``in_degree`` float64 [N]
    are sums of outgoing and incoming weights, ``degree`` float64 [N] those of max(A, A'), ``lambda_max`` is the largest
    eigenvalue of the normalised Laplacian, ``lambda_max_without_loops`` the same without self loops.

    Raises FieldcastError for wrong shapes, nodes outside 0..N-1, and weights that are negative or no finite numbers.
    """

    nodes: int
    edge_index: np.ndarray
    edge_weight: np.ndarray
    out_degree: np.ndarray | None = None
    in_degree: np.ndarray | None = None
    degree: np.ndarray | None = None
    lambda_max: float | None = None
    lambda_max_without_loops: float | None = None

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise FieldcastError(f"the graph has {self.nodes} nodes: give at least one.")
        if self.edge_index.ndim != 2 or self.edge_index.shape[0] != 2:
            raise FieldcastError(f"edge_index has shape {self.edge_index.shape}: give [2, edges].")
        if not np.issubdtype(self.edge_index.dtype, np.integer):
            raise FieldcastError(f"edge_index holds values of type {self.edge_index.dtype}: give whole numbers.")
        if self.edge_weight.shape != (self.edge_index.shape[1],):
            raise FieldcastError(
                f"there are {self.edge_index.shape[1]} edges and {self.edge_weight.shape} weights: give one an edge."
            )
        if self.edge_index.size and not 0 <= self.edge_index.min() <= self.edge_index.max() < self.nodes:
            raise FieldcastError(f"an edge leads to a node outside 0..{self.nodes - 1}: number nodes from 0.")
        wrong = ~np.isfinite(self.edge_weight) | (self.edge_weight < 0)
        if wrong.any():
            at = int(wrong.argmax())
            problem = "negative" if np.isfinite(self.edge_weight[at]) else "not finite"
            raise FieldcastError(
                f"an edge weight is {problem} ({edge_name(self.edge_index, at)}: {self.edge_weight[at]}): leave out "
                "edges without a weight, and give others a weight above 0."
            )
        for name in _PER_NODE:
            given = getattr(self, name)
            if given is not None and given.shape != (self.nodes,):
                raise FieldcastError(f"{name} has shape {given.shape}: give one for each of the {self.nodes} nodes.")
        for name in (*_PER_NODE, *_NUMBERS):
            given = getattr(self, name)
            if given is None:
                continue
            least, most = np.min(given), np.max(given)
            if not (-1e-6 * max(1.0, most) <= least and most < np.inf):  # rounding may leave a hair below 0; NaN fails
                raise FieldcastError(f"{name} holds a number that is negative or not finite: leave it out.")

    @classmethod
    def from_adjacency(cls, matrix: Any) -> Graph:
        """A graph from an adjacency matrix [N, N], array or sparse, entry (i, j) the weight of the edge from i to j."""
        entries = sparse.coo_matrix(matrix)
        rows, columns = entries.get_shape()
        if rows != columns:
            raise FieldcastError(f"the adjacency matrix has shape {(rows, columns)}: give a square one.")
        keep = entries.data != 0
        index = np.stack([entries.row[keep], entries.col[keep]]).astype(np.int64)
        return cls(int(rows), index, entries.data[keep].astype(np.float32))

    @classmethod
    def from_npz(cls, path: str | Path, nodes: int, *, weights: str = "auto") -> Graph:
        """Read ``edge_index`` with ``edge_weight`` or ``distance``: see :func:`fieldcast.data.graph.from_npz`."""
        from fieldcast.data.graph.files import from_npz

        return from_npz(path, nodes, weights=weights)

    def arrays(self) -> dict[str, np.ndarray]:
        """What :meth:`from_npz` reads."""
        named = {"edge_index": self.edge_index, "edge_weight": self.edge_weight}
        given = {name: getattr(self, name) for name in (*_PER_NODE, *_NUMBERS)}
        return named | {name: np.asarray(value) for name, value in given.items() if value is not None}

    # What it looks like

    @property
    def frozen(self) -> bool:
        """Whether the normaliser is that of a larger graph."""
        return any(getattr(self, name) is not None for name in (*_PER_NODE, *_NUMBERS))

    @property
    def empty(self) -> bool:
        """Whether no edge has a weight."""
        return not bool(self.edge_weight.any())

    def adjacency(self) -> sparse.csr_matrix:
        """The weights as a sparse matrix float32 [N, N]; repeated edges add up."""
        return sparse.csr_matrix((self.edge_weight, (self.edge_index[0], self.edge_index[1])), (self.nodes, self.nodes))

    def symmetric(self) -> Graph:
        """The undirected graph max(A, A'): an edge in one direction counts for both, of two the larger weight."""
        matrix = self.adjacency()
        other = Graph.from_adjacency(matrix.maximum(matrix.T))
        if not self.frozen:
            return other
        degree = self.symmetric_degree()
        return Graph(
            self.nodes, other.edge_index, other.edge_weight, degree, degree, degree, self.lambda_max,
            self.lambda_max_without_loops,
        )  # fmt: skip

    def without_self_loops(self) -> Graph:
        """The graph without edges from a node to itself; a frozen normaliser loses their weights too."""
        loop = self.edge_index[0] == self.edge_index[1]
        weight = np.zeros(self.nodes)
        np.add.at(weight, self.edge_index[0, loop], self.edge_weight[loop].astype(np.float64))
        degrees = {name: d - weight for name in _PER_NODE if (d := getattr(self, name)) is not None}
        return Graph(
            self.nodes, self.edge_index[:, ~loop], self.edge_weight[~loop], **degrees,
            lambda_max=self.lambda_max_without_loops, lambda_max_without_loops=self.lambda_max_without_loops,
        )  # fmt: skip

    def symmetric_degree(self) -> np.ndarray:
        """The degrees float64 [N] of max(A, A'), frozen ones where there are."""
        if self.degree is not None:
            return self.degree
        matrix = self.adjacency().astype(np.float64)
        return np.asarray(matrix.maximum(matrix.T).sum(axis=1)).ravel()

    # Operators

    def transition(self, *, reverse: bool = False) -> sparse.csr_matrix:
        """The random walk P = D^-1 A (``reverse``: of A transposed), rows without edges stay zero: [N, N]."""
        from fieldcast.data.graph.operators import random_walk

        return sparse.csr_matrix(random_walk(self, reverse=reverse), dtype=np.float32)

    def supports(self, name: str, *, dense: bool = False, **options: Any) -> list[Any]:
        """Operators by name, float32 [N, N] each, as CSR or as arrays: see :mod:`fieldcast.data.graph.operators`.

        ========================  ======================================================  ============================
        name                      matrices                                                options
        ========================  ======================================================  ============================
        ``adjacency``             A
        ``random_walk``           P(A) = D^-1 A                                           ``reverse``
        ``double_transition``     P(A), P(A')
        ``normalised_laplacian``  L = I - D^-1/2 A D^-1/2                                 ``symmetric``
        ``scaled_laplacian``      2 L / lambda_max - I                                    ``symmetric``, ``lambda_max``
        ``chebyshev``             T_0 .. T_{K-1} of the scaled Laplacian                  the same and ``order`` (K)
        ========================  ======================================================  ============================

        ``symmetric`` is ``"max"`` (A <- max(A, A')) or ``"refuse"`` (directed graphs are refused); ``lambda_max`` is a
        number such as 2, or None for the true one. Raises FieldcastError for unknown names and options.
        """
        from fieldcast.data.graph.operators import supports

        return supports(self, name, dense=dense, **options)

    # Nodes

    def renode(self, index: np.ndarray, how: str = "induced", **options: Any) -> Graph:
        """The graph over nodes ``index`` int64 [new N], each a position here or -1 for a new node without edges.

        ``how``: ``induced`` keeps the edges between these nodes and freezes the normaliser; ``rebuild_knn`` builds
        edges anew from ``coordinates`` [new N, 2]; ``bridge`` joins what was joined through removed nodes. Options and
        formulas stand in :mod:`fieldcast.data.graph.subgraphs`.
        """
        from fieldcast.data.graph import subgraphs

        if how not in SUBGRAPHS:
            raise FieldcastError(
                f"there is no way '{how}' to cut a graph{did_you_mean(how, SUBGRAPHS)}: choose {', '.join(SUBGRAPHS)}."
            )
        return getattr(subgraphs, how)(self, index, **options)


def edge_name(edge_index: np.ndarray, at: int) -> str:
    """An edge as a person writes it: ``the edge from 3 to 7``."""
    return f"the edge from {edge_index[0, at]} to {edge_index[1, at]}"
