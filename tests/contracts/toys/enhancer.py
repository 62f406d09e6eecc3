"""Turns the channels of x into 16 with a frozen, pre-trained encoder, in the manner of GPT-ST."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.core.context import Context
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec
from fieldcast.core.stage import BeforeStage
from fieldcast.nn.calendar import CalendarEmbedding


@register
class Enhancer(BeforeStage):
    """x' = W_x x + sigmoid(g) * encoder(x, mask, calendar): C channels become ``channels``; the encoder is frozen.

    Shapes: x [B, T, N, C] -> x' [B, T, N, channels].
    """

    per_node = {"encoder.membership": (0,)}

    def __init__(self, channels: int = 16, clusters: int = 3):
        super().__init__()
        self.channels = channels
        self.clusters = clusters

    def build(self, spec: Spec) -> Spec:
        self.encoder = _Encoder(spec, self.channels, self.clusters).requires_grad_(False)
        self.carry = nn.Linear(spec.channels, self.channels)
        self.share = nn.Parameter(torch.zeros(self.channels))  # [16]
        return spec.with_(channels=self.channels)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return self.carry(x) + self.share.sigmoid() * self.encoder(x, ctx)  # [B, T, N, 16]


class _Encoder(nn.Module):
    """Each cell with its mask and its time of day, then a pass through learned clusters of the nodes that are there."""

    def __init__(self, spec: Spec, channels: int, clusters: int):
        super().__init__()
        self.cell = nn.Linear(spec.channels + 1, channels)
        self.slot = CalendarEmbedding(spec.steps_per_day, channels, zero_start=False)
        self.day = CalendarEmbedding(spec.calendar_sizes[1], channels, zero_start=False)
        self.membership = nn.Parameter(torch.randn(spec.nodes, clusters))  # [N, K]
        self.back = nn.Linear(channels, channels)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        lookback = x.shape[1]
        seen = ctx.observed.any(dim=3).to(x)  # [B, T, N]
        slot, day = ctx.calendar[:, :lookback, 0], ctx.calendar[:, :lookback, 1]  # [B, T] each
        when = (self.slot(slot) + self.day(day)).unsqueeze(2)  # [B, T, 1, 16]
        cells = (self.cell(torch.cat([x, seen[..., None]], dim=-1)) + when).relu()  # [B, T, N, 16]
        member = self.membership.sigmoid()  # [N, K]
        held = seen[..., None] * member  # [B, T, N, K]
        clusters = held.transpose(2, 3) @ cells / held.sum(dim=2).clamp_min(1e-6)[..., None]  # [B, T, K, 16]
        return cells + self.back(member @ clusters)  # [B, T, N, 16]
