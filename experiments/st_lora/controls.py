"""Controls that every table about ST-LoRA needs: is it the nodes' own numbers, or anything of its size, or less?

Loaded by ``python experiments/run.py FILE --plugin experiments/st_lora/controls.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.core.context import Context
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec
from fieldcast.core.stage import AfterStage
from fieldcast.methods.st_lora import STLoRA


@register
class Twice(AfterStage):
    """y' = 2 y: all that the public code of ST-LoRA computes, without a parameter.

    Shapes: y [B, H, M, O] -> the same.
    """

    def forward(self, y: Tensor, h: Tensor, ctx: Context) -> Tensor:
        return 2 * y


@register
class EqualMLP(AfterStage):
    """y' = y + W_2 relu(W_1 [y | x] + b_1) + b_2, shared by all nodes, with as many parameters as ST-LoRA's default.

    W_2 and b_2 start at zero. Shapes: y [B, H, M, O] -> the same.
    """

    def build(self, spec: Spec) -> Spec:
        with torch.device("meta"):
            (adapter := STLoRA()).build(spec)
        budget = sum(each.numel() for each in adapter.parameters())
        self.horizon, self.targets = spec.horizon, spec.targets
        outputs, inputs = spec.horizon * spec.targets, (spec.horizon + spec.lookback) * spec.targets
        hidden = max(1, round((budget - outputs) / (inputs + 1 + outputs)))
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)
        return spec

    def forward(self, y: Tensor, h: Tensor, ctx: Context) -> Tensor:
        u = torch.cat([y, ctx.history], dim=1).transpose(1, 2).flatten(2)  # [B, M, (H + T) * O]
        z = self.second(self.first(u).relu())  # [B, M, H * O]
        return y + z.unflatten(2, (self.horizon, self.targets)).transpose(1, 2)  # [B, H, M, O]
