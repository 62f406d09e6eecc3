"""Controls that every table about ST-LoRA needs: is it the nodes' own numbers, or anything of its size, or less?

Loaded by ``python experiments/run.py FILE --plugin experiments/st_lora/controls.py``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fieldcast.core.context import Context
from fieldcast.core.module import ParameterGroup
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec
from fieldcast.core.stage import AfterStage
from fieldcast.methods.st_lora import STLoRA
from fieldcast.nn.calendar import calendar_waves


@register
class Twice(AfterStage):
    """y' = 2 y: all that the public code of ST-LoRA computes, without a parameter.

    Shapes: y [B, H, M, O] -> the same.
    """

    def forward(self, y: Tensor, h: Tensor, ctx: Context) -> Tensor:
        return 2 * y


@register
class EqualMLP(AfterStage):
    """y' = y + W_2 relu(W_1 [y | x | w] + b_1) + b_2, shared by all nodes: ST-LoRA's inputs, parameters and step size.

    W_2 and b_2 start at zero. ``rank`` is that of the ST-LoRA whose size it has. Shapes: y [B, H, M, O] -> the same.
    """

    def __init__(self, rank: int | Literal["auto"] = "auto"):
        super().__init__()
        self.rank = rank

    def build(self, spec: Spec) -> Spec:
        with torch.device("meta"):
            (adapter := STLoRA(rank=self.rank)).build(spec)
        budget = sum(each.numel() for each in adapter.parameters())
        self.learning_rate = adapter.learning_rate
        self.horizon, self.targets, self.calendar_sizes = spec.horizon, spec.targets, spec.calendar_sizes
        outputs, inputs = spec.horizon * spec.targets, (spec.horizon + spec.lookback) * spec.targets + 10
        hidden = max(1, round((budget - outputs) / (inputs + 1 + outputs)))
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)
        return spec

    def groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self.parameters()), self.learning_rate, 0.0)]

    def forward(self, y: Tensor, h: Tensor, ctx: Context) -> Tensor:
        waves = calendar_waves(ctx.calendar[:, -1 - self.horizon], self.calendar_sizes).to(y.dtype)  # [B, 10]
        u = torch.cat([y, ctx.history], dim=1).transpose(1, 2).flatten(2)  # [B, M, (H + T) * O]
        u = torch.cat([u, waves.unsqueeze(1).expand(-1, y.shape[2], -1)], dim=-1)  # [B, M, (H + T) * O + 10]
        z = self.second(self.first(u).relu())  # [B, M, H * O]
        return y + z.unflatten(2, (self.horizon, self.targets)).transpose(1, 2)  # [B, H, M, O]
