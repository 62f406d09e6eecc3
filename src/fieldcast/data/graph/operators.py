"""Operators over a graph: random walks, Laplacians, Chebyshev polynomials, as sparse or dense matrices.

A is the weighted adjacency [N, N], rows the sources, repeated edges summed, self loops included. All is computed in
float64; :func:`supports` hands it out in float32. A node without edges has a zero row in the walks and, by the formula,
the row of the identity in L. Degrees and lambda_max are the frozen ones where the graph carries them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sparse

from fieldcast.data.graph.graph import Graph
from fieldcast.errors import FieldcastError, did_you_mean

_DENSE_BELOW = 257  # nodes up to which the dense eigenvalue is both faster and exact
_TOLERANCE = 1e-7  # of lambda_max, relative: below the resolution of float32


def adjacency(graph: Graph) -> sparse.csr_matrix:
    """A, float64 [N, N]."""
    return sparse.csr_matrix(graph.adjacency(), dtype=np.float64)


def random_walk(graph: Graph, *, reverse: bool = False) -> sparse.csr_matrix:
    """P(A) = D^-1 A with D the row sums of A (``reverse``: of A transposed); zero rows stay zero: float64 [N, N].

    Li et al., ICLR 2018, arXiv:1707.01926.
    """
    matrix = adjacency(graph)
    if reverse:
        matrix = matrix.T.tocsr()
    degree = graph.in_degree if reverse else graph.out_degree
    if degree is None:
        degree = np.asarray(matrix.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags(_power(degree, -1.0)) @ matrix)


def normalised_laplacian(graph: Graph, *, symmetric: str = "max") -> sparse.csr_matrix:
    """L = I - D^-1/2 A D^-1/2 with A <- max(A, A') and D its row sums, 0^-1/2 taken as 0: float64 [N, N].

    ``symmetric="refuse"`` takes undirected graphs only. A node without edges has L_ii = 1, one with nothing but a self
    loop L_ii = 0.
    """
    if symmetric not in ("max", "refuse"):
        raise FieldcastError(
            f"a graph cannot be made symmetric by '{symmetric}'{did_you_mean(symmetric, ('max', 'refuse'))}: "
            "choose max or refuse."
        )
    matrix = adjacency(graph)
    if symmetric == "refuse":
        _refuse_directed(matrix)
    root = sparse.diags(_power(graph.symmetric_degree(), -0.5))
    return sparse.csr_matrix(sparse.identity(graph.nodes) - root @ matrix.maximum(matrix.T) @ root)


def scaled_laplacian(graph: Graph, *, symmetric: str = "max", lambda_max: float | None = None) -> sparse.csr_matrix:
    """2 L / lambda_max - I, whose eigenvalues lie in [-1, 1]: float64 [N, N].

    ``lambda_max`` is a number (2 is the bound of every normalised Laplacian), or None for the largest eigenvalue of L.
    Defferrard et al., NeurIPS 2016, arXiv:1606.09375.
    """
    _refuse_empty(graph, "scaled_laplacian")
    if lambda_max is not None and not 0 < lambda_max < np.inf:
        raise FieldcastError(f"lambda_max is {lambda_max}: give a number above 0 such as 2, or leave it out.")
    laplacian = normalised_laplacian(graph, symmetric=symmetric)
    largest = largest_eigenvalue(graph) if lambda_max is None else lambda_max
    return sparse.csr_matrix(laplacian * (2.0 / largest) - sparse.identity(graph.nodes))


def chebyshev(
    graph: Graph, *, order: int = 3, symmetric: str = "max", lambda_max: float | None = None
) -> list[sparse.csr_matrix]:
    """T_0 = I, T_1 = M, T_k = 2 M T_{k-1} - T_{k-2} of the scaled Laplacian M: ``order`` matrices [N, N].

    T_k reaches k steps far, so that sparse stacks of a high order are not sparse: the recursion over a signal,
    :func:`fieldcast.nn.graph.chebyshev_terms`, costs order x edges.
    """
    if order < 1:
        raise FieldcastError(f"a Chebyshev stack of order {order} has no matrix: give at least 1.")
    step = scaled_laplacian(graph, symmetric=symmetric, lambda_max=lambda_max)
    stack = [sparse.csr_matrix(sparse.identity(graph.nodes)), step]
    while len(stack) < order:
        stack.append(sparse.csr_matrix(2 * (step @ stack[-1]) - stack[-2]))
    return stack[:order]


def largest_eigenvalue(graph: Graph) -> float:
    """lambda_max of the normalised Laplacian of max(A, A'), the frozen one where the graph carries it; 2 where L is 0.

    Lanczos with a fixed start vector, so that every run gives the same number; dense for small graphs.
    """
    if graph.lambda_max is not None:
        return graph.lambda_max
    laplacian, nodes = normalised_laplacian(graph), graph.nodes
    if nodes < _DENSE_BELOW:
        found = float(np.linalg.eigvalsh(laplacian.toarray())[-1])
        return found if found > _TOLERANCE else 2.0  # nodes with nothing but self loops have L = 0
    from scipy.sparse.linalg import ArpackError, eigsh

    # Random, for a plain vector may be an eigenvector: all ones is that of 0 in a regular graph.
    start = np.random.default_rng(0).standard_normal(nodes)
    try:
        found = eigsh(laplacian, k=1, which="LA", v0=start, tol=_TOLERANCE, return_eigenvectors=False)  # pyright: ignore[reportArgumentType]
    except ArpackError:
        raise FieldcastError(
            f"the largest eigenvalue of the Laplacian of {nodes} nodes was not found: give lambda_max=2."
        ) from None
    return float(found[0]) if found[0] > _TOLERANCE else 2.0


def supports(graph: Graph, name: str, *, dense: bool = False, **options: Any) -> list[Any]:
    """Operators by name, float32 CSR or arrays [N, N]: see :meth:`Graph.supports`."""
    if name not in _OPERATORS:
        raise FieldcastError(
            f"there is no graph operator '{name}'{did_you_mean(name, _OPERATORS)}: choose {', '.join(_OPERATORS)}."
        )
    operator = _OPERATORS[name]
    known = [key for key in inspect.signature(operator).parameters if key != "graph"]
    for key in options:
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise FieldcastError(f"the operator {name} has no option '{key}'{did_you_mean(key, known)}: {takes}.")
    made = operator(graph, **options)
    matrices = [sparse.csr_matrix(matrix, dtype=np.float32) for matrix in (made if isinstance(made, list) else [made])]
    for matrix in matrices:
        matrix.eliminate_zeros()
        matrix.sort_indices()
    return [matrix.toarray() for matrix in matrices] if dense else matrices


def _double_transition(graph: Graph) -> list[sparse.csr_matrix]:
    # Loops alone are walks that stay where they are, and may be meant.
    _refuse_empty(graph, "double_transition", loops_count=True)
    return [random_walk(graph), random_walk(graph, reverse=True)]


_OPERATORS: dict[str, Callable[..., sparse.csr_matrix | list[sparse.csr_matrix]]] = {
    "adjacency": adjacency,
    "random_walk": random_walk,
    "double_transition": _double_transition,
    "normalised_laplacian": normalised_laplacian,
    "scaled_laplacian": scaled_laplacian,
    "chebyshev": chebyshev,
}


def _power(degree: np.ndarray, exponent: float) -> np.ndarray:
    """degree^exponent, 0 where the degree is 0."""
    return np.power(degree, exponent, out=np.zeros(len(degree)), where=degree > 0)


def _refuse_empty(graph: Graph, name: str, *, loops_count: bool = False) -> None:
    # One sensor alone has no neighbour, and a graph that was cut out may have lost all its edges: both are right.
    if graph.nodes > 1 and not graph.frozen and (graph if loops_count else graph.without_self_loops()).empty:
        raise FieldcastError(
            f"the graph of {graph.nodes} nodes has no edge between two of them, and the operator {name} needs some: "
            "give a graph with edges, or choose a model without one."
        )


def _refuse_directed(matrix: sparse.csr_matrix) -> None:
    difference = sparse.coo_matrix(abs(matrix - matrix.T))
    wrong = difference.data > 1e-6 * (matrix.max() if matrix.nnz else 0.0)
    if wrong.any():
        at = int(wrong.argmax())
        i, j = int(difference.row[at]), int(difference.col[at])
        raise FieldcastError(
            f"the edge from {i} to {j} weighs {matrix[i, j]:g} and its reverse {matrix[j, i]:g}, but a symmetric graph "
            "is needed: make it symmetric, or choose symmetric='max'."
        )
