"""Graphs that are learned: who listens to whom."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NodeSoftmax(nn.Module):
    """Scores between nodes as weights: A_ij = exp(s_ij) / sum_k exp(s_ik), every row a distribution over all nodes.

    Shapes: [.., N, N] -> [.., N, N], in float32 at least.
    """

    def forward(self, scores: Tensor) -> Tensor:
        return scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))  # [.., N, N]


class AdaptiveAdjacency(nn.Module):
    """A = softmax over columns of relu(E_1 E_2'), from two learned vectors a node.

    Shapes: E_1, E_2 [N, d] -> [N, N]. Cost: N^2. Wu et al., IJCAI 2019, arXiv:1906.00121, equation 5; with E_1 = E_2
    Bai et al., NeurIPS 2020, arXiv:2007.02842, equation 5.
    """

    def __init__(self) -> None:
        super().__init__()
        self.softmax = NodeSoftmax()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.softmax((first @ second.T).relu())  # [N, N]
