"""Graph operators on tensors: from sparse or dense matrices to torch, and their product with a signal over nodes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

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
    back_rows: Tensor
    back_columns: Tensor
    back_values: Tensor

    def __init__(self, support: Matrix, *, sparse: bool | None = None):
        super().__init__()
        edges = sp.csr_matrix(support)
        nodes = support.shape[0]  # pyright: ignore[reportAttributeAccessIssue, reportOptionalSubscript]
        few = edges.nnz <= SPARSE_BELOW * nodes**2
        dense = nodes <= SPARSE_ABOVE if sparse is None else not sparse
        self.by_edges = few or not dense if sparse is None else sparse
        self.register_buffer("dense", to_tensor(support) if dense else None, persistent=False)  # [N, N]
        if self.by_edges:  # S, and S' for the gradient, which torch would make anew by sorting at every product
            for name, matrix in (("", edges), ("back_", edges.T)):
                tensor = to_tensor(matrix, dense=False)  # copies, since an export would trace views back to it
                self.register_buffer(f"{name}rows", tensor.crow_indices().clone(), persistent=False)  # [N + 1]
                self.register_buffer(f"{name}columns", tensor.col_indices().clone(), persistent=False)  # [E]
                self.register_buffer(f"{name}values", tensor.values().clone(), persistent=False)  # [E]

    def tensor(self) -> Tensor:
        """S [N, N], dense or sparse CSR."""
        if self.dense is not None:
            traced = torch.compiler.is_compiling() or torch.compiler.is_exporting()
            if traced or not self.by_edges or self.dense.device.type != "cpu":
                return self.dense
        return _csr(self.rows, self.columns, self.values)

    def map(self, dim: int = -2) -> Callable[[Tensor], Tensor]:
        """The product with a signal whose nodes stand at ``dim``, to be called many times."""
        support = self.tensor()
        sparse = support.layout == torch.sparse_csr
        back = _csr(self.back_rows, self.back_columns, self.back_values) if sparse else None
        return partial(apply, support, dim=dim, transposed=back)

    def forward(self, x: Tensor, dim: int = -2) -> Tensor:
        return self.map(dim)(x)


class Supports(nn.ModuleList):
    """Several supports of one graph, each a :class:`Support`."""

    def __init__(self, supports: Iterable[Matrix] = (), *, sparse: bool | None = None):
        super().__init__(Support(support, sparse=sparse) for support in supports)

    def maps(self, dim: int = -2) -> list[Callable[[Tensor], Tensor]]:
        """Each as a map of a signal whose nodes stand at ``dim``."""
        return [support.map(dim) for support in self if isinstance(support, Support)]


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
    return _csr(rows, columns, values)


def apply(support: Tensor, x: Tensor, dim: int = -2, transposed: Tensor | None = None) -> Tensor:
    """y_i = sum_j S_ij x_j along the node axis ``dim``, nodes of the result in the rows of S.

    Where a paper multiplies from the other side, give the transposed support. With ``transposed``, S' beside a sparse
    S, the gradient of x is one more product; S is a constant then.
    Shapes: support [N, N] dense or sparse CSR, x [.., N, ..] with N at ``dim`` -> the same shape as x, in its dtype.
    """
    if support.layout == torch.strided:
        behind = dim % x.ndim + 1
        rows = x.flatten(behind) if behind < x.ndim else x.unsqueeze(-1)  # [.., N, rest]
        return (support.to(x.dtype) @ rows).view(x.shape)
    first = x.movedim(dim, 0)  # [N, ..]
    # A sparse product knows no half precision on the CPU, and autocast must not choose it.
    with torch.autocast(x.device.type, enabled=False):
        rows = first.reshape(len(first), -1).to(support.dtype)  # [N, rest]
        product = support @ rows if transposed is None else _SparseProduct.apply(support, transposed, rows)  # [N, rest]
    return product.reshape(first.shape).movedim(0, dim).to(x.dtype)


class _SparseProduct(torch.autograd.Function):
    """S x with the gradient S' g, both sparse; S, S' [N, N], x [N, rest]. Transforms of torch.func do not take it."""

    @staticmethod
    def forward(ctx: Any, support: Tensor, transposed: Tensor, x: Tensor) -> Tensor:
        ctx.support, ctx.transposed = support, transposed
        with torch.autocast(x.device.type, enabled=False):  # in the backward pass too
            return support @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _SparseProduct.apply(ctx.transposed, ctx.support, gradients[0].contiguous())


def chebyshev_terms(scaled_laplacian: Callable[[Tensor], Tensor], x: Tensor, order: int) -> list[Tensor]:
    """T_0 x = x, T_1 x = M x, T_k x = 2 M T_{k-1} x - T_{k-2} x for the map M: ``order`` tensors of the shape of x.

    Equal to applying the matrices of ``supports("chebyshev", order=order)``, at a cost of order x edges.
    """
    terms = [x]
    while len(terms) < order:
        step = scaled_laplacian(terms[-1])
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


def diffuse(maps: Iterable[Callable[[Tensor], Tensor]], x: Tensor, order: int = 1) -> Tensor:
    """[x | S x | .. | S^order x] for each map S in turn, side by side: [.., D] -> [.., terms D]."""
    return torch.cat(list(diffusion_terms(maps, x, order)), dim=-1)


def sum_of_maps(terms: Iterable[Tensor], weights: Iterable[Tensor], bias: Tensor | None = None) -> Tensor:
    """sum_k x_k W_k' + b: each product is added in place, where a copy side by side and one product would move more.

    Shapes: terms [.., C_k], weights [D, C_k], bias [D] -> [.., D].
    """
    total: Tensor | None = None
    shape = torch.Size()
    for term, weight in zip(terms, weights, strict=True):
        shape, rows = term.shape[:-1], term.flatten(0, -2)  # [rows, C]
        if total is None:
            total = rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)  # [rows, D]
        elif torch.is_autocast_enabled(rows.device.type):  # which serves no operation in place
            total = torch.addmm(total, rows, weight.T)  # [rows, D]
        else:
            total = total.addmm_(rows, weight.T)  # [rows, D]
    assert total is not None
    return total.view(*shape, total.shape[-1])


def _csr(rows: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    nodes = len(rows) - 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*CSR tensor support is in beta.*")
        return torch.sparse_csr_tensor(rows, columns, values, size=(nodes, nodes), check_invariants=False)
