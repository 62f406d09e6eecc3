"""STAEformer from its equations, one sample at a time, one node or one step at a time, in float64."""

from __future__ import annotations

import numpy as np

from tests.reference.parts import Weights, attention, layer_norm, linear, with_clock


def staeformer(
    x: np.ndarray, clock: np.ndarray | None, calendar: np.ndarray, weights: Weights, horizon: int, heads: int
) -> np.ndarray:
    """x [B, T, N, C], calendar channels [B, T, 2] or None, calendar ids [B, T + H, 3] -> y [B, H, N, O]."""
    x = with_clock(x, clock)
    return np.stack([_one(x[b], calendar[b], weights, horizon, heads) for b in range(len(x))])


def _one(x: np.ndarray, calendar: np.ndarray, weights: Weights, horizon: int, heads: int) -> np.ndarray:
    steps, nodes, _ = x.shape
    tokens = []
    for t in range(steps):
        for i in range(nodes):
            parts = [weights["input.weight"] @ x[t, i] + weights["input.bias"]]
            for place, name in enumerate(("slot", "day")):
                table = weights[f"{name}_embedding.weight"]
                parts.append(table[calendar[t, place]] if calendar[t, place] >= 0 else np.zeros(table.shape[1]))
            tokens.append(np.concatenate([*parts, weights["adaptive_embedding"][t, i]]))
    z = np.array(tokens).reshape(steps, nodes, -1)
    layers = sum(name.startswith("over_steps") and name.endswith("qkv.bias") for name in weights)
    for layer in range(layers):
        z = np.stack([_layer(z[:, i], weights, f"over_steps.{layer}", heads) for i in range(nodes)], axis=1)
    for layer in range(layers):
        z = np.stack([_layer(z[t], weights, f"over_nodes.{layer}", heads) for t in range(steps)])
    flat = z.transpose(1, 0, 2).reshape(nodes, -1)
    y = flat @ weights["output.weight"].T + weights["output.bias"]  # [N, H * O]
    return y.reshape(nodes, horizon, -1).transpose(1, 0, 2)


def _layer(x: np.ndarray, weights: Weights, name: str, heads: int) -> np.ndarray:
    z = layer_norm(x + attention(x, x, weights, name, heads), weights, f"{name}.norm1")
    hidden = np.maximum(linear(z, weights, f"{name}.first"), 0)
    return layer_norm(z + linear(hidden, weights, f"{name}.second"), weights, f"{name}.norm2")
