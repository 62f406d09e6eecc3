"""GCN-GRU from its equations, one sample and one node at a time, in float64."""

from __future__ import annotations

import numpy as np


def gcn_gru(
    x: np.ndarray, walks: list[np.ndarray], weights: dict[str, np.ndarray], width: int, horizon: int
) -> np.ndarray:
    """x [B, T, N, C] with its calendar channels, random walks [N, N] each -> y [B, H, N, O]."""

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    def around(v: np.ndarray, node: int) -> np.ndarray:
        return np.concatenate([v[node], *(sum(walk[node, j] * v[j] for j in range(len(v))) for walk in walks)])

    results = []
    for series in x:
        nodes = series.shape[1]
        h = np.zeros((nodes, width))
        for step in series:
            both = np.concatenate([step, h], axis=1)
            gates = [sigmoid(weights["gates.weight"] @ around(both, i) + weights["gates.bias"]) for i in range(nodes)]
            r, u = np.stack([g[:width] for g in gates]), np.stack([g[width:] for g in gates])
            reset = np.concatenate([step, r * h], axis=1)
            c = np.stack([
                np.tanh(weights["candidate.weight"] @ around(reset, i) + weights["candidate.bias"])
                for i in range(nodes)
            ])  # fmt: skip
            h = u * h + (1 - u) * c
        y = h @ weights["output.weight"].T + weights["output.bias"]
        results.append(y.reshape(nodes, horizon, -1).transpose(1, 0, 2))
    return np.stack(results)
