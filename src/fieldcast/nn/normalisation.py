"""Normalisation over nodes and channels together."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class NodeLayerNorm(nn.Module):
    """z = (x - mean) / sqrt(var + eps) * weight + bias, mean and variance over all nodes and channels of a step.

    Shapes: x [.., N, C] -> [.., N, C]; weight and bias [N, C], one pair for each node and channel, so a model with it
    knows its nodes. Ba et al., 2016, arXiv:1607.06450, as STGCN uses it.
    """

    def __init__(self, nodes: int, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(nodes, channels))
        self.bias = nn.Parameter(torch.zeros(nodes, channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, list(self.weight.shape), self.weight, self.bias, self.eps)  # [.., N, C]
