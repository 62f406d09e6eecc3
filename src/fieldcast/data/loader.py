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
    """

    def __init__(
        self, windows: Windows, part: str, batch_size: int = 64, *, shuffle: bool = False, seed: int = 0,
        rank: int = 0, world: int = 1,
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

    def __len__(self) -> int:
        mine = len(range(self._rank, len(self._starts), self._world))
        return -(-mine // self.batch_size)

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
        order = self.order()
        if self.position * self.batch_size >= len(order):
            self.position = 0  # whoever counts batches never asks for the one that is not there
        while self.position * self.batch_size < len(order):
            first = self.position * self.batch_size
            self.position += 1
            yield self.windows.batch(order[first : first + self.batch_size])
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.position = int(state["epoch"]), int(state["position"])
