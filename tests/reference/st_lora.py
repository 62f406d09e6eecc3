"""ST-LoRA written from its equations, one node at a time, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]


def delta(weights: Weights, layer: str, mode: str, node: int, code: np.ndarray | None, alpha: float) -> np.ndarray:
    """DeltaW_i = (alpha / r) B_i A_i: [d_out, d_in]."""
    a, b = weights[f"{layer}.lora_A"], weights[f"{layer}.lora_B"]
    if mode == "code":
        a = np.diag(code) @ a
    elif mode == "pool":
        a = sum(code[j] * a[j] for j in range(len(code))) / np.sqrt(len(code))
    elif mode == "full_A":
        a = a[node]
    elif mode == "full_AB":
        a, b = a[node], b[node]
    return alpha / a.shape[0] * b @ a


def correction(
    weights: Weights, y: np.ndarray, history: np.ndarray, mode: str, alpha: float, stem: str, fusion: str, shared: bool,
    clock: list[list[float]],
) -> np.ndarray:  # fmt: skip
    """y [B, H, N, O] and history [B, T, N, O] -> what the residual form makes of y, without anything in the head.

    ``clock`` holds what the stem reads besides in each window.
    """
    batch, horizon, nodes, targets = y.shape
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    depth = len(weights["blocks.0.biases"])
    adapted = np.empty_like(y, dtype=np.float64)
    for b in range(batch):
        for i in range(nodes):
            parts = {"pred": [y[b, :, i]], "hist": [history[b, :, i]], "both": [y[b, :, i], history[b, :, i]]}[stem]
            u = np.concatenate([*(part.reshape(-1) for part in parts), clock[b]])
            z = np.zeros(horizon * targets)
            for m in range(blocks):
                part = f"blocks.{m}"
                h = weights[f"{part}.stem.weight"] @ u + weights[f"{part}.stem.bias"]
                for layer in range(depth):
                    name, table = f"{part}.layers.{layer}", 0 if shared else m * depth + layer
                    code = weights["lora_E"][table, i] if "lora_E" in weights else None
                    a = np.where(h > 0, h, 0.1 * h)
                    h = h + delta(weights, name, mode, i, code, alpha) @ a + weights[f"{part}.biases"][layer]
                    if f"{part}.base.{layer}.weight" in weights:
                        h = h + weights[f"{part}.base.{layer}.weight"] @ a
                z += (weights[f"{part}.head.weight"] @ h + weights[f"{part}.head.bias"]) / blocks
            z = z.reshape(horizon, targets)
            adapted[b, :, i] = y[b, :, i] * (1 + np.tanh(z)) if fusion == "gate" else y[b, :, i] + z
    return adapted


def waves(slot: int, day: int, slots: int) -> list[float]:
    """sin and cos of 1, 2, 3 turns a day and 1, 2 turns a week; zeros where the slot or the day is not known (-1)."""
    if min(slot, day) < 0:
        return [0.0] * 10
    of_day = slot / slots
    turns = [of_day, 2 * of_day, 3 * of_day, (day + of_day) / 7, 2 * (day + of_day) / 7]
    return [np.sin(2 * np.pi * t) for t in turns] + [np.cos(2 * np.pi * t) for t in turns]
