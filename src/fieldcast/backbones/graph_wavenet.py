"""Graph WaveNet: gated dilated convolutions over time, diffusion over a given and a learned graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.module import Recipe, require
from fieldcast.core.spec import Spec
from fieldcast.nn.adaptive import AdaptiveAdjacency, StrongestLinks, send
from fieldcast.nn.calendar import with_clock
from fieldcast.nn.dropout import Dropout
from fieldcast.nn.graph import Supports, apply, diffusion_terms, sum_of_maps

_DILATIONS = (1, 2)  # of the two layers of a block; a kernel of two steps each
_BLOCKS = 4
_POWERS = 2  # of each support


class GraphWaveNet(Backbone):
    """Layers of a gated dilated convolution over time and a diffusion over two random walks and a learned graph.

    Layer: g_t = tanh(W_f [x_{t-d} | x_t] + b_f) * sigmoid(W_g [x_{t-d} | x_t] + b_g) ; s += W_s g_last + b_s ;
    x <- norm(x_t + dropout(W_0 g + sum_S (W_S1 S g + W_S2 S^2 g) + b)), S = P(A)', P(A')', and the transpose of
    A_adp = softmax(relu(E_1 E_2')), norm a batch normalisation. Two layers (d = 1, 2) a block. h = relu(s) ;
    y = W_2 relu(W_1 h + b_1) + b_2. The diffusion of the last layer leads nowhere and is left out.

    Four blocks reach over 13 steps; a longer look-back takes as many more as it needs. A shorter one is padded on the
    left with zeros, the training mean. ``legacy_params`` keeps the last layer's diffusion, ``residual_maps`` besides
    the maps that the authors' version makes and never uses (300,984 and 309,432 parameters at N = 207, three channels).

    Shapes: x [B, T, N, C] -> h [B, N, 256]; inside [T, N, B, C], so that steps are slices and nodes rows. Cost: N^2;
    with ``links``, which keeps so many of each node's strongest learned links, the memory is that of edges and links.
    Source: Wu et al., IJCAI 2019, arXiv:1906.00121, equations 3 to 8.
    """

    needs_graph = True
    capturable = True
    recompute_blocks = ("layers",)
    predictor_layers = ("end1", "end2")
    cost = "N^2"
    paper = "Wu et al., IJCAI 2019, arXiv:1906.00121"
    recipes = {
        "official": Recipe(
            "the authors' code; they read time of day alone besides the target",
            {"max_epochs": 100, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 1e-4, "patience": 0},
        ),
        "largest": Recipe(
            "Liu et al., NeurIPS 2023, arXiv:2306.08259",
            {"max_epochs": 100, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 1e-4, "patience": 30},
        ),
        "basicts": Recipe(
            "BasicTS, arXiv:2310.06119",
            {
                "max_epochs": 100, "batch_size": 16, "learning_rate": 2e-3, "weight_decay": 1e-4,
                "schedule": "multistep", "milestones": [1, 50], "gamma": 0.5, "patience": 0,
            },
        ),
    }  # fmt: skip

    def __init__(
        self, spec: Spec, width: int = 32, skip_width: int = 256, end_width: int = 512, dropout: float = 0.3,
        adaptive: bool = True, links: int | None = None, embedding_width: int = 10, calendar_inputs: bool = True,
        legacy_params: bool = False, residual_maps: bool = False, sparse: bool | None = None,
    ):  # fmt: skip
        super().__init__(spec)
        assert spec.graph is not None
        sizes = {"width": width, "skip_width": skip_width, "end_width": end_width, "embedding_width": embedding_width}
        if links is not None:
            sizes["links"] = links
        for name, size in sizes.items():
            require(name, size, 1)
        require("dropout", dropout, 0, below=1)
        self.width = skip_width
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        blocks = max(_BLOCKS, math.ceil((spec.lookback - 1) / sum(_DILATIONS)))
        self.missing_steps = blocks * sum(_DILATIONS) + 1 - spec.lookback
        walks = spec.graph.supports("double_transition")
        self.walks = Supports([walk.T for walk in walks], sparse=sparse)  # [N, N] each
        self.adaptive = None if not adaptive else AdaptiveAdjacency() if links is None else StrongestLinks(links)
        if adaptive:
            self.source = nn.Parameter(torch.randn(spec.nodes, embedding_width))  # [N, d], E_1
            self.target = nn.Parameter(torch.randn(spec.nodes, embedding_width))  # [N, d], E_2
        supports = len(walks) + adaptive
        self.start = nn.Linear(spec.channels + (2 if calendar_inputs else 0), width)
        dilations = _DILATIONS * blocks
        self.layers = nn.ModuleList(
            _Layer(width, skip_width, dilation, supports, dropout, place + 1 < len(dilations), legacy_params)
            for place, dilation in enumerate(dilations)
        )
        # Never used, so nothing must wait for their gradients.
        maps = [nn.Linear(width, width).requires_grad_(False) for _ in dilations] if residual_maps else []
        self.residual_maps = nn.ModuleList(maps)
        self.end1 = nn.Linear(skip_width, end_width)
        self.end2 = nn.Linear(end_width, spec.horizon * spec.targets)

    def node_axes(self) -> dict[str, tuple[int, ...]]:
        return {} if self.adaptive is None else {"source": (0,), "target": (0,)}

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        x = F.pad(x.permute(1, 2, 0, 3), (0, 0, 0, 0, 0, 0, self.missing_steps, 0))  # [reach, N, B, C]
        x = self.start(x)  # [reach, N, B, width]
        maps = self.walks.maps(dim=0)
        if isinstance(self.adaptive, StrongestLinks):
            maps.append(partial(send, *self.adaptive(self.source, self.target), dim=0))
        elif self.adaptive is not None:
            maps.append(partial(apply, self.adaptive(self.source, self.target).T, dim=0))
        skip = x.new_zeros(())
        for layer in self.layers:
            x, said = layer(x, maps)  # [steps - d, N, B, width], [N, B, skip]
            skip = skip + said  # [N, B, skip]
        return skip.relu().transpose(0, 1)  # [B, N, skip]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.end2(self.end1(h).relu()))  # [B, H, N, O]


class _Layer(nn.Module):
    """x [steps, N, B, width] -> x [steps - dilation, N, B, width] and what it says of the last step, [N, B, skip]."""

    def __init__(
        self, width: int, skip: int, dilation: int, supports: int, dropout: float, goes_on: bool, legacy: bool
    ):  # fmt: skip
        super().__init__()
        self.dilation, self.goes_on = dilation, goes_on
        self.gate = nn.Linear(2 * width, 2 * width)  # earlier and later step to filter and gate
        self.skip = nn.Linear(width, skip)
        self.dropout = Dropout(dropout)
        if goes_on or legacy:
            self.diffusion = nn.Linear((1 + _POWERS * supports) * width, width).requires_grad_(goes_on)
            self.norm = nn.BatchNorm1d(width).requires_grad_(goes_on)

    def forward(self, x: Tensor, maps: Sequence[Callable[[Tensor], Tensor]]) -> tuple[Tensor, Tensor]:
        if not self.goes_on:  # only its last step is asked for
            x = x[-1 - self.dilation :]  # [dilation + 1, N, B, width]
        earlier, later = x[: -self.dilation], x[self.dilation :]  # [steps, N, B, width] each
        both = sum_of_maps((earlier, later), self.gate.weight.chunk(2, dim=1), self.gate.bias)  # [steps, N, B, 2 width]
        f, g = both.chunk(2, dim=-1)  # [steps, N, B, width] each
        x = f.tanh() * g.sigmoid()  # [steps, N, B, width]
        said = self.skip(x[-1])  # [N, B, skip]
        if not self.goes_on:
            return x, said
        weights = self.diffusion.weight.split(x.shape[-1], dim=1)  # [width, width] each
        x = x.transpose(0, 1).contiguous()  # [N, steps, B, width]: each map is one product without a copy
        out = sum_of_maps(diffusion_terms(maps, x, _POWERS), weights, self.diffusion.bias)  # [N, steps, B, width]
        out = later + self.dropout(out).transpose(0, 1)  # [steps, N, B, width]
        return self.norm(out.flatten(0, 2)).view_as(out), said
