"""Checkpoints that are there whole or not at all, and a resume that gives the same bits."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO

from fieldcast.core.seeding import get_generators, seed_step, set_generators
from fieldcast.data.files import write_atomically
from fieldcast.errors import FieldcastError, Terminated
from fieldcast.training.module import TrainingModule
from fieldcast.training.termination import Termination


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside, syncs, renames within the folder; loads tensors and plain values only, never objects.

    Lightning's own goes through the temporary folder, which is a copy without a sync where that is another file system.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        try:
            write_atomically(path, lambda beside: torch.save(checkpoint, beside))
        except RuntimeError:  # how torch's own writer tells of a full disk
            raise FieldcastError(
                f"the checkpoint {path} could not be written: make room on the disk, then resume; the one before it "
                "still stands."
            ) from None

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        try:
            return torch.load(path, map_location="cpu" if map_location is None else map_location, weights_only=True)
        # Not OSError: a disk that does not answer is no damage.
        except (RuntimeError, ValueError, LookupError, EOFError, AttributeError, pickle.UnpicklingError):
            raise FieldcastError(f"the checkpoint {path} is damaged: remove it and train again.") from None

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class Resumable(pl.Callback):
    """Saves ``last.ckpt`` at the end of each epoch and every ``every`` steps within, with the state of all generators.

    The generators are put back at the first batch after a resume and not while loading, because setting up draws from
    them. A step that ends an epoch is saved after its validation, so that a resume never skips one. Told to leave by
    SIGTERM, training saves the present step and leaves; within a validation, after it.
    """

    def __init__(self, path: Path | None, every: int, termination: Termination, seed: int = 0):
        self.path = path
        self._seed = seed
        self.every = every
        self._termination = termination
        self._restore: dict[str, Any] | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        if self._restore is not None:
            set_generators(self._restore)
            self._restore = None
        if trainer.world_size > 1:
            seed_step(self._seed, trainer.global_rank, trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        told = self._termination.told(trainer)
        if batch_idx + 1 == trainer.num_training_batches:
            return  # the end of the epoch saves
        if told or (self.every and trainer.global_step % self.every == 0):
            self.save(trainer, module)
        if told:
            self.leave(trainer)

    def save(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Save the present step, unless its loss is no good: the last good one stays."""
        assert isinstance(module, TrainingModule)
        if self.path is not None:
            module.check()
            module.check_weights()
            trainer.save_checkpoint(self.path)

    def leave_if_told(self, trainer: pl.Trainer) -> None:
        if self._termination.told(trainer):
            self.leave(trainer)

    def leave(self, trainer: pl.Trainer) -> None:
        saved = "nothing is saved, for no folder was given" if self.path is None else f"saved as {self.path}"
        mend = "train again" if self.path is None else "resume to go on"
        raise Terminated(
            f"training was told to stop (SIGTERM) and did so after step {trainer.global_step}, {saved}: {mend}."
        )

    def state_dict(self) -> dict[str, Any]:
        return {"generators": get_generators()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restore = state_dict["generators"]
