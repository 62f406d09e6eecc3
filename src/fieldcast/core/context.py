"""Context: all that a model may know beside x, and the mini-batch as tensors."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fieldcast.data.windows import WindowBatch


@dataclass
class Progress:
    """How far training is: what curricula, mask schedules and sampling decay read. Saved with checkpoints."""

    step: int = 0
    epoch: int = 0
    steps: int = 0
    epochs: int = 0

    @property
    def fraction(self) -> float:
        """Share of all steps already taken, 0 to 1; 0 where the number of steps is not known."""
        return min(1.0, self.step / self.steps) if self.steps else 0.0

    def taken(self, like: Tensor) -> Tensor:
        """The steps taken, a scalar of the device and type of ``like``: a compiled or captured step reads it anew."""
        return like.new_full((), self.step)


@dataclass
class Context:
    """What stands beside x [B, T, N, C] in a mini-batch.

    Shapes: ``observed`` bool [B, T, N, C]; ``history`` [B, T, M, O], the scaled target channels as gated, 0 where not
    observed or switched off, and ``history_observed`` bool [B, T, M, O]; ``calendar`` int64 [B, T+H, 3] (slot of day,
    day of week, day of year; -1 is neutral);
    ``future`` [B, H, M, F] scaled channels known ahead, or None; ``window`` int64 [B], first rows of the windows;
    ``teacher`` [B, H, M, O], scaled truth for scheduled sampling, 0 where ``teacher_observed`` says that there is
    none, in training only and only for models that ask. In training a stage may put forecasts [B, H, M, O] ``aside``,
    whose errors count too; contexts made of one another share that list, and the task takes them out.
    N are the sensors that are read, M those that are forecast. They differ only in a compacted model, and there only
    the stages behind the backbone see M: stages before it and the backbone itself have N for M (:meth:`at`).
    """

    observed: Tensor
    history: Tensor
    history_observed: Tensor
    calendar: Tensor
    future: Tensor | None = None
    window: Tensor | None = None
    teacher: Tensor | None = None
    teacher_observed: Tensor | None = None
    progress: Progress = field(default_factory=Progress)
    aside: list[Tensor] = field(default_factory=list)

    def at(self, index: Tensor) -> Context:
        """The context with ``index`` int64 [N] of its M forecast nodes, as a backbone that reads only those sees it."""

        def select(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.index_select(2, index)

        return dataclasses.replace(
            self,
            history=self.history.index_select(2, index),  # [B, T, N, O]
            history_observed=self.history_observed.index_select(2, index),  # [B, T, N, O]
            future=select(self.future),  # [B, H, N, F]
            teacher=select(self.teacher),  # [B, H, N, O]
            teacher_observed=select(self.teacher_observed),  # [B, H, N, O]
        )

    def gated(self, inputs: Tensor, outputs: Tensor) -> Context:
        """The context behind a sensor gate: ``inputs`` [N] and ``outputs`` [M] are its factors.

        A sensor whose gate is zero was not observed, and no truth of it is told.
        """
        on = (outputs != 0)[:, None]  # [M, 1]
        return dataclasses.replace(
            self,
            observed=self.observed & (inputs != 0)[:, None],  # [B, T, N, C]
            history=self.history * outputs[:, None],  # [B, T, M, O]
            history_observed=self.history_observed & on,  # [B, T, M, O]
            teacher=None if self.teacher is None else torch.where(on, self.teacher, 0.0),  # [B, H, M, O]
            teacher_observed=None if self.teacher_observed is None else self.teacher_observed & on,  # [B, H, M, O]
        )


@dataclass
class Batch:
    """A :class:`WindowBatch` as tensors on a device, still in real units."""

    x: Tensor
    observed: Tensor
    calendar: Tensor
    window: Tensor
    y: Tensor | None = None
    y_observed: Tensor | None = None
    future: Tensor | None = None

    @classmethod
    def of(cls, batch: WindowBatch, device: torch.device | str = "cpu") -> Batch:
        def tensor(array: Any) -> Any:
            return None if array is None else torch.from_numpy(array).to(device, non_blocking=True)

        return cls(
            tensor(batch.x), tensor(batch.observed), tensor(batch.calendar), tensor(batch.start), tensor(batch.y),
            tensor(batch.y_observed), tensor(batch.future),
        )  # fmt: skip
