"""Calendar ids as vectors or as channels; the neutral id is the zero vector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CalendarEmbedding(nn.Module):
    """One learned vector an id: e(i) = W_i for i >= 0, and 0 for the neutral id -1.

    Shapes: ids int64 [...] -> [..., width]. With ``zero_start`` all rows start at zero, so that an id which occurs
    rarely in training stays near the neutral one instead of adding noise.
    """

    def __init__(self, size: int, width: int, zero_start: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, width) if zero_start else torch.empty(size, width))
        if not zero_start:
            nn.init.xavier_uniform_(self.weight)

    def forward(self, ids: Tensor) -> Tensor:
        vectors = F.embedding(ids.clamp_min(0), self.weight)  # [..., width]
        return vectors * (ids >= 0).unsqueeze(-1)  # [..., width]


def calendar_channels(ids: Tensor, sizes: Sequence[int]) -> Tensor:
    """Calendar ids as numbers in [0, 1), id / size, one half where neutral.

    Shapes: ids int64 [B, T, k] -> [B, T, k].
    """
    columns = zip(ids.unbind(-1), sizes, strict=False)
    return torch.stack([torch.where(column >= 0, column / size, 0.5) for column, size in columns], dim=-1)


def with_clock(x: Tensor, calendar: Tensor, sizes: Sequence[int]) -> Tensor:
    """x with time of day and day of week as two more channels, the same for all nodes.

    Shapes: x [B, T, N, C], calendar int64 [B, T + H, 3] -> [B, T, N, C + 2].
    """
    clock = calendar_channels(calendar[:, : x.shape[1], :2], sizes).to(x.dtype)  # [B, T, 2]
    return torch.cat([x, clock.unsqueeze(2).expand(-1, -1, x.shape[2], -1)], dim=-1)  # [B, T, N, C + 2]


def calendar_waves(now: Tensor, sizes: tuple[int, ...], daily: int = 3, weekly: int = 2) -> Tensor:
    """Sines and cosines of the first harmonics of the day and of the week; zero where the slot or the day is neutral.

    Shapes: ``now`` int64 [B, 3] (slot of day, day of week, ..) -> [B, 2 (daily + weekly)].
    """
    day = now[:, 0] / sizes[0]  # [B], in [0, 1)
    week = (now[:, 1] + day) / 7  # [B], in [0, 1)
    turns = [day * (k + 1) for k in range(daily)] + [week * (k + 1) for k in range(weekly)]
    angle = 2 * math.pi * torch.stack(turns, dim=1)  # [B, daily + weekly]
    known = now[:, :2].amin(dim=1, keepdim=True) >= 0  # [B, 1]
    return torch.where(known, torch.cat([angle.sin(), angle.cos()], dim=1), 0.0)
