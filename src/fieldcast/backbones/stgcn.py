"""STGCN: gated convolutions over time and Chebyshev convolutions over the graph."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.module import Recipe
from fieldcast.core.spec import Spec
from fieldcast.nn.calendar import with_clock
from fieldcast.nn.dropout import Dropout
from fieldcast.nn.graph import Support, chebyshev_terms
from fieldcast.nn.normalisation import NodeLayerNorm

_KERNEL = 3  # steps of a temporal convolution, Kt
_ORDER = 3  # Chebyshev terms of a graph convolution, Ks
_SHORTEST = 4 * (_KERNEL - 1) + 1  # look-back that four valid convolutions leave one step of


class STGCN(Backbone):
    """Two blocks of gated temporal, graph and gated temporal convolution, then one over all steps that are left.

    Gated temporal convolution (kernel 3, valid): (P + x) * sigmoid(Q), [P | Q] = conv(x), x cut to the last steps and
    padded with zero channels where P is wider. Graph convolution on 16 channels, u = W_a x:
    relu(sum_{k<3} T_k(M) u W_k + b + u), M the scaled Laplacian, T_0 = I, T_1 = M, T_2 = 2 M^2 - I.
    Block: T(-> 64), G(-> 16), T(-> 64), layer norm over nodes and channels, dropout. Output: T(-> 128, kernel T - 8),
    layer norm, linear 128 -> 128, relu, linear -> H * O.

    A look-back shorter than nine steps is padded on the left with zeros, the training mean. ``calendar_inputs`` adds
    time of day and day of week as channels (246,924 parameters at N = 207 with them, 246,028 without, in the
    ``legacy_params`` form, which keeps the alignment layers that the public versions make and never use). Self
    loops are dropped and directed edges made symmetric, A <- max(A, A'), or with ``directed="refuse"`` refused. Without
    ``scaled`` M is the normalised Laplacian itself.

    Shapes: x [B, T, N, C] -> h [B, N, 128]. Cost: edges (on a GPU N^2 up to 4,096 nodes).
    Source: Yu et al., IJCAI 2018, arXiv:1709.04875; layout as in Liu et al., NeurIPS 2023, arXiv:2306.08259.
    """

    needs_graph = True
    capturable = True
    recompute_blocks = ("blocks",)
    predictor_layers = ("fc1", "fc2")
    cost = "edges"
    paper = "Yu et al., IJCAI 2018, arXiv:1709.04875"
    recipes = {
        "largest": Recipe(
            "Liu et al., NeurIPS 2023, arXiv:2306.08259",
            {
                "max_epochs": 100, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 5e-4, "schedule": "step",
                "step_size": 10, "gamma": 0.95, "clip_norm": 0.0, "patience": 30,
            },
        ),
        "basicts": Recipe(
            "BasicTS, arXiv:2310.06119, its configurations of STGCN",
            {
                "max_epochs": 100, "batch_size": 16, "learning_rate": 4e-4, "weight_decay": 3e-4,
                "schedule": "multistep", "milestones": [1, 50], "gamma": 0.5, "clip_norm": 0.0, "patience": 0,
            },
            {"calendar_inputs": False, "scaled": False},
        ),
    }  # fmt: skip
    per_node = {
        f"{norm}.{part}": (0,)
        for norm in ("blocks.0.norm", "blocks.1.norm", "norm")
        for part in ("weight", "bias")
    }  # fmt: skip

    def __init__(
        self, spec: Spec, width: int = 64, bottleneck: int = 16, end_width: int = 128, dropout: float = 0.5,
        calendar_inputs: bool = True, scaled: bool = True, directed: Literal["symmetric", "refuse"] = "symmetric",
        legacy_params: bool = False, sparse: bool | None = None,
    ):  # fmt: skip
        super().__init__(spec)
        assert spec.graph is not None
        self.width = end_width
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        self.missing_steps = max(0, _SHORTEST - spec.lookback)
        operator = spec.graph.without_self_loops().supports(
            "scaled_laplacian" if scaled else "normalised_laplacian",
            symmetric="max" if directed == "symmetric" else "refuse",
        )[0]
        self.laplacian = Support(operator, sparse=sparse)  # [N, N]
        channels = spec.channels + (2 if calendar_inputs else 0)
        left = max(spec.lookback, _SHORTEST) - 4 * (_KERNEL - 1)
        self.blocks = nn.ModuleList(
            _Block(size, width, bottleneck, spec.nodes, dropout, legacy_params) for size in (channels, width)
        )
        self.output = _GatedConvolution(width, end_width, left, legacy_params)
        self.norm = NodeLayerNorm(spec.nodes, end_width)
        self.fc1 = nn.Linear(end_width, end_width)
        self.fc2 = nn.Linear(end_width, spec.horizon * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        if self.missing_steps:
            x = F.pad(x, (0, 0, 0, 0, self.missing_steps, 0))  # [B, 9, N, C]
        for block in self.blocks:
            x = block(x, self.laplacian)  # [B, T - 4, N, width]
        return self.norm(self.output(x))[:, 0]  # [B, N, end_width]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.fc2(self.fc1(h).relu()))  # [B, H, N, O]


class _Block(nn.Module):
    """T, G, T, layer norm, dropout: [B, T, N, C] -> [B, T - 4, N, width]."""

    def __init__(self, channels: int, width: int, bottleneck: int, nodes: int, dropout: float, legacy: bool):
        super().__init__()
        self.before = _GatedConvolution(channels, width, _KERNEL, legacy)
        self.graph = _GraphConvolution(width, bottleneck)
        self.after = _GatedConvolution(bottleneck, width, _KERNEL, legacy)
        self.norm = NodeLayerNorm(nodes, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, laplacian: Support) -> Tensor:
        x = self.graph(self.before(x), laplacian)  # [B, T - 2, N, bottleneck]
        return self.dropout(self.norm(self.after(x)))  # [B, T - 4, N, width]


class _GatedConvolution(nn.Module):
    """(P + x) * sigmoid(Q), [P | Q] a valid convolution over time: [B, T, N, C] -> [B, T - kernel + 1, N, width]."""

    def __init__(self, channels: int, width: int, kernel: int, legacy: bool):
        super().__init__()
        self.kernel = kernel
        self.linear = nn.Linear(kernel * channels, 2 * width)
        self.narrow = channels <= width
        # Channels wider than the output need a map; the public versions make it always. One that is not used must not
        # ask for a gradient: several processes would wait for it.
        self.align = nn.Linear(channels, width).requires_grad_(not self.narrow) if legacy or not self.narrow else None

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.linear.weight, self.linear.bias
        width, channels = len(weight) // 2, x.shape[-1]
        # The step that is added to P is the kernel's last, so its map (the identity, or align) adds to that tap of P:
        # one convolution, no padded copy.
        if self.narrow:
            tap = torch.eye(width, channels, dtype=weight.dtype, device=weight.device)  # [width, C]
        else:
            assert self.align is not None
            tap = self.align.weight  # [width, C]
            bias = bias + F.pad(self.align.bias, (0, width))  # [2 width]
        weight = weight + F.pad(tap, ((self.kernel - 1) * channels, 0, 0, width))  # [2 width, kernel C]
        taps = weight.unflatten(1, (self.kernel, channels)).transpose(1, 2).unsqueeze(-1)  # [2 width, C, kernel, 1]
        taps = taps.contiguous()  # the gradient in float64 asks for it
        # [B, T, N, C] is an image of T x N with its channels last: no copy, and the kernels of the fastest library.
        pq = F.conv2d(x.permute(0, 3, 1, 2), taps, bias)  # [B, 2 width, steps, N]
        p, q = pq.permute(0, 2, 3, 1).chunk(2, dim=-1)  # [B, steps, N, width] each
        return p * q.sigmoid()  # [B, steps, N, width]; glu's gradient is not vectorised over halves


class _GraphConvolution(nn.Module):
    """relu(sum_k T_k(M) u W_k + b + u), u = W_a x: [B, T, N, width] -> [B, T, N, bottleneck]."""

    def __init__(self, width: int, bottleneck: int):
        super().__init__()
        self.align = nn.Linear(width, bottleneck)
        self.linear = nn.Linear(_ORDER * bottleneck, bottleneck)

    def forward(self, x: Tensor, laplacian: Support) -> Tensor:
        u = self.align(x)  # [B, T, N, bottleneck]
        terms = chebyshev_terms(laplacian.map(), u, _ORDER)  # [B, T, N, bottleneck] each
        return (self.linear(torch.cat(terms, dim=-1)) + u).relu_()  # [B, T, N, bottleneck]
