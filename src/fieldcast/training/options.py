"""What a training run may be told: one dataclass, read by Python and command line alike."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fieldcast.core.devices import Accelerator
from fieldcast.core.task import Forecasting, LossName
from fieldcast.errors import FieldcastError, did_you_mean


@dataclass(frozen=True)
class TrainingOptions:
    """Settings of the training loop.

    Args:
        max_epochs: Passes over the training windows at most.
        batch_size: Windows a step.
        learning_rate: Step size of the optimiser.
        weight_decay: L2 penalty (adam) or decoupled decay (adamw).
        optimizer: Which optimiser.
        schedule: How the learning rate falls: not at all, by steps, at milestones, or by a cosine to zero.
        step_size: Epochs between falls, for schedule step.
        milestones: Epochs at which it falls, for schedule multistep.
        gamma: Factor of each fall.
        clip_norm: Largest norm of the gradient; 0 for no clipping.
        loss: Masked error in scaled units.
        huber_delta: Where Huber turns linear, in standard deviations.
        curriculum: Epochs after which one more step of the horizon is trained on, beginning with one; 0 trains on all.
        curriculum_after: Epochs on the whole horizon before the curriculum begins.
        patience: Epochs without a better validation score until training stops, with a curriculum counted from where it
            has reached the whole horizon; 0 never stops early.
        precision: 32-bit floats, or bfloat16 where it is safe.
        recompute: Keep what enters each block of the model alone and compute the rest again in the backward pass: less
            memory, more time, the same numbers.
        cuda_graphs: On a GPU, capture a step once as CUDA graphs and replay it, where backbone, stages and task say
            that it can be (``capturable``): the same numbers, faster where launching a step takes longer than computing
            it, for up to 2.6 times the memory. Not with recompute or several processes.
        accelerator: Where to train: auto takes a GPU (of CUDA) when there is one.
        save_every: Steps between resumable checkpoints within an epoch; 0 saves at the end of epochs only.
    """

    max_epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    optimizer: Literal["adam", "adamw"] = "adam"
    schedule: Literal["constant", "step", "multistep", "cosine"] = "constant"
    step_size: int = 10
    milestones: tuple[int, ...] = (25, 50, 75)
    gamma: float = 0.1
    clip_norm: float = 5.0
    loss: LossName = "mae"
    huber_delta: float = 1.0
    curriculum: int = 0
    curriculum_after: int = 0
    patience: int = 15
    precision: Literal["32", "bf16"] = "32"
    recompute: bool = False
    cuda_graphs: bool = True
    accelerator: Accelerator = "auto"
    save_every: int = 500

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, value in asdict(self).items():
            choices = get_args(hints[name]) if get_origin(hints[name]) is Literal else (value,)
            if value not in choices:
                near = did_you_mean(str(value), choices)
                raise FieldcastError(f"{name} is '{value}'{near}: choose {', '.join(choices)}.")
        positive = ("max_epochs", "batch_size", "learning_rate", "step_size", "gamma", "huber_delta")
        for name in positive:
            if not 0 < getattr(self, name) < math.inf:
                raise FieldcastError(f"{name} is {getattr(self, name)}: give a positive number.")
        for name in ("weight_decay", "clip_norm", "curriculum", "curriculum_after", "patience", "save_every"):
            if not 0 <= getattr(self, name) < math.inf:
                raise FieldcastError(f"{name} is {getattr(self, name)}: give zero or more.")
        if self.curriculum_after and not self.curriculum:
            raise FieldcastError("curriculum_after is given without a curriculum: give both, or neither.")
        if list(self.milestones) != sorted(set(self.milestones)) or min(self.milestones, default=1) < 1:
            raise FieldcastError(f"the milestones are {list(self.milestones)}: give epochs from 1 on, rising.")

    def whole_horizon_from(self, horizon: int) -> int:
        """The first epoch from which on all steps of the horizon are trained on."""
        return self.curriculum_after + self.curriculum * (horizon - 1) if self.curriculum else 0

    def task(self) -> Forecasting:
        return Forecasting(self.loss, self.huber_delta, self.curriculum, self.curriculum_after)

    def to_json(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
