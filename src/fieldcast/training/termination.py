"""SIGTERM in training: noted when it comes, obeyed at the next moment at which a run can be left without loss."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl


class Termination(pl.Callback):
    """Notes SIGTERM while training runs; a second one ends the process at once, as it would have without.

    Lightning, left alone, raises at a moment of its own and saves nothing.
    """

    def __init__(self) -> None:
        self._noted = False
        self._before: Any = signal.getsignal(signal.SIGTERM)
        self._ours = threading.current_thread() is threading.main_thread()

    def listen(self) -> None:
        """Note SIGTERM from now on: while Lightning sets up too, when there is no step yet to be saved."""
        if self._ours:  # Python lets the main thread alone set handlers
            signal.signal(signal.SIGTERM, self._note)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._noted |= trainer.received_sigterm
        if self._ours:  # in place of the handler that Lightning has put there
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._noted else self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def told(self, trainer: pl.Trainer) -> bool:
        """Whether training shall be left. With several processes all leave at the same step, whichever was told."""
        if trainer.world_size == 1:
            return self._noted
        return trainer.strategy.reduce_boolean_decision(self._noted, all=False)

    def close(self) -> None:
        """Give the signal back to whom it was before."""
        if self._ours and self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
