"""What the simplest forecasts share: nothing is fitted, the look-back alone says it all."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec


class FromHistory(Backbone):
    """A forecast computed from the target channels of the look-back; h holds the forecast itself.

    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O], scaled units.
    """

    trainable = False
    unseen_nodes = True

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.width = spec.horizon * spec.targets

    @abstractmethod
    def forecast(self, history: Tensor, observed: Tensor) -> Tensor:
        """history [B, T, N, O], 0 where not ``observed`` -> y [B, H, N, O]."""

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        return self.forecast(ctx.history, ctx.history_observed).transpose(1, 2).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
