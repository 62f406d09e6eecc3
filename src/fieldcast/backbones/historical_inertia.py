"""Historical inertia: the last H readings, in order."""

from __future__ import annotations

import torch
from torch import Tensor

from fieldcast.backbones._from_history import FromHistory
from fieldcast.nn.history import carry_forward


class HistoricalInertia(FromHistory):
    """y_{t+h} = x_{t-H+h}: the last H readings copied in order, so the error is nearly flat over the horizon ("HI").

    With a look-back T < H the copy starts again after T steps: y_{t+h} = x_{t-T+1+((h-1) mod T)}. A reading that was
    not observed is replaced by the last observed one before it in the look-back, else the training mean.
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    paper = "Cui et al., CIKM 2021, arXiv:2103.16349"

    def forecast(self, history: Tensor, observed: Tensor) -> Tensor:
        lookback = history.shape[1]
        first = max(0, lookback - self.horizon)
        cycle = first + torch.arange(self.horizon, device=history.device) % (lookback - first)  # [H]
        return carry_forward(history, observed)[:, cycle]  # [B, H, N, O]
