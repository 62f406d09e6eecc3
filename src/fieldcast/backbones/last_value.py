"""Last value: every step ahead repeats the last reading."""

from __future__ import annotations

import torch
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec


class LastValue(Backbone):
    """y_{t+h} = x_t for all h, with x_t the last *observed* reading within the look-back ("HL" in LargeST).

    A node without any reading in the look-back gets the training mean (0 in scaled units).
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    trainable = False
    unseen_nodes = True
    paper = "Liu et al., NeurIPS 2023, arXiv:2306.08259 (HL)"

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.width = spec.horizon * spec.targets

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        seen = ctx.history_observed  # [B, T, N, O]
        steps = torch.arange(seen.shape[1], device=seen.device).view(1, -1, 1, 1)  # [1, T, 1, 1]
        last = torch.where(seen, steps, 0).amax(dim=1, keepdim=True)  # [B, 1, N, O]
        value = ctx.history.gather(1, last)[:, 0]  # [B, N, O]
        return value.unsqueeze(2).expand(-1, -1, self.horizon, -1).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
