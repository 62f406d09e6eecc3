"""Backbone: the contract of every forecasting model."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from fieldcast.core.context import Context
from fieldcast.core.module import Configured
from fieldcast.core.spec import Spec
from fieldcast.data.windows import Windows


class Backbone(Configured):
    """A model in two parts: ``encode`` mixes time and nodes, ``head`` maps each node's vector to its forecast.

    Shapes: encode x [B, T, N, C] -> h [B, N, D]; head h [B, N, D] -> y [B, H, N, O], scaled units.

    The head is node-local: changing h of one node changes y of that node alone. A model whose decoder mixes nodes
    does that inside ``encode`` and has a small or identity head. Subclasses set ``width`` (D) and declare:

    - ``trainable``: False for models that are solved by :meth:`fit_closed_form` or need no fitting at all;
    - ``exportable``: ``torch.export`` with a dynamic batch works;
    - ``needs_graph``, ``needs_grid``, ``needs_coordinates``: what the Spec must bring;
    - ``unseen_nodes``: accepts nodes that training never saw (no tensor of its own per node);
    - ``uses_future``: reads ``ctx.future``, the channels known ahead;
    - ``uses_teacher``: wants ``ctx.teacher`` in training (scheduled sampling);
    - ``capturable``: a training step may be captured as CUDA graphs;
    - ``recompute_blocks``: modules, or lists of them, that can be computed again in the backward pass to save memory;
    - ``predictor_layers``: names of the linear layers of the head, through which adapters reach into it; what enters
      them has its nodes on axis 1: [B, N, .., d_in];
    - ``cost``: how time and memory grow with N; ``paper``: where the model comes from;
    - ``recipes``: the settings with which it was published, by a short name each (``fieldcast train --recipe``).
    """

    trainable: ClassVar[bool] = True
    exportable: ClassVar[bool] = True
    needs_graph: ClassVar[bool] = False
    needs_grid: ClassVar[bool] = False
    needs_coordinates: ClassVar[bool] = False
    unseen_nodes: ClassVar[bool] = False
    uses_future: ClassVar[bool] = False
    uses_teacher: ClassVar[bool] = False
    recompute_blocks: ClassVar[tuple[str, ...]] = ()
    predictor_layers: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "N"
    paper: ClassVar[str] = ""

    width: int

    def __init__(self, spec: Spec):
        super().__init__()
        self.horizon = spec.horizon
        self.targets = spec.targets

    @classmethod
    def min_lookback(cls) -> int:
        """The shortest look-back that the model takes."""
        return 1

    @abstractmethod
    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        """x [B, T, N, C] -> h [B, N, D]."""

    @abstractmethod
    def head(self, h: Tensor) -> Tensor:
        """h [B, N, D] -> y [B, H, N, O], each node by itself."""

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return self.head(self.encode(x, ctx))  # [B, H, N, O]

    def fit_closed_form(self, windows: Windows) -> None:
        """Solve the model from training rows; only for models that are not trained."""

    def unflatten(self, h: Tensor) -> Tensor:
        """A head for h that holds the forecast itself: [B, N, H * O] -> [B, H, N, O]."""
        return h.unflatten(-1, (self.horizon, self.targets)).transpose(1, 2)  # [B, H, N, O]
