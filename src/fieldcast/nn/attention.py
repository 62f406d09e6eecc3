"""Transformer layers whose attention runs over steps or over nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.nn.dropout import Dropout
from fieldcast.nn.linear import Linear

_SHORT = 16
"""Steps up to which, on a CPU and without gradients, two products are faster than the fused kernel."""


class Attention(nn.Module):
    """softmax(q k' / sqrt(d)) v, each head by itself; in training ``dropout`` of the weights are zero.

    Shapes: q [.., heads, Q, d], k and v [.., heads, L, d] -> [.., heads, Q, d].
    Source: Vaswani et al., 2017, arXiv:1706.03762, equation 1.
    """

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        shape, size = q.shape, q.shape[-1]
        q, k, v = (each.flatten(0, -4) for each in (q, k, v))  # [rest, heads, L, d]: what the fused kernels take
        if lacking := self.padding(q):
            q, k, v = (F.pad(each, (0, lacking)) for each in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        if q.device.type == "cpu" and k.shape[-2] <= _SHORT and not torch.is_grad_enabled() and not dropout:
            # Head by head, for a product of strided matrices needs no copy of them, and one of two batch axes does.
            attended = q.new_empty(q.shape[0], q.shape[2], q.shape[1], size).transpose(1, 2)  # [rest, heads, Q, d]
            nothing = q.new_zeros(())
            for head in range(q.shape[1]):
                keys = k[:, head].transpose(1, 2)  # [rest, d, L]
                # The scale within the product saves a pass over q.
                scores = torch.baddbmm(nothing, q[:, head], keys, beta=0, alpha=size**-0.5)  # [rest, Q, L]
                attended[:, head] = scores.softmax(dim=-1) @ v[:, head]  # [rest, Q, d]
            return attended.reshape(shape)  # [.., heads, Q, d]
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=size**-0.5)
        return attended[..., :size].reshape(shape)  # [.., heads, Q, d]

    @staticmethod
    def padding(q: Tensor) -> int:
        """Channels of zeros that a head is given: the fused kernels of a GPU take eights."""
        return -q.shape[-1] % 8 if q.is_cuda else 0


class NodeAttention(Attention):
    """Attention over the node axis."""


class EncoderLayer(nn.Module):
    """z = norm(x + dropout(W_o attend(x))) ; norm(z + dropout(W_2 relu(W_1 z))), attention over the last but one axis.

    Queries, keys and values come from one product, and biases are used throughout; attention weights have no dropout.
    ``over_nodes`` says that the axis is that of the nodes. ``qkv`` is W_qkv x + b where the caller has it for less.
    Shapes: x [.., L, D], qkv [.., L, 3 D] -> [.., L, D].
    Source: Vaswani et al., 2017, arXiv:1706.03762, with the norm behind the sum.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, *, over_nodes: bool):
        super().__init__()
        self.heads = heads
        self.attention = NodeAttention() if over_nodes else Attention()
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.first = Linear(width, hidden)
        self.second = Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, qkv: Tensor | None = None) -> Tensor:
        rows = x.flatten(0, -2)  # [rows, D]: relu_ below is so on no view, whose gradients would be copied
        joined: Tensor = self.qkv(rows).unflatten(0, x.shape[:-1]) if qkv is None else qkv  # [.., L, 3 D]
        split = (each.unflatten(-1, (self.heads, -1)).transpose(-3, -2) for each in joined.chunk(3, dim=-1))
        q, k, v = split  # [.., heads, L, d] each
        attended = self.attention(q, k, v).transpose(-3, -2).flatten(-2).flatten(0, -2)  # [rows, D]
        # In place, as a pass over fresh memory costs as much as a small product: what a hook on ``first`` (and without
        # gradients on ``out`` and ``second``) keeps is overwritten, and ``first`` takes no full backward hook.
        z = self.norm1(_plus(self.dropout(self.out(attended)), rows))  # [rows, D]
        return self.norm2(_plus(self.dropout(self.second(self.first(z).relu_())), z)).view_as(x)  # [.., L, D]


def _plus(change: Tensor, x: Tensor) -> Tensor:
    """change + x, without gradients in the memory of ``change``; in mixed precision the sum is of the wider type."""
    return change + x if torch.is_grad_enabled() or change.dtype != x.dtype else change.add_(x)
