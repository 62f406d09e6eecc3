"""Small random graphs for the tests of the folder."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fieldcast.data.graph import Graph


def random_matrix(nodes: int, seed: int, *, density: float = 0.5, symmetric: bool = False) -> np.ndarray:
    """Weights float32 [N, N] in [0.1, 1) or zero; self loops, isolated nodes and one-way edges may occur."""
    rng = np.random.default_rng(seed)
    matrix = np.where(rng.random((nodes, nodes)) < density, rng.uniform(0.1, 1, (nodes, nodes)), 0.0)
    matrix = np.maximum(matrix, matrix.T) if symmetric else matrix
    return matrix.astype(np.float32)


def split_edges(matrix: np.ndarray, seed: int) -> Graph:
    """A graph of the matrix in which edges are given in several pieces and in any order."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.nonzero(matrix)).astype(np.int64)
    weight = matrix[index[0], index[1]]
    index, weight = np.concatenate([index, index], axis=1), np.concatenate([weight / 4, weight * 0.75])
    order = rng.permutation(index.shape[1])
    return Graph(len(matrix), index[:, order], weight[order].astype(np.float32))


matrices = st.builds(
    random_matrix, st.integers(1, 8), st.integers(0, 10**6), density=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    symmetric=st.booleans(),
)  # fmt: skip
