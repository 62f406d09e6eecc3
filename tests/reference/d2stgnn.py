"""D2STGNN from its equations, one sample, one node and one step at a time, in float64; eval mode."""

from __future__ import annotations

import numpy as np

from tests.reference.parts import Weights, attention, layer_norm, linear


def d2stgnn(
    x: np.ndarray, calendar: np.ndarray, walks: list[np.ndarray], weights: Weights, horizon: int, layers: int,
    heads: int, gap: int,
) -> np.ndarray:  # fmt: skip
    """x [B, T, N, C], calendar ids [B, T + H, 3], the walks P(A) and P(A') [N, N] -> y [B, H, N, O]."""
    return np.stack([_one(x[b], calendar[b], walks, weights, horizon, layers, heads, gap) for b in range(len(x))])


def _one(
    x: np.ndarray, calendar: np.ndarray, walks: list[np.ndarray], weights: Weights, horizon: int, layers: int,
    heads: int, gap: int,
) -> np.ndarray:  # fmt: skip
    steps, nodes, _ = x.shape
    slot = _vectors(weights["slot_embedding.weight"], calendar[:steps, 0])
    day = _vectors(weights["day_embedding.weight"], calendar[:steps, 1])
    source, target = weights["source"], weights["target"]
    scores = np.exp(np.maximum(source @ target.T, 0))
    static = scores / scores.sum(axis=1, keepdims=True)
    f = np.stack([_feature(x[:, i].ravel(), weights) for i in range(nodes)])
    clock = np.tile(np.concatenate([slot[-1], day[-1]]), (nodes, 1))
    graphs = []
    for own, walk in ((target, walks[0]), (source, walks[1])):
        z = np.concatenate([f, clock, own], axis=1)
        q, k = z @ weights["graphs.query.weight"].T, z @ weights["graphs.key.weight"].T
        scores = np.exp(q @ k.T / np.sqrt(q.shape[1]))
        graph = scores / scores.sum(axis=1, keepdims=True) * (walk.T + 1e-7)
        graphs.append(graph / graph.sum(axis=1, keepdims=True))
    powers = []
    for graph in (*graphs, static):
        for power in (graph, graph @ graph):
            powers.append(power - np.diag(np.diag(power)))
    missing = max(0, 2 * layers + 2 - steps)
    x = np.concatenate([np.zeros((missing, *x.shape[1:])), x])
    slot, day = (np.concatenate([np.zeros((missing, each.shape[1])), each]) for each in (slot, day))
    signal = x @ weights["start.weight"].T + weights["start.bias"]  # [L, N, hidden]
    positions = -(-horizon // gap)
    total = np.zeros(())
    for layer in range(layers):
        name = f"layers.{layer}"
        clock = np.concatenate([slot, day], axis=1)[-len(signal) :]
        signal, said = _layer(signal, clock, source, target, powers, weights, name, heads, positions)
        total = total + said  # [P, N, f]
    hidden = np.maximum(total, 0)
    hidden = np.maximum(hidden @ weights["end1.weight"].T + weights["end1.bias"], 0)
    y = hidden @ weights["end2.weight"].T + weights["end2.bias"]  # [P, N, gap * O]
    y = y.transpose(1, 0, 2).reshape(nodes, positions * gap, -1)[:, :horizon]
    return y.transpose(1, 0, 2)


def _layer(
    signal: np.ndarray, clock: np.ndarray, source: np.ndarray, target: np.ndarray, graphs: list[np.ndarray],
    weights: Weights, name: str, heads: int, positions: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    gated = np.zeros_like(signal)
    for t in range(len(signal)):
        for i in range(signal.shape[1]):
            inner = linear(np.concatenate([clock[t], source[i], target[i]]), weights, f"{name}.gate1")
            gate = 1 / (1 + np.exp(-linear(np.maximum(inner, 0), weights, f"{name}.gate2")))
            gated[t, i] = gate * signal[t, i]
    diffused = np.stack([_diffuse(gated[t - 2 : t + 1], graphs, weights, name) for t in range(2, len(gated))])
    said = [diffused[-1]]
    while len(said) < positions:  # the last three of what was read and of what was said since
        window = np.stack([*gated, *said][-3:])
        said.append(_diffuse(window, graphs, weights, name))
    forecast = linear(np.stack(said), weights, f"{name}.diffusion_forecast")
    rest = signal[2:] - np.maximum(linear(diffused, weights, f"{name}.diffusion_back"), 0)
    rest = layer_norm(rest, weights, f"{name}.diffusion_norm")
    own, inherent = np.zeros_like(rest), []
    for i in range(rest.shape[1]):
        own[:, i], later = _inherent(rest[:, i], weights, f"{name}.inherent", heads, positions)
        inherent.append(later)
    forecast = forecast + linear(np.stack(inherent, axis=1), weights, f"{name}.inherent_forecast")
    if f"{name}.inherent_back.weight" in weights:
        rest = rest - np.maximum(linear(own, weights, f"{name}.inherent_back"), 0)
        rest = layer_norm(rest, weights, f"{name}.inherent_norm")
    return rest, forecast


def _diffuse(window: np.ndarray, graphs: list[np.ndarray], weights: Weights, name: str) -> np.ndarray:
    """Three steps [3, N, hidden] -> one [N, hidden]."""
    nodes, hidden = window.shape[1:]
    s = np.zeros((nodes, hidden))
    for i in range(nodes):
        v = np.maximum(weights[f"{name}.diffusion.window.weight"] @ window[:, i].ravel(), 0)
        s[i] = v[:hidden] + v[hidden : 2 * hidden] + v[2 * hidden :]
    terms = [s / 3, *(graph @ s for graph in graphs)]
    return linear(np.concatenate(terms, axis=1), weights, f"{name}.diffusion.mix")


def _inherent(x: np.ndarray, weights: Weights, name: str, heads: int, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """One node's steps [L, hidden] -> attention over its states [L, hidden] and its forecast [P, hidden]."""
    h, states = np.zeros(x.shape[1]), []
    for step in x:
        h = _gru(step, h, weights, name)
        states.append(h)
    states = np.stack(states) + _waves(len(states), x.shape[1])
    own = attention(states, states, weights, name, heads)
    forecast = [own[-1]]
    while len(forecast) < positions:
        state = _gru(forecast[-1], states[-1], weights, name)
        states = np.concatenate([states, state[None]])
        states = states + _waves(len(states), x.shape[1])
        forecast.append(attention(state[None], states, weights, name, heads)[0])
    return own, np.stack(forecast)


def _gru(x: np.ndarray, h: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    i = weights[f"{name}.gru.weight_ih_l0"] @ x + weights[f"{name}.gru.bias_ih_l0"]
    s = weights[f"{name}.gru.weight_hh_l0"] @ h + weights[f"{name}.gru.bias_hh_l0"]
    (ir, iz, ic), (sr, sz, sc) = np.split(i, 3), np.split(s, 3)
    r, z = 1 / (1 + np.exp(-(ir + sr))), 1 / (1 + np.exp(-(iz + sz)))
    return (1 - z) * np.tanh(ic + r * sc) + z * h


def _waves(steps: int, hidden: int) -> np.ndarray:
    waves = np.zeros((steps, hidden))
    for t in range(steps):
        for k in range(0, hidden, 2):
            waves[t, k : k + 2] = np.sin(t / 1e4 ** (k / hidden)), np.cos(t / 1e4 ** (k / hidden))
    return waves


def _feature(x: np.ndarray, weights: Weights) -> np.ndarray:
    hidden = np.maximum(linear(x, weights, "graphs.first"), 0)
    name = "graphs.norm"
    scaled = (hidden - weights[f"{name}.running_mean"]) / np.sqrt(weights[f"{name}.running_var"] + 1e-5)
    return linear(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"], weights, "graphs.second")


def _vectors(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.stack([table[i] if i >= 0 else np.zeros(table.shape[1]) for i in ids])
