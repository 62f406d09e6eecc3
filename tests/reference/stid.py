"""STID written from its equations, one sample and one node at a time, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def clock(ids: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Calendar ids [T, 2] as numbers: id / size in float32, as readings are, and one half for the neutral id."""
    numbers = ids.astype(np.float32) / np.array(sizes[:2], np.float32)
    return np.where(ids >= 0, numbers, np.float32(0.5)).astype(np.float64)


def stid(
    weights: Mapping[str, np.ndarray], x: np.ndarray, calendar: np.ndarray, sizes: tuple[int, ...], horizon: int,
    calendar_inputs: bool = True,
) -> np.ndarray:  # fmt: skip
    """x [B, T, N, C], calendar [B, T+H, 3] -> y [B, H, N, O]."""
    batch, lookback, nodes, _ = x.shape
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    forecasts = []
    for b in range(batch):
        slot, day = calendar[b, lookback - 1, :2]
        for n in range(nodes):
            series = x[b, :, n].astype(np.float64)  # [T, C]
            if calendar_inputs:
                series = np.concatenate([series, clock(calendar[b, :lookback, :2], sizes)], axis=1)
            parts = [weights["input.weight"] @ series.reshape(-1) + weights["input.bias"], weights["node_embedding"][n]]
            for name, index in (("slot_embedding.weight", slot), ("day_embedding.weight", day)):
                if name in weights:
                    table = weights[name]
                    parts.append(table[index] if index >= 0 else np.zeros(table.shape[1]))
            z = np.concatenate(parts)
            for layer in range(blocks):
                prefix = f"blocks.{layer}."
                inner = weights[f"{prefix}first.weight"] @ z + weights[f"{prefix}first.bias"]
                z = z + weights[f"{prefix}second.weight"] @ np.maximum(inner, 0) + weights[f"{prefix}second.bias"]
            forecasts.append((weights["output.weight"] @ z + weights["output.bias"]).reshape(horizon, -1))
    return np.stack(forecasts).reshape(batch, nodes, horizon, -1).transpose(0, 2, 1, 3)
