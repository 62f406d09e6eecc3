"""The linear map through a convolution says what torch's says, in every case in which it is taken or not."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fieldcast.nn.linear import Linear

ROWS = {"vector of rows": (5000,), "axes": (5, 10, 100), "one window": (1, 4200, 1)}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", list(ROWS.values()), ids=list(ROWS))
def test_many_rows_go_through_the_convolution_and_say_the_same(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = Linear(12, 7, bias=bias)
    x = torch.randn(*shape, 12)
    with torch.no_grad(), patch.object(F, "conv2d", wraps=F.conv2d) as convolution:
        y = layer(x)
    assert convolution.called
    assert y.shape == (*shape, 7)
    assert y.is_contiguous()
    torch.testing.assert_close(y, nn.Linear.forward(layer, x), rtol=0, atol=5e-6)


@pytest.mark.parametrize("case", ["few rows", "gradients", "strided", "float64"])
def test_all_else_is_torchs_own(case: str) -> None:
    torch.manual_seed(0)
    layer = Linear(12, 7)
    x = torch.randn(10 if case == "few rows" else 5000, 12)
    if case == "strided":
        x = x.t().contiguous().t()
    if case == "float64":
        layer, x = layer.double(), x.double()
    with torch.set_grad_enabled(case == "gradients"), patch.object(F, "conv2d") as convolution:
        y = layer(x)
        assert torch.equal(y, nn.Linear.forward(layer, x))
    assert not convolution.called
    assert y.requires_grad == (case == "gradients")
