"""A loader that knows where it stands, so that a resumed run is the same run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fieldcast.data.windows import WindowBatch, Windows


class WindowLoader:
    """Mini-batches of one part of the windows, in order or shuffled anew each epoch.

    The order of an epoch is drawn from (seed, epoch) alone, so position and epoch say all there is to say of the state.
    ``rank`` and ``world`` give each process its own windows, ``index[rank::world]``: nothing is padded or repeated.
    ``even`` (for training) gives every process as many mini-batches as the others: a process whose windows have run out
    yields one of which nothing is observed, which weighs nothing. ``fill`` fills the last mini-batch up to
    ``batch_size`` with such windows, so that all have one shape: what is compiled is compiled once. Batch
    normalisation sees them.
    """

    def __init__(
        self, windows: Windows, part: str, batch_size: int = 64, *, shuffle: bool = False, seed: int = 0,
        rank: int = 0, world: int = 1, even: bool = False, fill: bool = False,
    ):  # fmt: skip
        self.windows = windows
        self.part = part
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self.position = 0
        self._starts = windows.starts(part)
        self._rank = rank
        self._world = world
        self._even = even
        self._fill = fill

    def __len__(self) -> int:
        counted = 0 if self._even else self._rank  # the first process has the most windows
        return -(-len(range(counted, len(self._starts), self._world)) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; a position within that same epoch is kept."""
        if epoch != self.epoch:
            self.epoch, self.position = epoch, 0

    def order(self) -> np.ndarray:
        """Window starts in this epoch's order, this process's share: int64 [windows]."""
        starts = self._starts
        if self.shuffle:
            starts = np.random.default_rng([self.seed, self.epoch]).permutation(starts)
        return starts[self._rank :: self._world]

    def __iter__(self) -> Iterator[WindowBatch]:
        order, batches = self.order(), len(self)
        if self.position >= batches:
            self.position = 0  # whoever counts batches never asks for the one that is not there
        while self.position < batches:
            first = self.position * self.batch_size
            self.position += 1
            yield self._batch(order[first : first + self.batch_size])
        self.position = 0

    def _batch(self, starts: np.ndarray) -> WindowBatch:
        """The windows, and as many as are lacking with no target observed: one for a process that has none left."""
        lacking = self.batch_size - len(starts) if self._fill else int(len(starts) == 0)
        if not lacking:
            return self.windows.batch(starts)
        batch = self.windows.batch(np.concatenate([starts, np.repeat(self._starts[:1], lacking)]))
        assert batch.y_observed is not None
        batch.y_observed = batch.y_observed & (np.arange(len(batch.start)) < len(starts))[:, None, None, None]
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.position = int(state["epoch"]), int(state["position"])
