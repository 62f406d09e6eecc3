"""Random draws from a seed, without touching anybody else's generators."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's, NumPy's and Python's global generators within, and put them back as they were after."""
    before = get_generators()
    _seed(seed)
    try:
        yield
    finally:
        set_generators(before)


def seed_step(seed: int, rank: int, step: int) -> None:
    """Seed the global generators for one step of one of several processes.

    Each draws its own numbers, and a resume needs the state of none.
    """
    _seed(int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint32)[0]))


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (a user's model may draw from it)
    random.seed(seed)


def get_generators() -> dict[str, Any]:
    """The state of torch's, numpy's and Python's generators, as tensors and plain values."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 (whatever uses the global generator must go on too)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, torch.tensor(internal, dtype=torch.int64), gauss],
        "numpy": [
            str(name), torch.from_numpy(np.asarray(keys, dtype=np.int64)), int(position), int(has_gauss), float(cached),
        ],
    }  # fmt: skip


def set_generators(state: dict[str, Any]) -> None:
    """Put generators back to what :func:`get_generators` returned."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
