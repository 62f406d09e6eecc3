"""Two branches with a gate over their forecasts, in the manner of ST-SepNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec


@register
class GatedBranches(Backbone):
    """y = g * space + (1 - g) * time, g = sigmoid(G_i), one gate a node, step and target.

    The time branch sees one series, the mean over the nodes that were read in this window (a switched-off sensor is
    none of them), and its differences, so it needs two steps. The space branch sees each node by itself. Both forecast
    inside ``encode``; the head is the identity, D = H * O.
    Shapes: x [B, T, N, C] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    per_node = {"gate": (0,)}
    paper = "after ST-SepNet"

    def __init__(self, spec: Spec, hidden: int = 8):
        super().__init__(spec)
        self.width = spec.horizon * spec.targets
        series = (2 * spec.lookback - 1) * spec.channels
        self.time = nn.Sequential(nn.Linear(series, hidden), nn.ReLU(), nn.Linear(hidden, self.width))
        space = spec.lookback * spec.channels
        self.space = nn.Sequential(nn.Linear(space, hidden), nn.ReLU(), nn.Linear(hidden, self.width))
        self.gate = nn.Parameter(torch.zeros(spec.nodes, self.width))  # [N, H * O]

    @classmethod
    def min_lookback(cls) -> int:
        return 2

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        there = ctx.observed.any(dim=3).any(dim=1).to(x)[:, None, :, None]  # [B, 1, N, 1]
        pooled = (x * there).sum(dim=2) / there.sum(dim=2).clamp_min(1)  # [B, T, C]
        series = torch.cat([pooled, pooled.diff(dim=1)], dim=1).flatten(1)  # [B, (2 T - 1) * C]
        time = self.time(series).unsqueeze(1)  # [B, 1, H * O]
        space = self.space(x.transpose(1, 2).flatten(2))  # [B, N, H * O]
        gate = self.gate.sigmoid()  # [N, H * O]
        return gate * space + (1 - gate) * time  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
