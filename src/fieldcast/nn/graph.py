"""Graph operators on tensors: from sparse or dense matrices to torch, and their product with a signal over nodes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

Matrix = sp.spmatrix | sp.sparray | np.ndarray

SPARSE_ABOVE = 4096
"""Nodes above which a support is held by its edges alone: a dense one would cost more memory than it is worth."""
SPARSE_BELOW = 1 / 16
"""Share of cells below which a product over edges is faster on a CPU than a dense one (measured with 207 nodes)."""


class Support(nn.Module):
    """A support S as a module: y_i = sum_j S_ij x_j along the node axis, by :func:`apply`.

    Its tensors are buffers that are not saved, for they follow from the graph; they move with the model. A sparse one
    holds its three arrays apart, because sparse tensors cannot be deep-copied. Dense ones export, sparse ones do not.
    ``sparse`` left out: both are held where at most one cell in sixteen is an edge, the edges serve on the CPU and the
    dense one elsewhere, in compiled and in exported models; with more edges the dense one alone, above 4,096 nodes the
    edges alone.
    Shapes: x [.., N, ..] with N at ``dim`` -> the same shape.
    """

    dense: Tensor | None
    rows: Tensor
    columns: Tensor
    values: Tensor

    def __init__(self, support: Matrix, *, sparse: bool | None = None):
        super().__init__()
        edges = sp.csr_matrix(support)
        nodes = support.shape[0]  # pyright: ignore[reportAttributeAccessIssue, reportOptionalSubscript]
        few = edges.nnz <= SPARSE_BELOW * nodes**2
        dense = nodes <= SPARSE_ABOVE if sparse is None else not sparse
        self.by_edges = few or not dense if sparse is None else sparse
        self.register_buffer("dense", to_tensor(support) if dense else None, persistent=False)  # [N, N]
        if self.by_edges:  # copies, since an export would trace views back to the sparse tensor
            tensor = to_tensor(support, dense=False)
            self.register_buffer("rows", tensor.crow_indices().clone(), persistent=False)  # [N + 1]
            self.register_buffer("columns", tensor.col_indices().clone(), persistent=False)  # [E]
            self.register_buffer("values", tensor.values().clone(), persistent=False)  # [E]

    def tensor(self) -> Tensor:
        """S [N, N], dense or sparse CSR."""
        if self.dense is not None:
            traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
            if traced or not self.by_edges or self.dense.device.type != "cpu":
                return self.dense
        return _csr(self.rows, self.columns, self.values, len(self.rows) - 1)

    def forward(self, x: Tensor, dim: int = -2) -> Tensor:
        return apply(self.tensor(), x, dim)


class Supports(nn.ModuleList):
    """Several supports of one graph, each a :class:`Support`."""

    def __init__(self, supports: Iterable[Matrix] = (), *, sparse: bool | None = None):
        super().__init__(Support(support, sparse=sparse) for support in supports)

    def maps(self, dim: int = -2) -> list[Callable[[Tensor], Tensor]]:
        """Each as a map of a signal whose nodes stand at ``dim``."""
        return [partial(apply, support.tensor(), dim=dim) for support in self if isinstance(support, Support)]


def to_tensor(support: Matrix, *, dense: bool = True) -> Tensor:
    """A support float32 [N, N] as a dense tensor, or as a sparse CSR tensor whose product costs edges, not N^2.

    A module that holds one is :class:`Support`.
    """
    if dense:
        array = support if isinstance(support, np.ndarray) else support.toarray()  # type: ignore[union-attr]
        return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
    matrix = sp.csr_matrix(support, dtype=np.float32, copy=True)
    matrix.sort_indices()
    arrays = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data)
    rows, columns, values = (torch.from_numpy(array) for array in arrays)
    return _csr(rows, columns, values, len(rows) - 1)


def apply(support: Tensor, x: Tensor, dim: int = -2) -> Tensor:
    """y_i = sum_j S_ij x_j along the node axis ``dim``, nodes of the result in the rows of S.

    Where a paper multiplies from the other side, give the transposed support.
    Shapes: support [N, N] dense or sparse CSR, x [.., N, ..] with N at ``dim`` -> the same shape as x, in its dtype.
    """
    if support.layout == torch.strided:
        behind = dim % x.ndim + 1
        rows = x.flatten(behind) if behind < x.ndim else x.unsqueeze(-1)  # [.., N, rest]
        return (support.to(x.dtype) @ rows).view(x.shape)
    first = x.movedim(dim, 0)  # [N, ..]
    # A sparse product knows no half precision on the CPU, and autocast must not choose it.
    with torch.autocast(x.device.type, enabled=False):
        product = support @ first.reshape(len(first), -1).to(support.dtype)  # [N, rest]
    return product.reshape(first.shape).movedim(0, dim).to(x.dtype)


def chebyshev_terms(scaled_laplacian: Tensor, x: Tensor, order: int, dim: int = -2) -> list[Tensor]:
    """T_0 x = x, T_1 x = M x, T_k x = 2 M T_{k-1} x - T_{k-2} x: ``order`` tensors of the shape of x.

    Equal to applying the matrices of ``supports("chebyshev", order=order)``, at a cost of order x edges.
    """
    terms = [x]
    while len(terms) < order:
        step = apply(scaled_laplacian, terms[-1], dim)
        terms.append(step if len(terms) == 1 else 2 * step - terms[-2])
    return terms


def diffusion_terms(maps: Iterable[Callable[[Tensor], Tensor]], x: Tensor, order: int) -> Iterator[Tensor]:
    """x, then S x, S^2 x, .., S^order x for each map S in turn: each of the shape of x.

    The terms of a diffusion convolution, Li et al., ICLR 2018, arXiv:1707.01926, equation 2.
    """
    yield x
    for apply_once in maps:
        term = x
        for _ in range(order):
            term = apply_once(term)
            yield term


def add_map(total: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """total + x W', in one product, so that terms are summed without a copy side by side: [.., D], [.., C], [D, C]."""
    flat = torch.addmm(total.flatten(0, -2), x.flatten(0, -2), weight.T)  # [rows, D]
    return flat.view_as(total)


def _csr(rows: Tensor, columns: Tensor, values: Tensor, nodes: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*CSR tensor support is in beta.*")
        return torch.sparse_csr_tensor(rows, columns, values, size=(nodes, nodes), check_invariants=False)
