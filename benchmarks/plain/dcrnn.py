"""DCRNN with a sparse product for each power of each support in every cell of every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.backbones import dcrnn


class DCRNN(nn.Module):
    """x [B, T, N, C] with its calendar channels -> y [B, H, N, O], fed with its own forecasts."""

    def __init__(self, fast: dcrnn.DCRNN):
        super().__init__()
        self.horizon, self.targets, self.hidden = fast.horizon, fast.targets, fast.hidden
        walks = [walk.tensor().to_dense().to_sparse_coo() for walk in fast.walks]  # [N, N] each
        self.encoder = nn.ModuleList(_Cell(cell, walks) for cell in fast.encoder)
        self.decoder = nn.ModuleList(_Cell(cell, walks) for cell in fast.decoder)
        self.projection = fast.projection

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, nodes, _ = x.shape
        states = [torch.zeros(batch, nodes, self.hidden).to(x.device, x.dtype) for _ in self.encoder]
        for t in range(steps):
            said = x[:, t]
            for layer, cell in enumerate(self.encoder):
                said = states[layer] = cell(said, states[layer])
        y = torch.zeros(batch, nodes, self.targets).to(x.device, x.dtype)
        forecast = []
        for _ in range(self.horizon):
            said = y
            for layer, cell in enumerate(self.decoder):
                said = states[layer] = cell(said, states[layer])
            y = self.projection(said)
            forecast.append(y)
        return torch.stack(forecast, dim=1)


class _Cell(nn.Module):
    def __init__(self, fast: nn.Module, walks: list[Tensor]):
        super().__init__()
        self.walks, self.order = walks, fast.order
        hidden = fast.candidate.out_features
        self.hidden = hidden
        terms = 1 + self.order * len(walks)
        of_input, of_state = fast.input.weight.detach().unflatten(1, (terms, -1)), {}
        for name in ("gates", "candidate"):
            of_state[name] = getattr(fast, name).weight.detach().unflatten(1, (terms, -1))
        bias = fast.input.bias.detach()
        self.gates = _linear(torch.cat([of_input[: 2 * hidden], of_state["gates"]], dim=2), bias[: 2 * hidden])
        self.candidate = _linear(torch.cat([of_input[2 * hidden :], of_state["candidate"]], dim=2), bias[2 * hidden :])

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        r, u = torch.split(torch.sigmoid(self._convolve(x, h, self.gates)), self.hidden, dim=-1)
        c = torch.tanh(self._convolve(x, r * h, self.candidate))
        return u * h + (1.0 - u) * c

    def _convolve(self, x: Tensor, h: Tensor, linear: nn.Linear) -> Tensor:
        x0 = torch.cat([x, h], dim=2)  # [B, N, C]
        batch, nodes, size = x0.shape
        x0 = x0.permute(1, 2, 0).reshape(nodes, size * batch)
        terms = [x0]
        for walk in self.walks:
            term = x0
            for _ in range(self.order):
                term = torch.sparse.mm(walk, term)
                terms.append(term)
        z = torch.stack(terms, dim=0).reshape(len(terms), nodes, size, batch)
        z = z.permute(3, 1, 0, 2).reshape(batch * nodes, len(terms) * size)
        return linear(z).reshape(batch, nodes, -1)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """From weights [D, terms, C]."""
    linear = nn.Linear(weight.shape[1] * weight.shape[2], len(weight))
    linear.weight.data, linear.bias.data = weight.flatten(1).clone(), bias.clone()
    return linear
