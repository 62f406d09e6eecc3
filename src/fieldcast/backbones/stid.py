"""STID: a multi-layer perceptron that knows which node it forecasts, and when."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.module import require
from fieldcast.core.spec import Spec
from fieldcast.nn.calendar import CalendarEmbedding, with_clock
from fieldcast.nn.dropout import Dropout


class STID(Backbone):
    """Spatial-temporal identity: an MLP over each node's look-back and learned node, time-of-day and day vectors.

    u_i = W_in vec(x_i) + b ; z^0_i = [u_i | E_i | D_slot | W_day] ; z^l = z^(l-1) + W_2 dropout(relu(W_1 z^(l-1)))
    y_i = W_out z^L_i + b_out, slot and day being those of the last look-back step.

    Channels known ahead are part of vec(x_i). ``calendar_inputs`` adds time of day and day of week to the channels of
    x, as the public version does (117,868 parameters at N = 207, T = H = 12, 288 slots). Calendar rows start at zero
    and an id that training never saw is the zero vector.

    Shapes: x [B, T, N, C] -> h [B, N, D], D = width x 4 (x 3 for data with one slot a day, which has no slot vector).
    Cost: nodes. Source: Shao et al., CIKM 2022, arXiv:2208.05233, section 3.
    """

    per_node = {"node_embedding": (0,)}
    capturable = True
    recompute_blocks = ("blocks",)
    predictor_layers = ("output",)
    uses_future = True
    paper = "Shao et al., CIKM 2022, arXiv:2208.05233"

    def __init__(
        self, spec: Spec, width: int = 32, layers: int = 3, dropout: float = 0.15, calendar_inputs: bool = True
    ):
        super().__init__(spec)
        require("width", width, 1)
        require("layers", layers, 0)
        require("dropout", dropout, 0, below=1)
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        channels = spec.channels + (2 if calendar_inputs else 0)
        known = spec.horizon * spec.future_channels
        self.input = nn.Linear(spec.lookback * channels + known, width)
        self.node_embedding = nn.Parameter(nn.init.xavier_uniform_(torch.empty(spec.nodes, width)))
        self.slot_embedding = CalendarEmbedding(spec.steps_per_day, width) if spec.steps_per_day > 1 else None
        self.day_embedding = CalendarEmbedding(7, width)
        self.width = width * (4 if self.slot_embedding is not None else 3)
        self.blocks = nn.ModuleList(_ResidualMLP(self.width, dropout) for _ in range(layers))
        self.output = nn.Linear(self.width, spec.horizon * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        batch, lookback, nodes, _ = x.shape
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        series = x.transpose(1, 2).flatten(2)  # [B, N, T * C]
        if ctx.future is not None:
            series = torch.cat([series, ctx.future.transpose(1, 2).flatten(2)], dim=-1)  # [B, N, T * C + H * F]
        series = self.input(series)  # [B, N, width]
        now = ctx.calendar[:, lookback - 1]  # [B, 3]
        parts = [series, self.node_embedding.expand(batch, -1, -1)]
        if self.slot_embedding is not None:
            parts.append(self.slot_embedding(now[:, 0]).unsqueeze(1).expand(-1, nodes, -1))
        parts.append(self.day_embedding(now[:, 1]).unsqueeze(1).expand(-1, nodes, -1))
        h = torch.cat(parts, dim=-1)  # [B, N, D]
        for block in self.blocks:
            h = block(h)  # [B, N, D]
        return h

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.output(h))  # [B, H, N, O]


class _ResidualMLP(nn.Module):
    """z + W_2 dropout(relu(W_1 z)): [..., D] -> [..., D]."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        self.second = nn.Linear(width, width)

    def forward(self, z: Tensor) -> Tensor:
        return z + self.second(self.dropout(self.first(z).relu()))  # [..., D]
