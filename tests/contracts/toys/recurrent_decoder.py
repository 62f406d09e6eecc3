"""A recurrent graph encoder and decoder with scheduled sampling, in the manner of DCRNN."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec
from fieldcast.data.graph import Graph


@register
class RecurrentDecoder(Backbone):
    """GRU cells whose maps diffuse over the graph: conv(z) = [z | P z | P' z] W + b, P and P' the two random walks.

    The decoder mixes nodes, so it stands in ``encode``; h is the forecast itself, D = H * O, and the head is the
    identity. In training step h+1 is fed with the truth of step h with probability k / (k + exp(step / k)).
    Shapes: x [B, T, N, C] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    needs_graph = True
    unseen_nodes = True
    uses_teacher = True
    cost = "E"
    paper = "after Li et al., ICLR 2018, arXiv:1707.01926"

    forward_walk: Tensor
    reverse_walk: Tensor

    def __init__(self, spec: Spec, hidden: int = 8, decay: float = 10.0):
        super().__init__(spec)
        assert spec.graph is not None
        self.width = spec.horizon * spec.targets
        self.hidden = hidden
        self.decay = decay
        # Derived from the graph, so no part of the saved weights.
        self.register_buffer("forward_walk", _dense(spec.graph), persistent=False)  # [N, N]
        self.register_buffer("reverse_walk", _dense(spec.graph, reverse=True), persistent=False)  # [N, N]
        self.encoder = _Cell(spec.channels, hidden)
        self.decoder = _Cell(spec.targets, hidden)
        self.projection = nn.Linear(hidden, spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        batch, lookback, nodes, _ = x.shape
        walks = (self.forward_walk, self.reverse_walk)
        state = x.new_zeros(batch, nodes, self.hidden)  # [B, N, hidden]
        for step in range(lookback):
            state = self.encoder(x[:, step], state, walks)  # [B, N, hidden]
        said = x.new_zeros(batch, nodes, self.targets)  # [B, N, O]
        steps = []
        for step in range(self.horizon):
            state = self.decoder(said, state, walks)  # [B, N, hidden]
            said = self.projection(state)  # [B, N, O]
            steps.append(said)
            if self.training and ctx.teacher is not None:
                told = torch.rand((), device=x.device) < self._truth_share(ctx)
                said = torch.where(told, ctx.teacher[:, step], said)  # [B, N, O]
        return torch.stack(steps, dim=2).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]

    def _truth_share(self, ctx: Context) -> float:
        return self.decay / (self.decay + math.exp(min(50.0, ctx.progress.step / self.decay)))


class _Cell(nn.Module):
    """A GRU cell with diffusion in place of its linear maps: inputs [B, N, C], state [B, N, hidden]."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.gates = nn.Linear(3 * (channels + hidden), 2 * hidden)
        self.candidate = nn.Linear(3 * (channels + hidden), hidden)

    def forward(self, inputs: Tensor, state: Tensor, walks: tuple[Tensor, Tensor]) -> Tensor:
        gates = self.gates(_diffuse(torch.cat([inputs, state], dim=-1), walks)).sigmoid()
        reset, update = gates.chunk(2, dim=-1)  # [B, N, hidden] each
        candidate = self.candidate(_diffuse(torch.cat([inputs, reset * state], dim=-1), walks)).tanh()
        return update * state + (1 - update) * candidate  # [B, N, hidden]


def _diffuse(z: Tensor, walks: tuple[Tensor, Tensor]) -> Tensor:
    return torch.cat([z, *(walk @ z for walk in walks)], dim=-1)  # [B, N, 3 C]


def _dense(graph: Graph, *, reverse: bool = False) -> Tensor:
    return torch.from_numpy(graph.transition(reverse=reverse).toarray())
