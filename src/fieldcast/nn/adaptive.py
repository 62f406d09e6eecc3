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
        with torch.autocast(first.device.type, enabled=False):  # half precision loses what tells links apart
            return self.softmax((first @ second.T).relu())  # [N, N]


class StrongestLinks(nn.Module):
    """The ``keep`` strongest links of each node, A = softmax over them of relu(E_1 E_2'): N x keep numbers, not N x N.

    Which links are kept is looked up block by block without a gradient; their weights have one. With ``keep`` = N it
    is :class:`AdaptiveAdjacency`.
    Shapes: E_1, E_2 [N, d] -> positions int64 [N, keep] and weights [N, keep].
    Cost: N^2 d operations, N * keep memory.
    """

    def __init__(self, keep: int, block: int = 1024):
        super().__init__()
        self.keep, self.block = keep, block

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        keep = min(self.keep, len(second))
        with torch.no_grad(), torch.autocast(first.device.type, enabled=False):
            blocks = [(rows @ second.T).topk(keep, dim=-1).indices for rows in first.split(self.block)]
        positions = torch.cat(blocks)  # [N, keep]
        scores = torch.einsum("nd,nkd->nk", first, second[positions]).relu()  # [N, keep]
        return positions, scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))


def send(positions: Tensor, weights: Tensor, x: Tensor, dim: int = -2) -> Tensor:
    """Each node sends along its links: y_j = sum over links i -> j of A_ij x_i, that is A' x.

    Shapes: positions and weights [N, keep], x [.., N, ..] with N at ``dim`` -> the same shape as x.
    """
    behind = (1,) * (x.ndim - 1 - dim % x.ndim)
    y = torch.zeros_like(x)
    for place, weight in zip(positions.unbind(1), weights.to(x.dtype).unbind(1), strict=True):
        y = y.index_add(dim, place, x * weight.view(-1, *behind))
    return y
