"""The node-shared LSTM written from its equations, one node at a time, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.reference.stid import clock


def lstm(
    weights: Mapping[str, np.ndarray], x: np.ndarray, calendar: np.ndarray, sizes: tuple[int, ...], horizon: int,
    calendar_inputs: bool = True,
) -> np.ndarray:  # fmt: skip
    """x [B, T, N, C], calendar [B, T+H, 3] -> y [B, H, N, O].

    i = s(W_ii v + b_ii + W_hi h + b_hi), f and o alike, g with tanh; c' = f c + i g; h' = o tanh(c').
    """
    batch, lookback, nodes, _ = x.shape
    layers = 1 + max(int(name[-1]) for name in weights if name.startswith("lstm.weight_hh_l"))
    forecasts = []
    for b in range(batch):
        for n in range(nodes):
            series = x[b, :, n].astype(np.float64)
            if calendar_inputs:
                series = np.concatenate([series, clock(calendar[b, :lookback, :2], sizes)], axis=1)
            sequence = [weights["start.weight"] @ step + weights["start.bias"] for step in series]
            for layer in range(layers):
                part = {
                    key: weights[f"lstm.{key}_l{layer}"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                }
                width = part["weight_hh"].shape[1]
                h, c = np.zeros(width), np.zeros(width)
                states = []
                for v in sequence:
                    gates = part["weight_ih"] @ v + part["bias_ih"] + part["weight_hh"] @ h + part["bias_hh"]
                    i, f, g, o = gates.reshape(4, width)
                    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
                    h = _sigmoid(o) * np.tanh(c)
                    states.append(h)
                sequence = states
            hidden = np.maximum(weights["end1.weight"] @ sequence[-1] + weights["end1.bias"], 0)
            forecasts.append((weights["end2.weight"] @ hidden + weights["end2.bias"]).reshape(horizon, -1))
    return np.stack(forecasts).reshape(batch, nodes, horizon, -1).transpose(0, 2, 1, 3)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))
