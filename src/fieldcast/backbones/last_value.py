"""Last value: every step ahead repeats the last reading."""

from __future__ import annotations

from torch import Tensor

from fieldcast.backbones._from_history import FromHistory
from fieldcast.nn.history import carry_forward


class LastValue(FromHistory):
    """y_{t+h} = x_t for all h, with x_t the last *observed* reading within the look-back ("HL" in LargeST).

    A node without any reading in the look-back gets the training mean (0 in scaled units).
    Shapes: history [B, T, N, O] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    paper = "Liu et al., NeurIPS 2023, arXiv:2306.08259 (HL)"

    def forecast(self, history: Tensor, observed: Tensor) -> Tensor:
        return carry_forward(history, observed)[:, -1:].expand(-1, self.horizon, -1, -1)  # [B, H, N, O]
