"""Window mean: every step ahead is the mean of the look-back."""

from __future__ import annotations

from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec


class WindowMean(Backbone):
    """y_{t+h} = mean of the observed readings of the look-back, for all h ("HA" of several flow papers).

    A node without any reading in the look-back gets the training mean (0 in scaled units).
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    trainable = False
    unseen_nodes = True
    paper = "classical (HA of the traffic-flow tables)"

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.width = spec.horizon * spec.targets

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        count = ctx.history_observed.sum(dim=1).clamp_min(1)  # [B, N, O]
        mean = ctx.history.sum(dim=1) / count  # [B, N, O]
        return mean.unsqueeze(2).expand(-1, -1, self.horizon, -1).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
