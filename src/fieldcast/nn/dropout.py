"""Dropout that draws its bits cheaply on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """In training y = m x / (1 - p), each m zero with probability p and one otherwise; else y = x.

    On a CPU four numbers share one draw of 64 bits, and the mask is kept in a byte each, not in a float. p is then the
    nearest multiple of 2^-16 between 2^-16 and 1 - 2^-16, and the scale is that of the multiple, so that the mean stays
    x. Compiled, exported and on GPUs it is torch's own, which ``torch.func.vmap`` needs too.
    Shapes: x [..] -> [..]. Source: Srivastava et al., JMLR 15, 2014.
    """

    def __init__(self, p: float = 0.5):
        super().__init__(p)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not 0 < self.p < 1 or input.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(input)
        dropped = min(max(round(self.p * 2**16), 1), 2**16 - 1)  # of 2^16
        bits = torch.empty((input.numel() + 3) // 4, dtype=torch.int64, device=input.device).random_(-(2**63), None)
        drawn = bits.view(torch.int16)[: input.numel()].view(input.shape)  # uniform from -2^15 up
        return (input * (drawn >= dropped - 2**15)).mul_(2**16 / (2**16 - dropped))
