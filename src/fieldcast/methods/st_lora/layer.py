"""The node-adaptive low-rank layer, in five forms that differ in what each node has of its own."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.nn.dropout import Dropout

NodeMode = Literal["code", "pool", "full_A", "full_AB", "shared"]


class NodeAdaptiveLowRank(nn.Module):
    r"""A low-rank map of its own for each node, DeltaW_i u = (alpha / r) B_i A_i dropout(u), zero at the start.

    What A_i and B_i are, e_i being the code of node i:

    - ``code``: B_i = B, A_i = diag(e_i) A;
    - ``pool``: B_i = B, A_i = sum_j e_ij P_j / sqrt(r), P [r, r, d_in];
    - ``full_A``: B_i = B, A_i free; ``full_AB``: both free;
    - ``shared``: A_i = A, B_i = B, plain LoRA.

    A starts by Kaiming's uniform draw, bound 1 / sqrt(d_in), B at zero. Codes are kept by whoever owns the layers, for
    all of them share one table.

    Shapes: u [B, N, .., d_in], codes [N, r] or None -> [B, N, .., d_out].
    Source: ST-LoRA, arXiv:2404.07919, equation 2, read with A in R^(N x r) as codes of the nodes; LoRA: Hu et al., ICLR
    2022, arXiv:2106.09685.
    """

    def __init__(
        self, inputs: int, outputs: int, nodes: int, rank: int, alpha: float = 16.0, dropout: float = 0.0,
        mode: NodeMode = "code",
    ):  # fmt: skip
        super().__init__()
        self.rank, self.mode, self.scale = rank, mode, alpha / rank
        own = (nodes,) if mode in ("full_A", "full_AB") else (rank,) if mode == "pool" else ()
        own_B = (nodes,) if mode == "full_AB" else ()
        bound = 1 / math.sqrt(inputs)
        self.lora_A = nn.Parameter(torch.empty(*own, rank, inputs).uniform_(-bound, bound))  # [.., r, d_in]
        self.lora_B = nn.Parameter(torch.zeros(*own_B, outputs, rank))  # [.., d_out, r]
        self.dropout = Dropout(dropout)

    def node_axes(self) -> dict[str, tuple[int, ...]]:
        """Node axes of its tensors, by name."""
        names = {"full_A": ("lora_A",), "full_AB": ("lora_A", "lora_B")}.get(self.mode, ())
        return dict.fromkeys(names, (0,))

    def forward(self, u: Tensor, codes: Tensor | None, bias: Tensor | None = None) -> Tensor:
        """DeltaW_i u, and ``bias`` [d_out] where one is to be added, which costs less here than after it."""
        u = self.dropout(u)  # [B, N, .., d_in]
        if self.mode in ("code", "shared"):
            low = u @ self.lora_A.T  # [B, N, .., r]
            if codes is not None:
                low = low * codes.view(len(codes), *(1,) * (u.dim() - 3), -1)  # [B, N, .., r]
        else:
            low = torch.einsum("bn...d,nrd->bn...r", u, self._own_A(codes))  # [B, N, .., r]
        if self.mode == "full_AB":
            found = self.scale * torch.einsum("bn...r,ndr->bn...d", low, self.lora_B)  # [B, N, .., d_out]
            return found if bias is None else found + bias
        return F.linear(low, self.scale * self.lora_B, bias)  # [B, N, .., d_out]

    def _own_A(self, codes: Tensor | None) -> Tensor:
        """A_i of each node, [N, r, d_in]."""
        if self.mode == "pool":
            assert codes is not None
            return torch.einsum("nq,qrd->nrd", codes, self.lora_A) / math.sqrt(self.rank)
        return self.lora_A if codes is None else codes.unsqueeze(2) * self.lora_A

    def delta(self, codes: Tensor | None) -> Tensor:
        """DeltaW_i itself, as a matrix: [N, d_out, d_in], or [d_out, d_in] where the nodes share it."""
        own = self.lora_A if self.mode == "shared" else self._own_A(codes)  # [.., r, d_in]
        return self.scale * (self.lora_B @ own)  # [.., d_out, d_in]
