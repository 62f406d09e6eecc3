"""DCRNN from its equations, a sample and a step at a time, in float64; fed with its forecasts or the truth."""

from __future__ import annotations

import numpy as np

from tests.reference.parts import Weights, with_clock


def dcrnn(
    x: np.ndarray, clock: np.ndarray | None, walks: list[np.ndarray], weights: Weights, horizon: int, layers: int,
    order: int, teacher: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """x [B, T, N, C], calendar channels [B, T, 2] or None, the walks P(A), P(A') [N, N] -> y [B, H, N, O].

    ``teacher`` [B, H, N, O] is the truth it is fed with, NaN where there is none.
    """
    x = with_clock(x, clock)
    powers = [np.eye(len(walks[0]))]
    powers += [np.linalg.matrix_power(walk, k) for walk in walks for k in range(1, order + 1)]
    truth = [None] * len(x) if teacher is None else list(teacher)
    return np.stack([_one(x[b], powers, weights, horizon, layers, truth[b]) for b in range(len(x))])


def _one(
    x: np.ndarray, powers: list[np.ndarray], weights: Weights, horizon: int, layers: int, truth: np.ndarray | None
) -> np.ndarray:
    nodes = x.shape[1]
    hidden = weights["projection.weight"].shape[1]
    states = [np.zeros((nodes, hidden)) for _ in range(layers)]
    for step in x:
        for layer in range(layers):
            states[layer] = _cell(step, states[layer], powers, weights, f"encoder.{layer}")
            step = states[layer]
    y = np.zeros((nodes, len(weights["projection.bias"])))
    said = []
    for ahead in range(horizon):
        step = y
        for layer in range(layers):
            states[layer] = _cell(step, states[layer], powers, weights, f"decoder.{layer}")
            step = states[layer]
        y = step @ weights["projection.weight"].T + weights["projection.bias"]
        said.append(y)
        y = y if truth is None else np.where(np.isnan(truth[ahead]), y, truth[ahead])
    return np.stack(said)


def _cell(x: np.ndarray, h: np.ndarray, powers: list[np.ndarray], weights: Weights, name: str) -> np.ndarray:
    hidden = h.shape[1]

    def diffuse(v: np.ndarray) -> np.ndarray:
        return np.concatenate([power @ v for power in powers], axis=1)

    heard = diffuse(x) @ weights[f"{name}.input.weight"].T + weights[f"{name}.input.bias"]
    gates = heard[:, : 2 * hidden] + diffuse(h) @ weights[f"{name}.gates.weight"].T
    gates = 1 / (1 + np.exp(-gates))
    r, u = gates[:, :hidden], gates[:, hidden:]
    c = np.tanh(heard[:, 2 * hidden :] + diffuse(r * h) @ weights[f"{name}.candidate.weight"].T)
    return u * h + (1 - u) * c
