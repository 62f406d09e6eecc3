"""Seeds rule within, and nobody's generators move."""

from __future__ import annotations

import random

import numpy as np
import torch

from fieldcast.core.seeding import seeded


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_equal_seeds_draw_equally_and_the_outside_is_untouched() -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    expected = draws()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    with seeded(1):
        first = draws()
    with seeded(1):
        assert draws() == first
    with seeded(2):
        assert all(a != b for a, b in zip(draws(), first, strict=True))
    assert draws() == expected
