"""Raw history with its gaps closed."""

from __future__ import annotations

import torch
from torch import Tensor


def carry_forward(history: Tensor, observed: Tensor) -> Tensor:
    """Each step's last observed value so far; before the first one the value that stands there (0 in scaled units).

    Shapes: history and its bool mask [B, T, N, O] -> [B, T, N, O].
    """
    steps = torch.arange(history.shape[1], device=history.device).view(1, -1, 1, 1)  # [1, T, 1, 1]
    last = torch.cummax(torch.where(observed, steps, 0), dim=1).values  # [B, T, N, O]
    return history.gather(1, last)  # [B, T, N, O]
