"""DCRNN: recurrent encoder and decoder whose maps diffuse over the graph in both directions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.module import Recipe, require
from fieldcast.core.spec import Spec
from fieldcast.nn.calendar import with_clock
from fieldcast.nn.graph import Supports, diffuse


class DCRNN(Backbone):
    """Gated recurrent units with diffusion convolutions, an encoder over the look-back and a decoder over the horizon.

    diffuse(v) = [v | S v | S^2 v | .. for both S], S = P(A) and P(A') the two random walks, ``order`` powers ;
    r, u = sigmoid(W_1 diffuse([x_t | h]) + b_1) ; c = tanh(W_2 diffuse([x_t | r * h]) + b_2) ;
    h <- u * h + (1 - u) * c, ``layers`` of them. The decoder starts from the encoder's states and a forecast of zero,
    and is fed with its own last forecast: y_t = W_out h + b_out. In training the truth is fed in its place with
    probability k / (k + exp(step / k)), one draw a step of the horizon; k = ``sampling_decay``, or, left out, such that
    the probability is one half in the middle of training (k ln k = steps / 2).

    Weights start by Xavier and the biases of the gates at one, so that at first states are kept (the authors' start).

    The decoder mixes nodes, so it stands in ``encode``; h is the forecast itself and the head changes nothing.
    Parameters with two input channels: 372,353, for any number of nodes.

    Shapes: x [B, T, N, C] -> h [B, N, H * O]; inside [N, B, C], so that one product serves the mini-batch. Cost: edges
    (on a GPU N^2 up to 4,096 nodes).
    Source: Li et al., ICLR 2018, arXiv:1707.01926, equations 2 and 3, sections 2.2 and 2.3.
    """

    needs_graph = True
    unseen_nodes = True
    uses_teacher = True
    capturable = True
    recompute_blocks = ("encoder", "decoder")
    cost = "edges"
    paper = "Li et al., ICLR 2018, arXiv:1707.01926"
    recipes = {
        "official": Recipe(
            "the authors' code; they read time of day alone besides the target, take Chebyshev terms of the transposed "
            "walks in place of powers, and Adam's epsilon is 1e-3",
            {
                "max_epochs": 100, "batch_size": 64, "learning_rate": 1e-2, "schedule": "multistep",
                "milestones": [20, 30, 40, 50], "gamma": 0.1, "patience": 50,
            },
            {"sampling_decay": 2000.0},
        ),
    }  # fmt: skip

    def __init__(
        self, spec: Spec, hidden: int = 64, layers: int = 2, order: int = 2, sampling_decay: float | None = None,
        calendar_inputs: bool = True, sparse: bool | None = None,
    ):  # fmt: skip
        super().__init__(spec)
        assert spec.graph is not None
        for name, size in {"hidden": hidden, "layers": layers, "order": order}.items():
            require(name, size, 1)
        if sampling_decay is not None:
            require("sampling_decay", sampling_decay, 1e-3)
        self.width = spec.horizon * spec.targets
        self.hidden, self.order, self.sampling_decay = hidden, order, sampling_decay
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        walks = spec.graph.supports("double_transition")
        self.walks = Supports(walks, sparse=sparse)  # [N, N] each
        channels = spec.channels + (2 if calendar_inputs else 0)
        cells = [_Cell(channels if i == 0 else hidden, hidden, order, len(walks)) for i in range(layers)]
        self.encoder = nn.ModuleList(cells)
        cells = [_Cell(spec.targets if i == 0 else hidden, hidden, order, len(walks)) for i in range(layers)]
        self.decoder = nn.ModuleList(cells)
        self.projection = nn.Linear(hidden, spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        walks = self.walks.maps(dim=-3)
        x = x.permute(1, 2, 0, 3)  # [T, N, B, C]
        zeros = x.new_zeros(*x.shape[1:3], self.hidden)  # [N, B, hidden]
        heard = diffuse(walks, x, self.order).unbind(0)  # T times [N, B, terms C]
        # The first step leaves out what a state of zeros says; one step alone uses every weight: each has a gradient.
        start = None if len(heard) > 1 else diffuse(walks, zeros, self.order)  # [N, B, terms hidden]
        states = []
        for cell in self.encoder:
            h, diffused, told = zeros, start, []
            for heard_t in heard:
                h = cell(heard_t, h, diffused, walks)  # [N, B, hidden]
                diffused = diffuse(walks, h, self.order)  # [N, B, terms hidden], for the next step and the layer above
                told.append(diffused)
            heard = told
            states.append((h, heard[-1]))
        return self._decode(states, walks, ctx).transpose(0, 1).flatten(2)  # [B, N, H * O]

    def _decode(
        self, states: list[tuple[Tensor, Tensor]], walks: Sequence[Callable[[Tensor], Tensor]], ctx: Context
    ) -> Tensor:
        """A state of each layer and what diffuses from it to forecasts [N, B, H, O]."""
        y = states[0][0].new_zeros(*states[0][0].shape[:2], self.targets)  # [N, B, O]
        teacher, known = (ctx.teacher, ctx.teacher_observed) if self.training else (None, None)  # [B, H, N, O] each
        forecast = []
        for step in range(self.horizon):
            heard, h = diffuse(walks, y, self.order), y  # [N, B, terms O]
            for layer, cell in enumerate(self.decoder):
                h = cell(heard, *states[layer], walks)  # [N, B, hidden]
                heard = diffuse(walks, h, self.order)  # [N, B, terms hidden]
                states[layer] = (h, heard)
            y = self.projection(h)  # [N, B, O]
            forecast.append(y)
            if teacher is not None and known is not None:
                told = torch.rand((), device=y.device) < self._share_of_truth(ctx, y)
                told = told & known[:, step].transpose(0, 1)  # [N, B, O]; where none was read, its own forecast
                y = torch.where(told, teacher[:, step].transpose(0, 1).to(y.dtype), y)  # [N, B, O]
        return torch.stack(forecast, dim=2)  # [N, B, H, O]

    def _share_of_truth(self, ctx: Context, y: Tensor) -> Tensor:
        """k / (k + exp(step / k)) = sigmoid(ln k - step / k), as a tensor: torch.compile serves all steps with one."""
        k = _halved_at(max(2.0, ctx.progress.steps / 2)) if self.sampling_decay is None else self.sampling_decay
        return torch.sigmoid(math.log(k) - ctx.progress.taken(y) / k)

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]


def _halved_at(half: float) -> float:
    """The k with k ln k = half, by Newton's steps: Lambert's W is nothing that torch.compile could trace."""
    k = half
    for _ in range(30):  # from above, on a convex function: each step comes closer
        k = (k + half) / (math.log(k) + 1)
    return k


class _Cell(nn.Module):
    """A gated recurrent unit whose maps diffuse.

    What diffuses from its inputs [N, B, terms C], its state [N, B, hidden] and what diffuses from that, None for a
    state of zeros [N, B, terms hidden] -> the next state [N, B, hidden].
    """

    def __init__(self, channels: int, hidden: int, order: int, supports: int):
        super().__init__()
        self.order = order
        terms = 1 + order * supports
        self.input = nn.Linear(terms * channels, 3 * hidden)
        self.gates = nn.Linear(terms * hidden, 2 * hidden, bias=False)
        self.candidate = nn.Linear(terms * hidden, hidden, bias=False)
        for part in (self.input, self.gates, self.candidate):
            nn.init.xavier_normal_(part.weight)
        with torch.no_grad():
            self.input.bias.zero_()[: 2 * hidden] = 1

    def forward(
        self, heard: Tensor, h: Tensor, diffused: Tensor | None, walks: Sequence[Callable[[Tensor], Tensor]]
    ) -> Tensor:
        to_gates, to_candidate = self.input(heard).split([2 * h.shape[-1], h.shape[-1]], dim=-1)
        if diffused is not None:
            to_gates = to_gates + self.gates(diffused)  # [N, B, 2 hidden]
        r, u = to_gates.sigmoid().chunk(2, dim=-1)  # [N, B, hidden] each
        if diffused is not None:
            to_candidate = to_candidate + self.candidate(diffuse(walks, r * h, self.order))  # [N, B, hidden]
        c = to_candidate.tanh().to(h.dtype)  # [N, B, hidden]; the state stays float32 in mixed precision
        return torch.lerp(c, h, u.to(h.dtype))  # u h + (1 - u) c: [N, B, hidden]
