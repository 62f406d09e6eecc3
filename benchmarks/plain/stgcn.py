"""STGCN in [B, C, T, N] with convolutions, zero channels put behind, a Chebyshev stack by einsum."""

from __future__ import annotations

import torch
from benchmarks.plain.layers import convolution_1x1
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.backbones import stgcn


class STGCN(nn.Module):
    """x [B, T, N, C] with its calendar channels -> y [B, H, N, O]; a look-back of nine steps or more."""

    def __init__(self, fast: stgcn.STGCN):
        super().__init__()
        self.horizon, self.targets = fast.horizon, fast.targets
        gso = fast.laplacian.tensor().to_dense()
        self.before = nn.ModuleList(_Gated(block.before) for block in fast.blocks)
        self.graph = nn.ModuleList(_Graph(block.graph, gso) for block in fast.blocks)
        self.after = nn.ModuleList(_Gated(block.after) for block in fast.blocks)
        self.norms = nn.ModuleList(_norm(block.norm) for block in fast.blocks)
        self.dropout = nn.Dropout(fast.blocks[0].dropout.p)
        self.last, self.last_norm = _Gated(fast.output), _norm(fast.norm)
        self.fc1, self.fc2 = fast.fc1, fast.fc2

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2).contiguous()  # [B, C, T, N]
        for before, graph, after, norm in zip(self.before, self.graph, self.after, self.norms, strict=True):
            x = F.relu(graph(before(x)))
            x = after(x)
            x = self.dropout(norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        x = self.last_norm(self.last(x).permute(0, 2, 3, 1))  # [B, 1, N, C]
        y = self.fc2(F.relu(self.fc1(x)))[:, 0]  # [B, N, H * O]
        return y.unflatten(-1, (self.horizon, self.targets)).transpose(1, 2)


class _Gated(nn.Module):
    def __init__(self, fast: nn.Module):
        super().__init__()
        weight, kernel = fast.linear.weight.detach(), fast.kernel
        channels = weight.shape[1] // kernel
        self.width, self.kernel, self.channels = len(weight) // 2, kernel, channels
        self.convolution = nn.Conv2d(channels, len(weight), (kernel, 1))
        self.convolution.weight.data = (
            weight.unflatten(1, (kernel, channels)).transpose(1, 2).unsqueeze(-1).contiguous()
        )
        self.convolution.bias.data = fast.linear.bias.detach().clone()
        self.align = convolution_1x1(fast.align) if channels > self.width else None

    def forward(self, x: Tensor) -> Tensor:
        if self.align is not None:
            aligned = self.align(x)
        elif self.channels < self.width:
            batch, channels, steps, nodes = x.shape
            behind = torch.zeros(batch, self.width - channels, steps, nodes).to(x)
            aligned = torch.cat([x, behind], dim=1)
        else:
            aligned = x
        aligned = aligned[:, :, self.kernel - 1 :]
        both = self.convolution(x)
        p, q = both[:, : self.width], both[:, -self.width :]
        return (p + aligned) * torch.sigmoid(q)


class _Graph(nn.Module):
    def __init__(self, fast: nn.Module, gso: Tensor):
        super().__init__()
        self.gso = gso
        self.align = convolution_1x1(fast.align)
        width = fast.linear.out_features
        self.weight = nn.Parameter(fast.linear.weight.detach().unflatten(1, (3, width)).permute(1, 2, 0).contiguous())
        self.bias = nn.Parameter(fast.linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        x = self.align(x)
        z = x.permute(0, 2, 3, 1)  # [B, T, N, C]
        terms = [z, torch.einsum("hi,btij->bthj", self.gso, z)]
        terms.append(torch.einsum("hi,btij->bthj", 2 * self.gso, terms[-1]) - terms[-2])
        stacked = torch.stack(terms, dim=2)
        out = torch.einsum("btkhi,kij->bthj", stacked, self.weight) + self.bias
        return out.permute(0, 3, 1, 2) + x


def _norm(fast: nn.Module) -> nn.LayerNorm:
    norm = nn.LayerNorm(list(fast.weight.shape), eps=fast.eps).to(fast.weight.dtype)
    norm.load_state_dict(fast.state_dict())
    return norm
