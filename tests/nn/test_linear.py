"""The linear map through a convolution says what torch's says, in every case in which it is taken or not."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from fieldcast.nn.linear import Linear


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


ROWS = {"vector of rows": (5000,), "axes": (5, 10, 100), "one window": (1, 4200, 1)}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", list(ROWS.values()), ids=list(ROWS))
def test_many_rows_go_through_the_convolution_and_say_the_same(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = Linear(12, 7, bias=bias)
    x = torch.randn(*shape, 12)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as found:
        y = layer(x)
    assert "aten::mkldnn_convolution" in {each.key for each in found.key_averages()}  # by oneDNN, not the slow form
    assert y.shape == (*shape, 7)
    assert y.is_contiguous()
    torch.testing.assert_close(y, nn.Linear.forward(layer, x), rtol=0, atol=5e-6)


@pytest.mark.parametrize("case", ["few rows", "gradients", "strided", "float64", "one thread", "switched off"])
def test_all_else_is_torchs_own(case: str) -> None:
    torch.manual_seed(0)
    if case == "one thread":
        torch.set_num_threads(1)
    layer = Linear(12, 7)
    x = torch.randn(10 if case == "few rows" else 5000, 12)
    if case == "strided":
        x = x.t().contiguous().t()
    if case == "float64":
        layer, x = layer.double(), x.double()
    on = torch.backends.mkldnn.flags(enabled=case != "switched off")
    with on, torch.set_grad_enabled(case == "gradients"), patch.object(F, "conv2d") as convolution:
        y = layer(x)
        assert torch.equal(y, nn.Linear.forward(layer, x))
    assert not convolution.called
    assert y.requires_grad == (case == "gradients")


def test_an_export_without_gradients_takes_any_number_of_rows() -> None:
    layer = Linear(12, 7).eval()
    with torch.no_grad():
        program = torch.export.export(layer, (torch.randn(5000, 12),), dynamic_shapes=({0: torch.export.Dim("rows")},))
    for rows in (3, 9000):
        assert program.module()(torch.randn(rows, 12)).shape == (rows, 7)
