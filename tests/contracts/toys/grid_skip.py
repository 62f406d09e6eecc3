"""A grid convolution with a skip at full resolution, in the manner of SimVP."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec


@register
class GridSkip(Backbone):
    """Frames are encoded one by one, halved, translated together, enlarged, and joined with the last frame's skip.

    ``encode`` reshapes to rows x columns and back, and hands out h before the last 1x1 map, which is the head. Frames
    of odd size are enlarged to exactly their own size.
    Shapes: x [B, T, N, C], N = rows * columns -> h [B, N, width] -> y [B, H, N, O].
    """

    needs_grid = True
    unseen_nodes = True
    predictor_layers = ("output",)
    paper = "after Gao et al., CVPR 2022, arXiv:2206.05099"

    def __init__(self, spec: Spec, width: int = 8):
        super().__init__(spec)
        assert spec.grid is not None
        self.grid = spec.grid
        self.width = width
        self.lift = nn.Conv2d(spec.channels, width, 3, padding=1)
        self.halve = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.translate = nn.Conv2d(spec.lookback * width, width, 3, padding=1)
        self.join = nn.Conv2d(2 * width, width, 3, padding=1)
        self.output = nn.Linear(width, spec.horizon * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        batch, lookback = x.shape[:2]
        frames = x.flatten(0, 1).transpose(1, 2).unflatten(2, self.grid)  # [B * T, C, rows, columns]
        skip = F.silu(self.lift(frames))  # [B * T, width, rows, columns]
        small = F.silu(self.halve(skip)).unflatten(0, (batch, lookback)).flatten(1, 2)  # [B, T * width, r, c]
        moved = F.silu(self.translate(small))  # [B, width, r, c]
        large = F.interpolate(moved, size=self.grid, mode="nearest")  # [B, width, rows, columns]
        last = skip.unflatten(0, (batch, lookback))[:, -1]  # [B, width, rows, columns]
        joined = F.silu(self.join(torch.cat([large, last], dim=1)))  # [B, width, rows, columns]
        return joined.flatten(2).transpose(1, 2)  # [B, N, width]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.output(h))  # [B, H, N, O]
