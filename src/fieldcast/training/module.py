"""The Lightning module around a forecaster: steps, validation sums, optimiser."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from fieldcast.core import processes
from fieldcast.core.context import Batch, Context
from fieldcast.core.module import ParameterGroup
from fieldcast.core.task import Task
from fieldcast.data.scored import ScoreRule
from fieldcast.data.windows import WindowBatch
from fieldcast.errors import Diverged, FieldcastError
from fieldcast.forecaster import Forecaster
from fieldcast.training.options import TrainingOptions
from fieldcast.training.replay import Replays

_CHECK_EVERY = 50  # steps between two looks at the loss on a GPU, which has to wait for them
_EXPLODED = 1e6  # times the first loss


class TrainingModule(pl.LightningModule):
    """Runs a task on a forecaster. Losses are summed here, not logged per step: a step costs no host-device wait."""

    def __init__(
        self, forecaster: Forecaster, options: TrainingOptions, task: Task, rule: ScoreRule | None = None,
        active: np.ndarray | None = None,
    ):  # fmt: skip
        super().__init__()
        self.forecaster = forecaster
        # Weights are chosen on the cells that will be scored.
        self.rule = rule or ScoreRule()
        self.active = None if active is None else torch.from_numpy(active)
        self.options = options
        self.task = task
        self.train_sum = torch.zeros((), dtype=torch.float64)
        self.train_count = 0
        self._first: float | None = None
        self.groups: list[ParameterGroup] = []
        self.replays = Replays(forecaster, self._loss)
        self._validation = _ValidationSums(forecaster)
        self.scores: dict[str, float] = {}

    def transfer_batch_to_device(self, batch: WindowBatch, device: torch.device, dataloader_idx: int) -> Batch:
        return Batch.of(batch, device)

    # Training

    def on_train_epoch_start(self) -> None:
        self.trainer.train_dataloader.set_epoch(self.current_epoch)  # type: ignore[union-attr]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        progress = self.forecaster.progress
        # Here and not when an epoch starts: a resume within an epoch does not start it again.
        progress.step, progress.epoch = self.global_step, self.current_epoch
        assert batch.y_observed is not None
        batch = dataclasses.replace(batch, y_observed=self.task.counted(batch.y_observed, self.current_epoch))
        if processes.world() == 1:
            loss = whole = self.replays(batch) if self._captures(batch) else self._loss(batch)
        else:
            loss, whole = self._share_of_loss(batch)
        whole = whole.detach()
        self.train_sum = self.train_sum.to(loss.device) + whole.double()
        self.train_count += 1
        if loss.device.type == "cpu" or self.train_count % _CHECK_EVERY == 1:
            self.check(whole)
        return loss

    def _captures(self, batch: Batch) -> bool:
        parts = (self.forecaster.backbone, *self.forecaster.stages, self.task)
        allowed = self.options.cuda_graphs and not self.options.recompute and all(each.capturable for each in parts)
        return allowed and batch.x.is_cuda

    def _loss(self, batch: Batch) -> Tensor:
        """The loss of a mini-batch, with what stages add."""
        assert batch.y is not None and batch.y_observed is not None
        x, ctx = self.forecaster.prepare(batch, teacher=True)
        loss = self.task.loss(self.forecaster, x, ctx, self.forecaster.rescale(batch.y), batch.y_observed)
        self._check_aside(ctx)
        return sum(self._extra(ctx), loss)

    def _share_of_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss to go back from, and that of the whole mini-batch, of which each of several processes has a share.

        The gradients' mean over processes must be the gradient of sum |e| / sum n over all of them, so a share is its
        own sum over the common count, times the number of processes.
        """
        assert batch.y is not None and batch.y_observed is not None
        x, ctx = self.forecaster.prepare(batch, teacher=True)
        y, world = self.forecaster.rescale(batch.y), processes.world()
        total, count = self.task.errors(self.forecaster, x, ctx, y, batch.y_observed)  # [O] each
        self._check_aside(ctx)
        sums = processes.added(torch.stack([total.detach(), count.to(total.dtype)]))  # [2, O]
        common = sums[1].clamp_min(1)  # [O]
        loss, whole = world * (total / common).mean(), (sums[0] / common).mean()
        for extra in self._extra(ctx):
            loss, whole = loss + extra, whole + processes.added(extra) / world
        return loss, whole

    def _check_aside(self, ctx: Context) -> None:
        if ctx.aside:
            raise FieldcastError(
                f"the task {type(self.task).__name__} leaves out what a stage put aside to be trained on: train "
                "without 'apart', or let the task take the errors of ctx.aside too."
            )

    def _extra(self, ctx: Context) -> list[Tensor]:
        """What stages add to the loss."""
        found = [stage.extra_loss(ctx) for stage in self.forecaster.stages]
        return [each for each in found if each is not None]

    def check(self, loss: Tensor | None = None) -> None:
        """Raise Diverged where this loss, or one since the epoch began, is not finite, or has exploded."""
        total = float(self.train_sum if loss is None else loss)
        finite, exploded = math.isfinite(total), False
        if loss is not None and finite:
            self._first = total if self._first is None else self._first
            exploded = total > _EXPLODED * (1 + self._first)
        if not finite or exploded:
            now = f"{total:.3g}, having begun at {self._first:.3g}" if exploded else "not finite"
            raise Diverged(
                f"the training loss is {now} at step {self.global_step} (epoch {self.current_epoch}): lower the "
                "learning rate or the clip norm, or look for readings far off."
            )

    def check_weights(self) -> None:
        """Raise Diverged where a weight is not finite: the loss was seen before the step that made it so."""
        for name, parameter in self.forecaster.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise Diverged(
                    f"the weights {name} are not finite after step {self.global_step} (epoch {self.current_epoch}): "
                    "lower the learning rate or the clip norm."
                )

    def take_train_loss(self) -> float:
        """The mean loss since the last call."""
        mean = float(self.train_sum) / max(1, self.train_count)
        self.train_sum, self.train_count = torch.zeros((), dtype=torch.float64), 0
        return mean

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["train_loss"] = [float(self.train_sum), self.train_count, self._first]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        total, self.train_count, *first = checkpoint["train_loss"]
        self._first = first[0] if first else None  # a checkpoint of an older version
        self.train_sum = torch.tensor(total, dtype=torch.float64)

    # Validation

    def on_validation_epoch_start(self) -> None:
        # Statistics that each process kept of its own share, as of batch normalisation; what follows from the graph is
        # the same everywhere and is not saved, so it does not travel.
        saved = self.forecaster.state_dict()
        for name, buffer in self.forecaster.named_buffers():
            if name in saved:
                processes.share(buffer)
        self._validation = _ValidationSums(self.forecaster)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        assert batch.y is not None and batch.y_observed is not None
        x, ctx = self.forecaster.prepare(batch)
        scored = batch.y_observed if self.rule.above is None else batch.y_observed & (batch.y > self.rule.above)
        if self.rule.active_only and self.active is not None:
            scored = scored & self.active.to(scored.device)[:, None]
        self._validation.update(self.forecaster(x, ctx).float(), self.forecaster.rescale(batch.y), scored)

    def on_validation_epoch_end(self) -> None:
        sums = self._validation
        sums.error, sums.count = processes.added(sums.error), processes.added(sums.count)
        self.scores = sums.scores(self.forecaster)

    # Optimiser

    def configure_optimizers(self) -> Any:
        options = self.options
        parts = [self.forecaster.backbone, *self.forecaster.stages]
        self.groups = [group for part in parts for group in part.groups() if group.parameters]
        if not self.groups:
            raise FieldcastError("nothing in this forecaster can be trained: unfreeze a part of it.")
        settings = [
            {
                "params": group.parameters,
                "lr": options.learning_rate if group.learning_rate is None else group.learning_rate,
                "weight_decay": options.weight_decay if group.weight_decay is None else group.weight_decay,
            }
            for group in self.groups
        ]
        kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(settings)
        schedules = torch.optim.lr_scheduler
        if options.schedule == "constant":
            return optimizer
        if options.schedule == "step":
            scheduler: Any = schedules.StepLR(optimizer, options.step_size, options.gamma)
        elif options.schedule == "multistep":
            scheduler = schedules.MultiStepLR(optimizer, list(options.milestones), options.gamma)
        else:
            scheduler = schedules.CosineAnnealingLR(optimizer, options.max_epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """One norm over all groups with the run's setting, one norm for each group with a setting of its own."""
        common: list[Tensor] = []
        for group in self.groups:
            if group.clip_norm is None:
                common += group.parameters
            elif group.clip_norm > 0:
                torch.nn.utils.clip_grad_norm_(group.parameters, group.clip_norm)
        if common and self.options.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(common, self.options.clip_norm)


class _ValidationSums:
    """Absolute errors in scaled units, summed in float64 over the whole validation part: [H, O]."""

    def __init__(self, forecaster: Forecaster):
        shape = (forecaster.form.horizon, len(forecaster.form.targets))
        device = forecaster.mean.device
        self.error = torch.zeros(shape, dtype=torch.float64, device=device)
        self.count = torch.zeros(shape, dtype=torch.float64, device=device)

    def update(self, prediction: Tensor, y: Tensor, observed: Tensor) -> None:
        error = torch.where(observed, (prediction - torch.where(observed, y, 0.0)).abs(), 0.0)
        self.error += error.sum(dim=(0, 2), dtype=torch.float64)
        self.count += observed.sum(dim=(0, 2))

    def scores(self, forecaster: Forecaster) -> dict[str, float]:
        """``selection``: MAE in scaled units, mean over horizons, then over channels; horizons without readings are
        left out. ``validation_mae`` (one channel): the same in real units where the scaler has one scale."""
        error = torch.where(self.count > 0, self.error / self.count.clamp_min(1), torch.nan)  # [H, O]
        by_channel = torch.nanmean(error, dim=0)  # [O]
        scores = {"selection": float(torch.nanmean(by_channel))}
        scale = forecaster.scale[:, forecaster.target_index]
        if len(scale) == 1:
            for i, target in enumerate(forecaster.form.targets):
                scores[f"validation_mae_{target}"] = float(by_channel[i] * scale[0, i])
        return scores
