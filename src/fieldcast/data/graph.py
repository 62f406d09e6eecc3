"""Graph: who neighbours whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse

from fieldcast.errors import FieldcastError


@dataclass(frozen=True, eq=False)
class Graph:
    """A weighted directed graph over N nodes.

    Shapes: ``edge_index`` int64 [2, E] (row 0 source, row 1 target), ``edge_weight`` float32 [E] (larger is closer).
    ``out_degree`` float64 [N], sums of outgoing weights, is given only where it must outlive its edges: a graph that
    was cut out of a larger one keeps the larger one's normaliser, so that a compacted model equals a masked one.
    """

    nodes: int
    edge_index: np.ndarray
    edge_weight: np.ndarray
    out_degree: np.ndarray | None = None
    in_degree: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.edge_index.ndim != 2 or self.edge_index.shape[0] != 2:
            raise FieldcastError(f"edge_index has shape {self.edge_index.shape}: give [2, edges].")
        if self.edge_weight.shape != (self.edge_index.shape[1],):
            raise FieldcastError(
                f"there are {self.edge_index.shape[1]} edges and {self.edge_weight.shape} weights: give one each."
            )
        if self.edge_index.size and not 0 <= self.edge_index.min() <= self.edge_index.max() < self.nodes:
            raise FieldcastError(f"an edge leads to a node outside 0..{self.nodes - 1}: number nodes from 0.")
        if not np.isfinite(self.edge_weight).all():
            raise FieldcastError("an edge weight is not finite: leave out edges without a weight.")

    @classmethod
    def from_adjacency(cls, matrix: np.ndarray | sparse.spmatrix) -> Graph:
        """A graph from an adjacency matrix [N, N], entry (i, j) the weight of the edge from i to j."""
        entries: Any = sparse.coo_matrix(matrix)  # scipy's own types allow a shape of None
        if entries.shape[0] != entries.shape[1]:
            raise FieldcastError(f"the adjacency matrix has shape {entries.shape}: give a square one.")
        keep = entries.data != 0
        index = np.stack([entries.row[keep], entries.col[keep]]).astype(np.int64)
        return cls(int(entries.shape[0]), index, entries.data[keep].astype(np.float32))

    @classmethod
    def from_npz(cls, path: str | Path, nodes: int) -> Graph:
        """Read ``edge_index`` with ``edge_weight`` from an NPZ; distances alone get weight 1 an edge.

        How distances become weights is a choice of the graph builders, not of the reader.
        """
        with np.load(path, allow_pickle=False) as arrays:
            index = arrays["edge_index"].astype(np.int64)
            weight = arrays["edge_weight"] if "edge_weight" in arrays else np.ones(index.shape[1])
            degrees = {key: arrays[key] for key in ("out_degree", "in_degree") if key in arrays}
        return cls(nodes, index, weight.astype(np.float32), **degrees)

    def arrays(self) -> dict[str, np.ndarray]:
        """What :meth:`from_npz` reads."""
        named = {"edge_index": self.edge_index, "edge_weight": self.edge_weight}
        degrees = {"out_degree": self.out_degree, "in_degree": self.in_degree}
        return named | {key: value for key, value in degrees.items() if value is not None}

    def adjacency(self) -> sparse.csr_matrix:
        """The weights as a sparse matrix [N, N]; repeated edges add up."""
        return sparse.csr_matrix((self.edge_weight, (self.edge_index[0], self.edge_index[1])), (self.nodes, self.nodes))

    def transition(self, *, reverse: bool = False) -> sparse.csr_matrix:
        """The random walk P = D^-1 A (``reverse``: of A transposed), rows without edges stay zero: [N, N]."""
        matrix = self.adjacency().astype(np.float64)
        if reverse:
            matrix = matrix.T.tocsr()
        degree = self.in_degree if reverse else self.out_degree
        if degree is None:
            degree = np.asarray(matrix.sum(axis=1)).ravel()
        inverse = np.divide(1.0, degree, out=np.zeros_like(degree, dtype=np.float64), where=degree != 0)
        return sparse.csr_matrix(sparse.diags(inverse) @ matrix, dtype=np.float32)

    def renode(self, index: np.ndarray) -> Graph:
        """The induced graph over nodes ``index`` int64 [new N] (-1: a new node without edges), normaliser frozen."""
        new = np.full(self.nodes, -1, dtype=np.int64)
        present = index >= 0
        new[index[present]] = np.flatnonzero(present)
        edges = new[self.edge_index]
        keep = (edges >= 0).all(axis=0)
        matrix = self.adjacency()
        degrees = []
        for axis, degree in ((1, self.out_degree), (0, self.in_degree)):
            full = np.asarray(matrix.sum(axis=axis), dtype=np.float64).ravel() if degree is None else degree
            degrees.append(np.where(present, full[index], 0.0))
        return Graph(len(index), edges[:, keep], self.edge_weight[keep], degrees[0], degrees[1])
