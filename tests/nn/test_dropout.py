"""Dropout by shared draws: rate, scale, gradient, seeds, and torch's own form where it is not the faster one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.nn.dropout import Dropout


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=4), st.floats(0.01, 0.99),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)  # fmt: skip
def test_each_number_is_dropped_or_scaled_and_its_gradient_alike(
    shape: list[int], rate: float, dtype: torch.dtype
) -> None:
    x = torch.ones(shape, dtype=dtype, requires_grad=True)
    y = Dropout(rate)(x)
    assert y.shape == x.shape and y.dtype == dtype
    kept = 1 - round(rate * 2**16) / 2**16
    scaled = torch.tensor(1 / kept, dtype=torch.float64).to(dtype)
    assert bool(((y == 0) | ((y - scaled).abs() <= scaled * torch.finfo(dtype).eps)).all())
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.3, 0.5, 0.9])
def test_the_share_dropped_is_the_rate_and_the_mean_stays(rate: float) -> None:
    torch.manual_seed(0)
    numbers = 1_000_000
    y = Dropout(rate)(torch.ones(numbers))
    error = (rate * (1 - rate) / numbers) ** 0.5  # standard error of the share
    assert abs(float((y == 0).double().mean()) - rate) < 4 * error + 2**-16
    assert abs(float(y.double().mean()) - 1) < 4 * error / (1 - rate) + 1e-5


def test_draws_that_share_64_bits_are_independent() -> None:
    torch.manual_seed(1)
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).double().view(-1, 4)
    correlation = torch.corrcoef(dropped.T) - torch.eye(4, dtype=torch.float64)
    assert float(correlation.abs().max()) < 4 / len(dropped) ** 0.5


def test_same_seed_same_bits_with_any_number_of_threads() -> None:
    drop, x, threads = Dropout(0.3), torch.randn(64, 1001), torch.get_num_threads()
    drawn = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            torch.manual_seed(7)
            drawn.append((drop(x), drop(x)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(drawn[0][0], drawn[1][0]) and torch.equal(drawn[0][1], drawn[1][1])
    assert not torch.equal(drawn[0][0], drawn[0][1])


def test_evaluation_changes_nothing_and_draws_nothing() -> None:
    x = torch.randn(5)
    before = torch.get_rng_state()
    assert torch.equal(Dropout(0.5).eval()(x), x) and torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(5))
