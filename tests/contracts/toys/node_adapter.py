"""A small correction of its own for every sensor, in the manner of ST-LoRA."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.core.context import Context
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec
from fieldcast.core.stage import AfterStage


@register
class NodeAdapter(AfterStage):
    """y' = y + V relu(c_i + A h_i + U history_i), V = 0 at the start: the adapted model equals its base bit for bit.

    Reads the raw look-back only as ``ctx.history``, which is zero for switched-off sensors.
    Shapes: y [B, H, M, O], h [B, M, D] -> y' [B, H, M, O].
    """

    per_node = {"code": (0,)}

    def __init__(self, rank: int = 4):
        super().__init__()
        self.rank = rank

    def build(self, spec: Spec) -> Spec:
        self.horizon, self.targets = spec.horizon, spec.targets
        self.code = nn.Parameter(0.1 * torch.randn(spec.nodes, self.rank))  # [M, rank]
        self.from_state = nn.Linear(spec.width, self.rank, bias=False)
        self.from_history = nn.Linear(spec.lookback * spec.targets, self.rank, bias=False)
        self.output = nn.Linear(self.rank, spec.horizon * spec.targets, bias=False)
        nn.init.zeros_(self.output.weight)
        return spec

    def forward(self, y: Tensor, h: Tensor, ctx: Context) -> Tensor:
        history = ctx.history.transpose(1, 2).flatten(2)  # [B, M, T * O]
        low = (self.code + self.from_state(h) + self.from_history(history)).relu()  # [B, M, rank]
        change = self.output(low).unflatten(2, (self.horizon, self.targets)).transpose(1, 2)  # [B, H, M, O]
        return y + change
