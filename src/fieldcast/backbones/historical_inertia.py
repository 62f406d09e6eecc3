"""Historical inertia: the last H readings, in order."""

from __future__ import annotations

import torch
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec


class HistoricalInertia(Backbone):
    """y_{t+h} = x_{t-H+h}: the last H readings copied in order, so the error is nearly flat over the horizon ("HI").

    With a look-back T < H the copy starts again after T steps: y_{t+h} = x_{t-T+1+((h-1) mod T)}. A reading that was
    not observed is replaced by the last observed one before it in the look-back, else the training mean.
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    trainable = False
    unseen_nodes = True
    paper = "Cui et al., CIKM 2021, arXiv:2103.16349"

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.width = spec.horizon * spec.targets
        self.lookback = spec.lookback

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        seen = ctx.history_observed  # [B, T, N, O]
        steps = torch.arange(self.lookback, device=seen.device).view(1, -1, 1, 1)  # [1, T, 1, 1]
        last = torch.cummax(torch.where(seen, steps, 0), dim=1).values  # [B, T, N, O]
        filled = ctx.history.gather(1, last)  # [B, T, N, O]
        first = max(0, self.lookback - self.horizon)
        cycle = first + torch.arange(self.horizon, device=seen.device) % (self.lookback - first)  # [H]
        return filled[:, cycle].transpose(1, 2).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
