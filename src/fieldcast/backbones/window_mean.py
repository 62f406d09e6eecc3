"""Window mean: every step ahead is the mean of the look-back."""

from __future__ import annotations

from torch import Tensor

from fieldcast.backbones._from_history import FromHistory


class WindowMean(FromHistory):
    """y_{t+h} = mean of the observed readings of the look-back, for all h ("HA" of several flow papers).

    A node without any reading in the look-back gets the training mean (0 in scaled units).
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    paper = "classical (HA of the traffic-flow tables)"

    def forecast(self, history: Tensor, observed: Tensor) -> Tensor:
        count = observed.sum(dim=1, keepdim=True).clamp_min(1)  # [B, 1, N, O]
        mean = history.sum(dim=1, keepdim=True) / count  # [B, 1, N, O]
        return mean.expand(-1, self.horizon, -1, -1)  # [B, H, N, O]
