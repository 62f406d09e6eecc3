"""STAEformer from its equations, one sample at a time, one node or one step at a time, in float64."""

from __future__ import annotations

import numpy as np

Weights = dict[str, np.ndarray]


def staeformer(
    x: np.ndarray, clock: np.ndarray | None, calendar: np.ndarray, weights: Weights, horizon: int, heads: int
) -> np.ndarray:
    """x [B, T, N, C], calendar channels [B, T, 2] or None, calendar ids [B, T + H, 3] -> y [B, H, N, O]."""
    if clock is not None:
        x = np.concatenate([x, np.repeat(clock[:, :, None], x.shape[2], axis=2)], axis=-1)
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
    width = x.shape[1]
    size = width // heads
    qkv = x @ weights[f"{name}.qkv.weight"].T + weights[f"{name}.qkv.bias"]
    q, k, v = qkv[:, :width], qkv[:, width : 2 * width], qkv[:, 2 * width :]
    said = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
        said.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
    attended = np.concatenate(said, axis=1) @ weights[f"{name}.out.weight"].T + weights[f"{name}.out.bias"]
    z = _norm(x + attended, weights, f"{name}.norm1")
    hidden = np.maximum(z @ weights[f"{name}.first.weight"].T + weights[f"{name}.first.bias"], 0)
    return _norm(
        z + hidden @ weights[f"{name}.second.weight"].T + weights[f"{name}.second.bias"], weights, f"{name}.norm2"
    )


def _norm(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    scaled = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
