"""What watches training: best weights and early stopping, the log, the progress bar."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from tqdm.auto import tqdm

from fieldcast.data.files import write_atomically
from fieldcast.training.checkpoint import Resumable
from fieldcast.training.module import TrainingModule


class Watch(pl.Callback):
    """After each epoch: keeps the best weights, decides when to stop, writes the log."""

    def __init__(self, module: TrainingModule, log: Path | None):
        self.best = math.inf
        self.best_epoch = -1
        self.start: float | None = None
        self.weights: dict[str, torch.Tensor] = {}
        self.rows: list[dict[str, float]] = []
        self._patience = module.options.patience
        # While a curriculum holds steps back, that the whole horizon gets no better says nothing.
        self._from = module.options.whole_horizon_from(module.forecaster.form.horizon) - 1
        self._log = log
        self._spent = 0.0
        self._since = time.perf_counter()
        self._rate = math.nan

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        self.start = pl_module.scores["selection"]
        self._consider(-1, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.rows and self._exhausted(int(self.rows[-1]["epoch"])):  # resumed after it had stopped early
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]  # at the end of the epoch it is the next one's

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        pl_module.check()  # before the sum of losses begins anew
        epoch, scores = trainer.current_epoch, pl_module.scores
        self._consider(epoch, pl_module)
        self._spent += time.perf_counter() - self._since
        row = {
            "epoch": epoch, "step": trainer.global_step, "train_loss": pl_module.take_train_loss(), **scores,
            "learning_rate": self._rate, "seconds": round(self._spent, 3),
        }  # fmt: skip
        self.rows.append(row)
        if self._exhausted(epoch):
            trainer.should_stop = True
        if self._log is not None and trainer.is_global_zero:
            write_atomically(self._log, _as_csv(self.rows))

    def _consider(self, epoch: int, module: TrainingModule) -> None:
        if module.scores["selection"] < self.best:
            self.best, self.best_epoch = module.scores["selection"], epoch
            state = module.forecaster.state_dict()
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}

    def _exhausted(self, epoch: int) -> bool:
        return self._patience > 0 and epoch - max(self.best_epoch, self._from) >= self._patience

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best, "best_epoch": self.best_epoch, "weights": self.weights, "rows": self.rows,
            "spent": self._spent, "start": self.start,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self.weights, self.rows = state_dict["weights"], state_dict["rows"]
        self._spent, self.start = state_dict["spent"], state_dict.get("start")


class SaveAtEnd(pl.Callback):
    """Saves the epoch's checkpoint after every other callback has had its say; stands last in the list."""

    def __init__(self, resumable: Resumable):
        self._resumable = resumable

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._resumable.save(trainer, pl_module)
        self._resumable.leave_if_told(trainer)


class Bar(pl.Callback):
    """One progress bar on stderr over all steps, with the latest validation score."""

    def __init__(self, label: str):
        self._label = label
        self._bar: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        self._bar = tqdm(
            total=total, initial=trainer.global_step, desc=self._label, file=sys.stderr, leave=False, mininterval=0.2,
            unit="step", dynamic_ncols=True,
        )  # fmt: skip

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._bar.update(1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        shown = {name.removeprefix("validation_"): f"{value:.4g}" for name, value in pl_module.scores.items()}
        shown.pop("selection" if len(shown) > 1 else "", None)
        self._bar.set_postfix({"epoch": trainer.current_epoch + 1, **shown})

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _as_csv(rows: list[dict[str, float]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
