"""Supports on tensors: sparse and dense products agree with numpy, in value and gradient, wherever the node axis is."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.graph import Graph
from fieldcast.nn.graph import Support, apply, chebyshev_terms, sum_of_maps, to_tensor
from tests.data.graph.graphs import random_matrix

SHAPES = {(6, 3): -2, (2, 6, 3): -2, (2, 4, 6, 3): -2, (6,): 0, (2, 6): 1, (2, 3, 6): -1, (2, 3, 6, 5): 2, (6, 2, 3): 0}


@settings(deadline=None, max_examples=40)
@given(shape=st.sampled_from(sorted(SHAPES, key=str)), dense=st.booleans(), seed=st.integers(0, 99))
def test_the_product_equals_numpy(shape: tuple[int, ...], dense: bool, seed: int) -> None:
    graph, dim = Graph.from_adjacency(random_matrix(6, seed)), SHAPES[shape]
    support = graph.supports("random_walk")[0]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    y = apply(to_tensor(support, dense=dense), x, dim)
    expected = np.moveaxis(np.tensordot(support.toarray(), x.detach().numpy(), axes=(1, dim)), 0, dim)
    assert y.shape == x.shape and y.dtype == x.dtype
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-6)
    y.square().sum().backward()
    back = np.tensordot(support.toarray(), 2 * expected, axes=(0, dim))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.moveaxis(back, 0, dim), atol=1e-5)


def test_dense_and_sparse_supports_of_either_kind() -> None:
    graph = Graph.from_adjacency(random_matrix(5, 1))
    for name in ("double_transition", "chebyshev"):
        pairs = zip(graph.supports(name), graph.supports(name, dense=True), strict=True)
        for thin, full in pairs:
            for dense in (True, False):
                a, b = to_tensor(thin, dense=dense), to_tensor(full, dense=dense)
                assert a.dtype == torch.float32 and a.layout == (torch.strided if dense else torch.sparse_csr)
                np.testing.assert_array_equal(a.to_dense().numpy(), b.to_dense().numpy())
                np.testing.assert_allclose(a.to_dense().numpy(), full, atol=1e-6)


def test_a_dense_support_is_no_view_of_the_array() -> None:
    full = Graph.from_adjacency(np.eye(3)).supports("adjacency", dense=True)[0]
    to_tensor(full).zero_()
    assert full.any()


@pytest.mark.parametrize("dense", [True, False])
def test_the_recursion_over_a_signal_equals_the_stack(dense: bool) -> None:
    graph = Graph.from_adjacency(random_matrix(7, 2))
    x = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    terms = chebyshev_terms(Support(graph.supports("scaled_laplacian")[0], sparse=not dense), x, 4)
    for term, matrix in zip(terms, graph.supports("chebyshev", order=4), strict=True):
        np.testing.assert_allclose(term.numpy(), apply(to_tensor(matrix), x).numpy(), atol=1e-5)
    assert len(chebyshev_terms(Support(graph.supports("adjacency")[0]), x, 1)) == 1


@pytest.mark.parametrize("dense", [True, False])
def test_half_precision_and_autocast(dense: bool) -> None:
    support = to_tensor(Graph.from_adjacency(random_matrix(6, 4)).supports("random_walk")[0], dense=dense)
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    exact = apply(support, x)
    half = apply(support, x.bfloat16())
    assert half.dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = apply(support, x)
    for rough in (half, mixed):
        np.testing.assert_allclose(rough.float().numpy(), exact.numpy(), atol=0.03)


@pytest.mark.parametrize("dense", [True, False])
def test_a_support_module_is_copied_moved_and_not_saved(dense: bool) -> None:
    matrix = Graph.from_adjacency(random_matrix(6, 4)).supports("random_walk")[0]
    module = Support(matrix, sparse=not dense)
    other = copy.deepcopy(module).to("cpu")
    assert not module.state_dict() and not list(module.parameters())
    np.testing.assert_array_equal(other.tensor().to_dense().numpy(), matrix.toarray())
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(other(x).numpy(), matrix.toarray() @ x.numpy(), atol=1e-6)


def test_a_dense_support_exports_with_any_batch() -> None:
    module = Support(Graph.from_adjacency(random_matrix(6, 4)).supports("random_walk")[0])
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(module, (torch.ones(2, 6, 3),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(5, 6, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(exported(x).numpy(), module(x).numpy(), atol=1e-6)


def test_few_edges_serve_on_the_cpu_and_the_dense_form_where_a_model_is_compiled() -> None:
    ring = sp.csr_matrix(np.roll(np.eye(40, dtype=np.float32), 1, axis=1))
    for support, sparse, layout in (
        (ring, None, torch.sparse_csr), (ring, False, torch.strided), (ring, True, torch.sparse_csr),
        (ring[:12, :12], None, torch.strided), (np.ones((40, 40)), None, torch.strided),
    ):  # fmt: skip
        assert Support(support, sparse=sparse).tensor().layout == layout
    both = Support(ring)
    x = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0))
    assert both.dense is not None
    torch.testing.assert_close(both(x), both.dense @ x, rtol=0, atol=1e-6)
    program = torch.export.export(both, (x,)).module()
    torch.testing.assert_close(program(x), both(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dim", [0, 1, -2])
def test_gradients_of_a_sparse_support_are_those_of_the_dense_one(dim: int) -> None:
    matrix = Graph.from_adjacency(random_matrix(6, 4)).supports("random_walk")[0]
    sparse, dense = Support(matrix, sparse=True).double(), Support(matrix, sparse=False).double()
    shape = [3, 2, 4]
    shape[dim] = 6
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad((each(x, dim) * weight).sum(), x)[0] for each in (sparse, dense)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda v: sparse(v, dim), x)
    assert torch.autograd.gradgradcheck(lambda v: sparse(v, dim).square(), x)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("batch", [0, 3])
def test_a_sum_of_maps_is_the_map_of_the_terms_side_by_side(batch: int, with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    terms = [torch.randn(batch, 5, size, dtype=torch.float64, generator=generator) for size in (2, 3, 1)]
    weights = [torch.randn(4, size, dtype=torch.float64, generator=generator) for size in (2, 3, 1)]
    bias = torch.randn(4, dtype=torch.float64, generator=generator) if with_bias else None
    expected = torch.nn.functional.linear(torch.cat(terms, dim=-1), torch.cat(weights, dim=-1), bias)
    torch.testing.assert_close(sum_of_maps(terms, weights, bias), expected, rtol=0, atol=1e-12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = sum_of_maps([each.float() for each in terms], [each.float() for each in weights])
    assert half.shape == expected.shape and half.dtype == torch.bfloat16


def test_gradients_of_a_sum_of_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in
             ((2, 3, 2), (2, 3, 1), (4, 2), (4, 1), (4,))]  # fmt: skip
    assert torch.autograd.gradcheck(lambda a, b, u, v, bias: sum_of_maps((a, b), (u, v), bias), given)
