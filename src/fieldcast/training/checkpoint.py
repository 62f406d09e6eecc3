"""Checkpoints that are there whole or not at all, and a resume that gives the same bits."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins import CheckpointIO

from fieldcast.data.files import write_atomically
from fieldcast.errors import FieldcastError


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside, syncs, renames within the folder; loads tensors and plain values only, never objects.

    Lightning's own goes through the temporary folder, which is a copy without a sync where that is another file system.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_atomically(path, lambda beside: torch.save(checkpoint, beside))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        try:
            return torch.load(path, map_location="cpu" if map_location is None else map_location, weights_only=True)
        except Exception:
            raise FieldcastError(f"the checkpoint {path} is damaged: remove it and train again.") from None

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class Resumable(pl.Callback):
    """Saves ``last.ckpt`` at the end of each epoch and every ``every`` steps within, with the state of all generators.

    The generators are put back at the first batch after a resume and not while loading, because setting up draws from
    them. A step that ends an epoch is saved after its validation, so that a resume never skips one.
    """

    def __init__(self, path: Path | None, every: int):
        self.path = path
        self.every = every
        self._restore: dict[str, Any] | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        if self._restore is not None:
            set_generators(self._restore)
            self._restore = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        last = batch_idx + 1 == trainer.num_training_batches
        if self.path is not None and self.every and not last and trainer.global_step % self.every == 0:
            trainer.save_checkpoint(self.path)

    def save(self, trainer: pl.Trainer) -> None:
        if self.path is not None:
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"generators": get_generators()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restore = state_dict["generators"]


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
