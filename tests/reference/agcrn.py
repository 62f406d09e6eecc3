"""AGCRN from its equations, one sample, one step and one node at a time, in float64."""

from __future__ import annotations

import numpy as np

from tests.reference.parts import Weights, with_clock


def agcrn(
    x: np.ndarray, clock: np.ndarray | None, weights: Weights, horizon: int, layers: int, order: int
) -> np.ndarray:
    """x [B, T, N, C], calendar channels [B, T, 2] or None -> y [B, H, N, O]."""
    x = with_clock(x, clock)
    embedding = weights["embedding"]
    scores = np.maximum(embedding @ embedding.T, 0)
    graph = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    terms = [np.eye(len(graph)), graph]
    while len(terms) < order:
        terms.append(2 * graph @ terms[-1] - terms[-2])
    return np.stack([_one(sample, terms[:order], weights, horizon, layers) for sample in x])


def _one(x: np.ndarray, terms: list[np.ndarray], weights: Weights, horizon: int, layers: int) -> np.ndarray:
    nodes = x.shape[1]
    for layer in range(layers):
        name = f"cells.{layer}"
        width = weights[f"{name}.candidate_bias"].shape[1]
        h, states = np.zeros((nodes, width)), []
        for step in x:
            gates = _convolve(np.concatenate([step, h], axis=1), terms, weights, f"{name}.gate")
            gates = 1 / (1 + np.exp(-gates))
            z, r = gates[:, :width], gates[:, width:]
            c = np.tanh(_convolve(np.concatenate([step, z * h], axis=1), terms, weights, f"{name}.candidate"))
            h = r * h + (1 - r) * c
            states.append(h)
        x = np.stack(states)
    y = x[-1] @ weights["output.weight"].T + weights["output.bias"]  # [N, H * O]
    return y.reshape(nodes, horizon, -1).transpose(1, 0, 2)


def _convolve(v: np.ndarray, terms: list[np.ndarray], weights: Weights, name: str) -> np.ndarray:
    pool, bias, embedding = weights[f"{name}_pool"], weights[f"{name}_bias"], weights["embedding"]
    out = np.zeros((len(v), bias.shape[1]))
    for i, vector in enumerate(embedding):
        own = np.einsum("j,jkco->kco", vector, pool)
        out[i] = sum((term @ v)[i] @ own[k] for k, term in enumerate(terms)) + vector @ bias
    return out
