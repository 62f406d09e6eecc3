"""Graph WaveNet from its equations, one sample, one step and one node at a time, in float64."""

from __future__ import annotations

import numpy as np

from tests.reference.parts import Weights, with_clock


def graph_wavenet(
    x: np.ndarray, clock: np.ndarray | None, walks: list[np.ndarray], weights: Weights, horizon: int, blocks: int
) -> np.ndarray:
    """x [B, T, N, C], calendar channels [B, T, 2] or None, P(A) and P(A') [N, N] -> y [B, H, N, O]; eval mode."""
    x = with_clock(x, clock)
    graphs = list(walks)
    if "source" in weights:
        scores = np.maximum(weights["source"] @ weights["target"].T, 0)
        graphs.append(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))
    return np.stack([_one(sample, graphs, weights, horizon, blocks) for sample in x])


def _one(x: np.ndarray, graphs: list[np.ndarray], weights: Weights, horizon: int, blocks: int) -> np.ndarray:
    reach = 3 * blocks + 1
    x = np.concatenate([np.zeros((max(0, reach - len(x)), *x.shape[1:])), x])
    x = x @ weights["start.weight"].T + weights["start.bias"]  # [steps, N, width]
    nodes, width = x.shape[1:]
    skip = np.zeros((nodes, len(weights["layers.0.skip.bias"])))
    for layer in range(2 * blocks):
        dilation, name = 1 + layer % 2, f"layers.{layer}"
        gated = np.zeros((len(x) - dilation, nodes, width))
        for t in range(len(gated)):
            for i in range(nodes):
                pair = np.concatenate([x[t, i], x[t + dilation, i]])
                both = weights[f"{name}.gate.weight"] @ pair + weights[f"{name}.gate.bias"]
                gated[t, i] = np.tanh(both[:width]) / (1 + np.exp(-both[width:]))
        skip = skip + gated[-1] @ weights[f"{name}.skip.weight"].T + weights[f"{name}.skip.bias"]
        if layer == 2 * blocks - 1:
            break
        out = np.zeros_like(gated)
        for t in range(len(gated)):
            terms = [gated[t]]
            for graph in graphs:  # (A g)_w = sum_v A[v, w] g_v
                terms += [graph.T @ gated[t], graph.T @ (graph.T @ gated[t])]
            mixed = np.concatenate(terms, axis=1) @ weights[f"{name}.diffusion.weight"].T
            out[t] = mixed + weights[f"{name}.diffusion.bias"] + x[t + dilation]
        scale = np.sqrt(weights[f"{name}.norm.running_var"] + 1e-5)
        x = (out - weights[f"{name}.norm.running_mean"]) / scale
        x = x * weights[f"{name}.norm.weight"] + weights[f"{name}.norm.bias"]
    h = np.maximum(skip, 0)
    hidden = np.maximum(h @ weights["end1.weight"].T + weights["end1.bias"], 0)
    y = hidden @ weights["end2.weight"].T + weights["end2.bias"]  # [N, H * O]
    return y.reshape(nodes, horizon, -1).transpose(1, 0, 2)
