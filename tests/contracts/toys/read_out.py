"""Forecasts sensors that are switched off from those that are read, the other half of DynST."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.core.context import Context
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec
from fieldcast.core.stage import BetweenStage


@register
class ReadOut(BetweenStage):
    """h'_j = h_j where sensor j was read in this window, else W sum_i softmax_i(A_ji) h_i + e_j over those that were.

    ``affinity`` A has an axis over the M nodes that are forecast and one over the N that are read, ``place`` e one over
    M: compaction gathers each by its own set. Shapes: h [B, N, D] -> h' [B, M, D].
    """

    per_node = {"affinity": (1,)}
    per_output_node = {"affinity": (0,), "place": (0,)}
    reads_out = True

    inputs: Tensor

    def build(self, spec: Spec) -> Spec:
        self.affinity = nn.Parameter(0.1 * torch.randn(spec.output_nodes, spec.nodes))  # [M, N]
        self.place = nn.Parameter(torch.zeros(spec.output_nodes, spec.width))  # [M, D]
        self.mix = nn.Linear(spec.width, spec.width, bias=False)
        self.register_buffer("inputs", torch.from_numpy(spec.inputs.copy()), persistent=False)  # [N]
        return spec.with_(nodes=spec.output_nodes)

    def forward(self, h: Tensor, ctx: Context) -> Tensor:
        read = ctx.observed.any(dim=3).any(dim=1)  # [B, N]
        weight = self.affinity.exp() * read.to(h)[:, None]  # [B, M, N]
        weight = weight / weight.sum(dim=2, keepdim=True).clamp_min(1e-6)
        guess = self.mix(weight @ h) + self.place  # [B, M, D]
        batch, outputs = guess.shape[:2]
        own = h.new_zeros(batch, outputs, h.shape[2]).index_copy(1, self.inputs, h)  # [B, M, D]
        known = read.new_zeros(batch, outputs).index_copy(1, self.inputs, read)  # [B, M]
        return torch.where(known[..., None], own, guess)  # [B, M, D]
