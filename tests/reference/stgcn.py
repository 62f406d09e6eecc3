"""STGCN from its equations, one sample, one step and one node at a time, in float64."""

from __future__ import annotations

import numpy as np

Weights = dict[str, np.ndarray]


def stgcn(x: np.ndarray, clock: np.ndarray | None, laplacian: np.ndarray, weights: Weights, horizon: int) -> np.ndarray:
    """x [B, T, N, C], calendar channels [B, T, 2] or None, scaled Laplacian [N, N] -> y [B, H, N, O]."""
    return np.stack([
        _one(x[b], None if clock is None else clock[b], laplacian, weights, horizon) for b in range(len(x))
    ])  # fmt: skip


def _one(x: np.ndarray, clock: np.ndarray | None, laplacian: np.ndarray, weights: Weights, horizon: int) -> np.ndarray:
    steps, nodes, _ = x.shape
    if clock is not None:
        x = np.concatenate([x, np.repeat(clock[:, None], nodes, axis=1)], axis=-1)
    if steps < 9:
        x = np.concatenate([np.zeros((9 - steps, *x.shape[1:])), x])
    for block in ("blocks.0", "blocks.1"):
        x = _gated(x, weights, f"{block}.before", 3)
        x = _graph(x, laplacian, weights, f"{block}.graph")
        x = _gated(x, weights, f"{block}.after", 3)
        x = np.stack([_norm(step, weights, f"{block}.norm") for step in x])
    x = _gated(x, weights, "output", len(x))
    h = _norm(x[0], weights, "norm")
    hidden = np.maximum(h @ weights["fc1.weight"].T + weights["fc1.bias"], 0)
    y = hidden @ weights["fc2.weight"].T + weights["fc2.bias"]  # [N, H * O]
    return y.reshape(nodes, horizon, -1).transpose(1, 0, 2)


def _gated(x: np.ndarray, weights: Weights, name: str, kernel: int) -> np.ndarray:
    weight, bias = weights[f"{name}.linear.weight"], weights[f"{name}.linear.bias"]
    width = len(weight) // 2
    out = np.zeros((len(x) - kernel + 1, x.shape[1], width))
    for t in range(len(out)):
        for node in range(x.shape[1]):
            pq = weight @ np.concatenate([x[t + k, node] for k in range(kernel)]) + bias
            last = x[t + kernel - 1, node]
            if len(last) > width:
                last = weights[f"{name}.align.weight"] @ last + weights[f"{name}.align.bias"]
            p = pq[:width].copy()
            p[: len(last)] += last
            out[t, node] = p / (1 + np.exp(-pq[width:]))
    return out


def _graph(x: np.ndarray, laplacian: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    u = x @ weights[f"{name}.align.weight"].T + weights[f"{name}.align.bias"]
    weight, bias = weights[f"{name}.linear.weight"], weights[f"{name}.linear.bias"]
    channels = u.shape[-1]
    terms = [np.eye(len(laplacian)), laplacian, 2 * laplacian @ laplacian - np.eye(len(laplacian))]
    out = np.zeros_like(u)
    for t in range(len(u)):
        total = sum(term @ u[t] @ weight[:, k * channels : (k + 1) * channels].T for k, term in enumerate(terms))
        out[t] = np.maximum(total + bias + u[t], 0)
    return out


def _norm(step: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    scaled = (step - step.mean()) / np.sqrt(step.var() + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
