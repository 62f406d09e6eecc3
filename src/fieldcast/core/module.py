"""What backbones and stages share: remembered hyper-parameters, tensors with node axes, parameter groups."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fieldcast.errors import FieldcastError, did_you_mean


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with settings of their own; None means the run's setting."""

    parameters: list[nn.Parameter]
    learning_rate: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None


@dataclass(frozen=True)
class Recipe:
    """Settings with which a model was published, by the names of our options; ``source`` says whose they are.

    ``training`` are settings of training, ``hyper`` those of the model itself.
    """

    source: str
    training: Mapping[str, Any]
    hyper: Mapping[str, Any] = field(default_factory=dict)


class Configured(nn.Module):
    """A module that remembers how it was made, so that a saved folder can make it again without code.

    ``hyper`` holds the arguments of the constructor (without ``spec``). ``per_node`` names each parameter and buffer
    that has a node axis, and which axes: ``{"node_embedding": (0,)}``. ``recipes`` are settings by a short name each.
    ``capturable`` says that on a GPU a training step of it, captured once as CUDA graphs and replayed, was tried and is
    the same: it draws from torch's generator of the GPU alone, waits for nothing, and reads the number of the step by
    ``ctx.progress.taken``. A subclass inherits it.
    """

    capturable: ClassVar[bool] = False

    per_node: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    recipes: ClassVar[Mapping[str, Recipe]] = {}
    hyper: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        # bind_partial, because copying and unpickling make an empty object first and fill it after.
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        # A class without a constructor of its own has that of nn.Module, (*args, **kwargs), and no hyper-parameters.
        starred = {
            name for name, p in bound.signature.parameters.items() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        taken = {key: value for key, value in list(bound.arguments.items())[1:] if key not in {"spec", *starred}}
        object.__setattr__(self, "hyper", taken)
        return self

    @classmethod
    def recipe(cls, name: str) -> Recipe:
        """One of the ``recipes``; an unknown name is refused."""
        if name not in cls.recipes:
            known = f"choose {', '.join(cls.recipes)}" if cls.recipes else "it has none"
            raise FieldcastError(f"{cls.__name__} has no recipe '{name}'{did_you_mean(name, cls.recipes)}: {known}.")
        return cls.recipes[name]

    def groups(self) -> list[ParameterGroup]:
        """Parameter groups; the default is one with the run's settings."""
        return [ParameterGroup([p for p in self.parameters() if p.requires_grad])]

    def node_axes(self) -> dict[str, tuple[int, ...]]:
        """Node axes of every tensor that has some, by its name in this module; override where names depend on sizes."""
        return dict(self.per_node)


def require(name: str, value: float, least: float, below: float = math.inf) -> None:
    """Refuse a hyper-parameter that is not in [``least``, ``below``)."""
    if not least <= value < below:
        limit = "" if below == math.inf else f" and less than {below}"
        raise FieldcastError(f"{name} is {value}: give a number of at least {least}{limit}.")


def gather_nodes(tensor: Tensor, axes: tuple[int, ...], index: np.ndarray, fill: str = "mean") -> Tensor:
    """Select nodes along ``axes``; where ``index`` is -1 put the mean over present nodes, or zero.

    Shapes: tensor [..., N, ...] -> [..., len(index), ...] on each of ``axes``.
    """
    positions = torch.as_tensor(index, dtype=torch.long, device=tensor.device)
    new = positions < 0
    for axis in axes:
        row = tensor.mean(dim=axis, keepdim=True) if tensor.is_floating_point() else tensor.narrow(axis, 0, 1)
        if fill == "zero":
            row = torch.zeros_like(row)
        gathered = tensor.index_select(axis, positions.clamp_min(0))
        shape = [1] * tensor.dim()
        shape[axis] = len(positions)
        tensor = torch.where(new.view(shape), row, gathered)
    return tensor.contiguous()
