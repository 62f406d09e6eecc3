"""Means of the training rows by calendar slot and node."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fieldcast.data.windows import TrainingSeries


class Climatology(nn.Module):
    """m[s, n] = mean of the observed training values of node n in calendar slot s.

    A slot that node n never had falls back to the mean over its slots of the coarser table ``fallback`` when given,
    and at last to the node's own mean; a node without any training value has 0, the training mean in scaled units.
    Shapes: slots int64 [B, H] -> [B, H, N, O]; slot -1 (neutral) gives the node's mean.
    """

    table: Tensor
    node_mean: Tensor

    def __init__(self, slots: int, nodes: int, targets: int):
        super().__init__()
        self.register_buffer("table", torch.zeros(slots, nodes, targets))  # [S, N, O]
        self.register_buffer("node_mean", torch.zeros(nodes, targets))  # [N, O]

    def fit(
        self, values: np.ndarray, observed: np.ndarray, slot: np.ndarray, fallback: Tensor | None = None, reach: int = 0
    ) -> None:
        """Fit on scaled values [rows, N, O], their mask and the slots int64 [rows] (-1 is left out).

        ``fallback`` [S, N, O] stands where a slot has no value; with ``reach`` a slot's mean runs over the slots at
        most so far away, around the circle; sums run in float64.
        """
        slots = len(self.table)
        total, count = np.zeros((slots + 1, *values.shape[1:])), np.zeros((slots + 1, *values.shape[1:]))
        for s in np.unique(slot):  # the last row collects what is neutral
            rows = slot == s
            total[s] = np.sum(values[rows], axis=0, dtype=np.float64, where=observed[rows])
            count[s] = observed[rows].sum(axis=0)
        everything, seen = total.sum(axis=0), count.sum(axis=0)
        if reach:
            shifts = range(-reach, reach + 1)
            total = sum((np.roll(total[:slots], shift, axis=0) for shift in shifts), np.zeros(total[:slots].shape))
            count = sum((np.roll(count[:slots], shift, axis=0) for shift in shifts), np.zeros(count[:slots].shape))
        rest = np.divide(everything, seen, out=np.zeros_like(everything), where=seen > 0)
        spare = np.broadcast_to(rest, total[:slots].shape) if fallback is None else fallback.double().numpy()
        mean = np.divide(total[:slots], count[:slots], out=spare.copy(), where=count[:slots] > 0)
        self.table.copy_(torch.from_numpy(mean))
        self.node_mean.copy_(torch.from_numpy(rest))

    def forward(self, slots: Tensor) -> Tensor:
        known = (slots >= 0)[..., None, None]  # [B, H, 1, 1]
        return torch.where(known, self.table[slots.clamp_min(0)], self.node_mean)  # [B, H, N, O]


def training_targets(series: TrainingSeries, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The target channels of the training rows and their mask, [rows, N, O] each."""
    return series.values[..., targets], series.observed[..., targets]
