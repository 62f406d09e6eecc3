"""A tiny backbone that uses all that a resume must bring back, and a training run over it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec
from fieldcast.data.windows import Windows
from fieldcast.forecaster import Forecaster, create
from fieldcast.training import TrainingOptions
from fieldcast.training.fitting import History, fit
from tests.tiny import tiny_readings, tiny_windows

RUN = TrainingOptions(
    max_epochs=4, batch_size=32, save_every=2, learning_rate=0.02, schedule="cosine", accelerator="cpu", patience=0
)
"""162 training windows: 6 steps an epoch, checkpoints after steps 2 and 4 of each and at its end."""


class Curious(Backbone):
    """A linear map with dropout that in training looks at every generator and at the progress."""

    def __init__(self, spec: Spec, width: int = 4):
        super().__init__(spec)
        self.width = width
        self.input = nn.Linear(spec.lookback * spec.channels, width)
        self.dropout = nn.Dropout(0.2)
        self.output = nn.Linear(width, spec.horizon * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        if self.training:
            noise = 0.05 * (random.random() + float(np.random.normal()))  # noqa: NPY002
            x = x * (1 + noise + 0.1 * ctx.progress.epoch + 0.1 * ctx.progress.fraction)
        return self.dropout(self.input(x.transpose(1, 2).flatten(2)).tanh())  # [B, N, width]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.output(h))  # [B, H, N, O]


def windows() -> Windows:
    return tiny_windows(readings=tiny_readings(missing=0.1))


def train(
    folder: Path | None, options: TrainingOptions = RUN, resume: bool = False, **rest: Any
) -> tuple[Forecaster, History]:
    """One training run, always begun from the same state of all generators."""
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    data = windows()
    forecaster = create(Curious, data, seed=0)
    return forecaster, fit(forecaster, data, options, folder=folder, resume=resume, **rest)


def state(forecaster: Forecaster) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in forecaster.state_dict().items()}


def same_bits(first: Forecaster, second: Forecaster) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def without_seconds(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def at_moment(moment: str, act: Callable[[], None]) -> Callable[[], None]:
    """Call ``act`` once at a moment of training, and return what takes the hook away again.

    ``setup:0`` while Lightning sets up; ``step:K`` before step K; ``validation:E`` within the validation of epoch E;
    ``before_save:E`` and ``after_save:E`` around the checkpoint at the end of epoch E; ``write:K`` while the K-th
    checkpoint is half written; ``rename:K`` when it is written and not yet renamed.
    """
    from fieldcast.data import files
    from fieldcast.training import callbacks, checkpoint, module

    kind, number = moment.split(":")
    count = int(number)
    done: list[bool] = []

    def once() -> None:
        if not done:
            done.append(True)
            act()

    def patch(owner: Any, name: str, wrapped: Callable[[Callable], Callable]) -> Callable[[], None]:
        original = getattr(owner, name)
        setattr(owner, name, wrapped(original))
        return lambda: setattr(owner, name, original)

    def setup(original: Callable) -> Callable:
        def call(self: Any) -> Any:
            once()
            return original(self)

        return call

    def step(original: Callable) -> Callable:
        def call(self: Any, batch: Any, index: int) -> Any:
            if self.global_step == count:
                once()
            return original(self, batch, index)

        return call

    def validation(original: Callable) -> Callable:
        def call(self: Any, batch: Any, index: int) -> Any:
            if self.current_epoch == count:
                once()
            return original(self, batch, index)

        return call

    def saving(original: Callable) -> Callable:
        def call(self: Any, trainer: Any, pl_module: Any) -> None:
            if kind == "before_save" and trainer.current_epoch == count:
                once()
            original(self, trainer, pl_module)
            if kind == "after_save" and trainer.current_epoch == count:
                once()

        return call

    seen: list[int] = []

    def write(original: Callable) -> Callable:
        def call(content: Any, path: Path) -> None:
            seen.append(1)
            original(content, path)
            if len(seen) == count:
                whole = Path(path).read_bytes()
                Path(path).write_bytes(whole[: len(whole) // 2])
                once()
                Path(path).write_bytes(whole)

        return call

    def rename(original: Callable) -> Callable:
        def call(source: Any, target: Any) -> None:
            if str(target).endswith(".ckpt"):
                seen.append(1)
                if len(seen) == count:
                    once()
            original(source, target)

        return call

    if kind == "setup":
        return patch(module.TrainingModule, "configure_optimizers", setup)
    if kind == "step":
        return patch(module.TrainingModule, "training_step", step)
    if kind == "validation":
        return patch(module.TrainingModule, "validation_step", validation)
    if kind in ("before_save", "after_save"):
        return patch(callbacks.SaveAtEnd, "on_train_epoch_end", saving)
    if kind == "write":
        return patch(checkpoint.torch, "save", write)
    return patch(files.os, "replace", rename)
