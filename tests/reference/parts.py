"""What several plain forms share: calendar channels, layer norm, attention of heads; float64, one sample."""

from __future__ import annotations

import numpy as np

Weights = dict[str, np.ndarray]


def with_clock(x: np.ndarray, clock: np.ndarray | None) -> np.ndarray:
    """x [B, T, N, C] with calendar channels [B, T, 2] behind its own, the same for all nodes; x itself without them."""
    if clock is None:
        return x
    return np.concatenate([x, np.repeat(clock[:, :, None], x.shape[2], axis=2)], axis=-1)


def linear(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    """Over the last axis."""
    scaled = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(query: np.ndarray, states: np.ndarray, weights: Weights, name: str, heads: int) -> np.ndarray:
    """What each row of ``query`` [Q, D] takes from ``states`` [L, D], head by head, mapped by ``out``: [Q, D]."""
    width = states.shape[1]
    size = width // heads
    weight, bias = weights[f"{name}.qkv.weight"], weights[f"{name}.qkv.bias"]
    q = query @ weight[:width].T + bias[:width]
    k = states @ weight[width : 2 * width].T + bias[width : 2 * width]
    v = states @ weight[2 * width :].T + bias[2 * width :]
    said = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
        said.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
    return linear(np.concatenate(said, axis=1), weights, f"{name}.out")
