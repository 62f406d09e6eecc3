"""Task: what turns a model and a mini-batch into a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from fieldcast.core.context import Context
from fieldcast.errors import FieldcastError

LossName = Literal["mae", "mse", "huber"]


class Model(Protocol):
    """What a task asks of a model: scaled x and context in, scaled forecast out."""

    def __call__(self, x: Tensor, ctx: Context) -> Tensor: ...


class Task(ABC):
    """The only thing, with its progress, in which training and pre-training differ.

    ``capturable`` is for tasks what it is for modules.
    """

    capturable: ClassVar[bool] = False

    @abstractmethod
    def errors(self, model: Model, x: Tensor, ctx: Context, y: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of errors and counts of cells, each [O]: sums and not means, so that shares of a batch add up."""

    def counted(self, observed: Tensor, epoch: int) -> Tensor:
        """Which cells of the truth count in an epoch, of those that are observed: bool [B, H, M, O]."""
        return observed

    def loss(self, model: Model, x: Tensor, ctx: Context, y: Tensor, observed: Tensor) -> Tensor:
        """The mean over channels of each channel's mean error; 0, with a finite gradient, where nothing was observed.

        Shapes: x [B, T, N, C], y and observed [B, H, M, O], all scaled -> a scalar.
        """
        total, count = self.errors(model, x, ctx, y, observed)
        return (total / count.clamp_min(1)).mean()


class Forecasting(Task):
    """Masked error of the forecast in scaled units, so that channels of different units weigh alike.

    mae: |e|; mse: e^2; huber: e^2 / 2 for |e| <= delta, else delta (|e| - delta / 2); delta in standard deviations.
    With a ``curriculum`` of k epochs :meth:`counted`, which stands before the error, leaves only the first
    1 + (epoch - after) // k steps of the horizon, from epoch ``curriculum_after`` on (epochs from 0; before it all
    steps count), as in Shao et al., PVLDB 2022, arXiv:2206.09112.
    """

    capturable = True

    def __init__(
        self, loss: LossName = "mae", huber_delta: float = 1.0, curriculum: int = 0, curriculum_after: int = 0
    ):  # fmt: skip
        if loss not in ("mae", "mse", "huber"):
            raise FieldcastError(f"there is no loss '{loss}': choose mae, mse or huber.")
        if huber_delta <= 0:
            raise FieldcastError(f"the Huber delta is {huber_delta}: give a positive number of standard deviations.")
        self.name = loss
        self.huber_delta = huber_delta
        self.curriculum, self.curriculum_after = curriculum, curriculum_after

    def steps(self, horizon: int, epoch: int) -> int:
        """How many steps of the horizon count in an epoch."""
        if not self.curriculum or epoch < self.curriculum_after:
            return horizon
        return min(horizon, 1 + (epoch - self.curriculum_after) // self.curriculum)

    def counted(self, observed: Tensor, epoch: int) -> Tensor:
        steps = self.steps(observed.shape[1], epoch)
        if steps == observed.shape[1]:
            return observed
        return F.pad(observed[:, :steps], (0, 0, 0, 0, 0, observed.shape[1] - steps))  # [B, H, M, O]

    def errors(self, model: Model, x: Tensor, ctx: Context, y: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        # NaN must not enter the subtraction: its gradient would be NaN even where the mask removes it.
        truth = torch.where(observed, y, 0.0)  # [B, H, M, O]
        total = self._error(model(x, ctx) - truth, observed)  # [O]
        while ctx.aside:
            total = total + self._error(ctx.aside.pop() - truth, observed)  # [O]
        return total, observed.sum(dim=(0, 1, 2))

    def _error(self, difference: Tensor, observed: Tensor) -> Tensor:
        """Sums of errors where observed, [B, H, M, O] -> [O]."""
        error = difference.abs()  # [B, H, M, O]
        if self.name == "mse":
            error = error.square()
        elif self.name == "huber":
            delta = self.huber_delta
            error = torch.where(error <= delta, error.square() / 2, delta * (error - delta / 2))
        error = torch.where(observed, error, 0.0)
        return error.sum(dim=(0, 1, 2), dtype=torch.float32)
