"""AGCRN: a graph recurrent network whose graph is learned and whose weights are each node's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.module import Recipe, require
from fieldcast.core.spec import Spec
from fieldcast.nn.adaptive import AdaptiveAdjacency
from fieldcast.nn.calendar import with_clock
from fieldcast.nn.graph import apply, chebyshev_terms


class AGCRN(Backbone):
    """Gated recurrent units over a learned graph, each node with weights that its embedding draws from a pool.

    A = softmax(relu(E E')) ; T_0 = I, T_1 = A, T_k = 2 A T_(k-1) - T_(k-2) ;
    conv(v)_i = sum_{k<order} (T_k v)_i (E_i W_k) + E_i b ; [z | r] = sigmoid(conv_g([x_t | h])) ;
    c = tanh(conv_u([x_t | z * h])) ; h <- r * h + (1 - r) * c, ``layers`` of them ; y = W_out h_T + b_out.
    (r and z stand as in the authors' code, in which r keeps the state and z opens it to the candidate.)

    Weights start by Xavier, embedding and pools too, biases uniform in [0, 1), as the authors have it. Parameters at
    N = 207, T = H = 12: 747,810 with one channel (``calendar_inputs`` off), 755,490 with time of day and day of week.

    Shapes: x [B, T, N, C] -> h [B, N, width]; inside [N, B, C], as each node has its own matrix. Cost: N^2, and
    N * width^2 for the matrices.
    Source: Bai et al., NeurIPS 2020, arXiv:2007.02842, equations 3 to 6.
    """

    per_node = {"embedding": (0,)}
    capturable = True
    recompute_blocks = ("cells",)
    predictor_layers = ("output",)
    cost = "N^2"
    paper = "Bai et al., NeurIPS 2020, arXiv:2007.02842"
    recipes = {
        "official": Recipe(
            "the authors' code; their loss is that of real units, missing readings included",
            {"max_epochs": 100, "batch_size": 64, "learning_rate": 3e-3, "clip_norm": 0.0, "patience": 15},
            {"calendar_inputs": False},
        ),
        "largest": Recipe(
            "Liu et al., NeurIPS 2023, arXiv:2306.08259",
            {"max_epochs": 100, "batch_size": 64, "learning_rate": 1e-3, "clip_norm": 0.0, "patience": 30},
        ),
        "pems08": Recipe(
            "the authors' code for PEMS08; their loss is that of real units, missing readings included",
            {"max_epochs": 100, "batch_size": 64, "learning_rate": 3e-3, "clip_norm": 0.0, "patience": 15},
            {"calendar_inputs": False, "embedding_width": 2},
        ),
    }

    def __init__(
        self, spec: Spec, width: int = 64, layers: int = 2, embedding_width: int = 10, order: int = 2,
        calendar_inputs: bool = True,
    ):  # fmt: skip
        super().__init__(spec)
        for name, size in {"width": width, "layers": layers, "embedding_width": embedding_width}.items():
            require(name, size, 1)
        require("order", order, 1)
        self.width, self.order = width, order
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        self.embedding = nn.Parameter(torch.empty(spec.nodes, embedding_width))  # [N, d]
        self.adjacency = AdaptiveAdjacency()
        channels = spec.channels + (2 if calendar_inputs else 0)
        self.cells = nn.ModuleList(
            _Cell(channels if layer == 0 else width, width, embedding_width, order) for layer in range(layers)
        )
        self.output = nn.Linear(width, spec.horizon * spec.targets)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.uniform_(parameter)
        # The authors' last map is a convolution over the width, whose Xavier bound is another.
        bound = (6 / (width + width * self.output.out_features)) ** 0.5
        nn.init.uniform_(self.output.weight, -bound, bound)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        x = x.permute(2, 1, 0, 3).contiguous()  # [N, T, B, C]
        graph = self.adjacency(self.embedding, self.embedding)  # [N, N]
        heard = _around(x, graph, self.order).unbind(1)  # T times [N, B, order C]
        for cell in self.cells:
            assert isinstance(cell, _Cell)
            heard, state = cell(heard, graph, self.embedding, onward=cell is not self.cells[-1])
        return state.transpose(0, 1)  # [B, N, width]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.output(h))  # [B, H, N, O]


class _Cell(nn.Module):
    """One layer over all steps, from a state of zeros.

    Matrices of the nodes are made once a forward, and a state is sent over the graph once, for its own layer's next
    step and for the layer above. The first step leaves out what a state of zeros would say.

    Shapes: what is heard of the layer below, [T_0 x | .. | T_(order-1) x], T times [N, B, order C] -> the same of the
    own states where a layer follows (``onward``), T times [N, B, order width], and the last state [N, B, width].
    """

    def __init__(self, channels: int, width: int, embedding_width: int, order: int):
        super().__init__()
        self.channels, self.width, self.order = channels, width, order
        self.gate_pool = nn.Parameter(torch.empty(embedding_width, order, channels + width, 2 * width))
        self.gate_bias = nn.Parameter(torch.empty(embedding_width, 2 * width))
        self.candidate_pool = nn.Parameter(torch.empty(embedding_width, order, channels + width, width))
        self.candidate_bias = nn.Parameter(torch.empty(embedding_width, width))

    def forward(
        self, heard: Sequence[Tensor], graph: Tensor, embedding: Tensor, *, onward: bool
    ) -> tuple[list[Tensor], Tensor]:
        width, steps = self.width, len(heard)
        of_input, of_state = self.channels, slice(self.channels, None)
        inputs = torch.cat([self.gate_pool[:, :, :of_input], self.candidate_pool[:, :, :of_input]], dim=-1)
        into = _own(embedding, inputs)  # [N, order C, 3 width]
        gate = _own(embedding, self.gate_pool[:, :, of_state])  # [N, order width, 2 width]
        candidate = _own(embedding, self.candidate_pool[:, :, of_state])  # [N, order width, width]
        bias = (embedding @ torch.cat([self.gate_bias, self.candidate_bias], dim=-1)).unsqueeze(1)  # [N, 1, 3 width]
        h = heard[0].new_zeros(*heard[0].shape[:2], width)  # [N, B, width]
        told: list[Tensor] = []
        for step, heard_t in enumerate(heard):
            said = torch.baddbmm(bias, heard_t, into)  # [N, B, 3 width]
            to_gate, to_candidate = said.split([2 * width, width], dim=-1)  # [N, B, 2 width], [N, B, width]
            # One step alone uses every parameter, so that each has a gradient.
            from_zeros = step == 0 and steps > 1
            if not from_zeros:
                around = told[-1] if told else _around(h, graph, self.order)  # [N, B, order width]
                to_gate = torch.baddbmm(to_gate, around, gate)  # [N, B, 2 width]
            z, r = to_gate.sigmoid().chunk(2, dim=-1)  # [N, B, width] each
            if not from_zeros:
                around = _around(z * h, graph, self.order)  # [N, B, order width]
                to_candidate = torch.baddbmm(to_candidate, around, candidate)  # [N, B, width]
            c = to_candidate.tanh().to(h.dtype)  # [N, B, width]; the state stays float32 in mixed precision
            h = torch.lerp(c, h, r.to(h.dtype))  # r h + (1 - r) c: [N, B, width]
            if not onward:
                told.clear()  # the last layer's states are asked for by its next step alone
            if onward or step < steps - 1:
                told.append(_around(h, graph, self.order))  # [N, B, order width]
        return told, h


def _around(v: Tensor, graph: Tensor, order: int) -> Tensor:
    """[T_0 v | .. | T_(order-1) v], nodes first: [N, .., D] -> [N, .., order D]."""
    return torch.cat(chebyshev_terms(partial(apply, graph, dim=0), v, order), dim=-1)


def _own(embedding: Tensor, pool: Tensor) -> Tensor:
    """Each node's own matrix, sum_j E_ij W_j: [N, d], [d, order, C, D] -> [N, order C, D]."""
    return (embedding @ pool.flatten(1)).view(len(embedding), -1, pool.shape[-1])
