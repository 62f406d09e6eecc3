"""AGCRN with graph and node weights made anew in every convolution of every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.backbones import agcrn


class AGCRN(nn.Module):
    """x [B, T, N, C] with its calendar channels -> y [B, H, N, O]; order 2."""

    def __init__(self, fast: agcrn.AGCRN):
        super().__init__()
        self.horizon, self.targets, self.width = fast.horizon, fast.targets, fast.width
        self.embedding = nn.Parameter(fast.embedding.detach().clone())
        self.gates = nn.ModuleList(_Convolution(cell.gate_pool, cell.gate_bias) for cell in fast.cells)
        self.candidates = nn.ModuleList(_Convolution(cell.candidate_pool, cell.candidate_bias) for cell in fast.cells)
        self.output = nn.Conv2d(1, self.horizon * self.targets, kernel_size=(1, self.width))
        self.output.weight.data = fast.output.weight.detach()[:, None, None].clone()
        self.output.bias.data = fast.output.bias.detach().clone()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        for gate, candidate in zip(self.gates, self.candidates, strict=True):
            h = torch.zeros(x.shape[0], x.shape[2], self.width).to(x.device, x.dtype)
            states = []
            for t in range(x.shape[1]):
                both = torch.cat((x[:, t], h), dim=-1)
                z, r = torch.split(torch.sigmoid(gate(both, self.embedding)), self.width, dim=-1)
                c = torch.tanh(candidate(torch.cat((x[:, t], z * h), dim=-1), self.embedding))
                h = r * h + (1 - r) * c
                states.append(h)
            x = torch.stack(states, dim=1)
        y = self.output(x[:, -1:])  # [B, H * O, N, 1]
        return y.squeeze(-1).reshape(len(y), self.horizon, self.targets, -1).permute(0, 1, 3, 2)


class _Convolution(nn.Module):
    def __init__(self, pool: Tensor, bias: Tensor):
        super().__init__()
        self.pool, self.bias = nn.Parameter(pool.detach().clone()), nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        support = F.softmax(F.relu(torch.mm(embedding, embedding.transpose(0, 1))), dim=1)
        supports = torch.stack([torch.eye(len(embedding)).to(support.device, support.dtype), support], dim=0)
        weights = torch.einsum("nd,dkio->nkio", embedding, self.pool)
        bias = torch.matmul(embedding, self.bias)
        x_g = torch.einsum("knm,bmc->bknc", supports, x).permute(0, 2, 1, 3)
        return torch.einsum("bnki,nkio->bno", x_g, weights) + bias
