"""GCN-GRU: a gated recurrent unit whose gates see the neighbours; the plain example of a graph backbone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec
from fieldcast.nn.calendar import with_clock
from fieldcast.nn.graph import Supports, diffuse


class GCNGRU(Backbone):
    """A recurrent network over the look-back in which each node sees itself and the mean of its neighbours.

    With S = P(A), P(A') the two random walks, and g(v) = [v | S_1 v | S_2 v]:
    r, u = sigmoid(W_1 g([x_t | h]) + b_1) ; c = tanh(W_2 g([x_t | r * h]) + b_2) ; h <- u * h + (1 - u) * c ;
    y = W_out h_T + b_out.

    Shapes: x [B, T, N, C] -> h [B, N, width]. Cost: edges (on a GPU N^2 up to 4,096 nodes).
    Source: after Zhao et al., T-GCN, IEEE TITS 2020, arXiv:1811.05320, with the walks of Li et al., arXiv:1707.01926.
    """

    capturable = True
    needs_graph = True
    unseen_nodes = True
    predictor_layers = ("output",)
    cost = "edges"
    paper = "after Zhao et al., IEEE TITS 2020, arXiv:1811.05320"

    def __init__(self, spec: Spec, width: int = 64, calendar_inputs: bool = True, sparse: bool | None = None):
        super().__init__(spec)
        assert spec.graph is not None
        self.width = width
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        walks = spec.graph.supports("double_transition")
        self.walks = Supports(walks, sparse=sparse)  # [N, N] each
        channels = spec.channels + (2 if calendar_inputs else 0)
        self.gates = nn.Linear(3 * (channels + width), 2 * width)
        self.candidate = nn.Linear(3 * (channels + width), width)
        self.output = nn.Linear(width, spec.horizon * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        batch, nodes = x.shape[0], x.shape[2]
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        walks = self.walks.maps()
        h = x.new_zeros(batch, nodes, self.width)  # [B, N, width]
        for step in x.unbind(1):  # [B, N, C + 2] each
            gates = self.gates(diffuse(walks, torch.cat([step, h], dim=-1))).sigmoid()  # [B, N, 2 width]
            r, u = gates.chunk(2, dim=-1)  # [B, N, width] each
            c = self.candidate(diffuse(walks, torch.cat([step, r * h], dim=-1))).tanh()  # [B, N, width]
            h = u * h + (1 - u) * c  # [B, N, width]
        return h

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.output(h))  # [B, H, N, O]
