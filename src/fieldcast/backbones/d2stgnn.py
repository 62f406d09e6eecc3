"""D2STGNN: each reading taken apart into what came from the neighbours and what is the node's own."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.module import Recipe, require
from fieldcast.core.spec import Spec
from fieldcast.errors import FieldcastError
from fieldcast.nn.adaptive import AdaptiveAdjacency, NodeSoftmax
from fieldcast.nn.attention import Attention
from fieldcast.nn.calendar import CalendarEmbedding, with_clock
from fieldcast.nn.dropout import Dropout
from fieldcast.nn.graph import apply, sum_of_maps

_KERNEL = 3  # steps that a diffusion looks back over, k_t
_POWERS = 2  # of each graph, k_s
_GRAPHS = 3  # two dynamic ones and the learned one

# Of the authors' recipes: where the learning rate falls, and what they do besides.
_SPEEDS = [1, 30, 38, 46, 54, 62, 70, 80]
_FLOWS = [1, 30, 38, 46, 54, 200]
_OTHERWISE = "; they set the learning rate back at epoch 30, scale to [-1, 1] and count missing readings too"


class D2STGNN(Backbone):
    """Layers that split off a diffusion signal by a gate and leave the rest to a recurrent network with attention.

    Graphs: learned S = softmax(relu(E_u E_d')), and of each window G_1, G_2 = rows of
    softmax(Z W_Q (Z W_K)' / sqrt(D)) * (P + 1e-7) scaled to sum to one, Z_k = [f | slot | day | E_d or E_u],
    f = W_2 norm(relu(W_1 x_i)), P the transposed random walks; G, G^2, S, S^2 with their diagonals set to zero.
    Layer, from L steps to L - 2: X = gate * H, gate = sigmoid(w relu(W [slot | day | E_u | E_d])) ;
    v = relu(W [X_(t-2) | X_(t-1) | X_t]) in three parts, s their sum ; d = W_0 s / 3 + sum_k W_k G_k s ;
    H' = norm(H - relu(W d)) ; r = GRU(H') + positions ; z = attention(r, r, r) ; next H = norm(H' - relu(W z)).
    Both go on by themselves over the horizon, ``gap`` steps at a time: d from its own last outputs, z by the GRU.
    h = relu(sum over layers of W d + W z) ; y = W_2 relu(W_1 h + b_1) + b_2.

    The authors add the positions to all states anew at each step of the horizon; so does this. A look-back shorter
    than 2 x ``layers`` + 2 is padded on the left with zeros, the training mean. ``legacy_params`` keeps what the
    authors make and never use: 391,962 parameters at N = 207, T = H = 12, 288 slots, ``embedding_width`` 10.

    Shapes: x [B, T, N, C] -> h [B, N, positions * 256]; inside [B, N, T, D]. Cost: N^2 for each window of a mini-batch.
    Source: Shao et al., PVLDB 15, 2022, arXiv:2206.09112, sections 4 and 5.
    """

    needs_graph = True
    per_node = {"source": (0,), "target": (0,)}
    # Not capturable: its recurrence is cuDNN's, as the LSTM's.
    recompute_blocks = ("graphs", "layers")
    predictor_layers = ("end1", "end2")
    cost = "N^2"
    paper = "Shao et al., PVLDB 2022, arXiv:2206.09112"
    recipes = {
        name: Recipe(
            f"the authors' code for {data}{other}",
            {
                "max_epochs": epochs, "batch_size": batch, "learning_rate": 2e-3, "weight_decay": 1e-5,
                "schedule": "multistep", "milestones": milestones, "gamma": 0.5, "patience": 100,
                "curriculum": every, "curriculum_after": after,
            },
            {"embedding_width": width},
        )
        for name, data, other, width, batch, milestones, epochs, every, after in (
            ("official", "METR-LA", "", 10, 32, _SPEEDS, 80, 6, 0),
            ("pems_bay", "PEMS-BAY", "; they set the learning rate back at epoch 30", 12, 32, _SPEEDS, 80, 3, 30),
            ("pems04", "PEMS04", _OTHERWISE, 12, 32, _FLOWS, 300, 3, 30),
            ("pems08", "PEMS08", _OTHERWISE, 10, 16, _FLOWS, 300, 3, 30),
        )
    }  # fmt: skip

    walks: Tensor

    def __init__(
        self, spec: Spec, hidden: int = 32, embedding_width: int = 10, layers: int = 5, heads: int = 4, gap: int = 3,
        forecast_width: int = 256, end_width: int = 512, dropout: float = 0.1, calendar_inputs: bool = False,
        legacy_params: bool = False,
    ):  # fmt: skip
        super().__init__(spec)
        assert spec.graph is not None
        sizes = {
            "hidden": hidden, "embedding_width": embedding_width, "layers": layers, "heads": heads, "gap": gap,
            "forecast_width": forecast_width, "end_width": end_width,
        }  # fmt: skip
        for name, size in sizes.items():
            require(name, size, 1)
        require("dropout", dropout, 0, below=1)
        if hidden % heads or hidden % 2:
            raise FieldcastError(f"{heads} heads and pairs of waves do not share {hidden} hidden channels evenly.")
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        self.positions = math.ceil(spec.horizon / gap)
        self.width = self.positions * forecast_width
        shrink = _KERNEL - 1
        self.missing_steps = max(0, shrink * (layers + 1) - spec.lookback)  # two are left, so that its GRU turns
        channels = spec.channels + (2 if calendar_inputs else 0)
        self.start = nn.Linear(channels, hidden)
        self.slot_embedding = CalendarEmbedding(spec.steps_per_day, embedding_width, zero_start=False)
        self.day_embedding = CalendarEmbedding(7, embedding_width, zero_start=False)
        self.source = nn.Parameter(nn.init.xavier_uniform_(torch.empty(spec.nodes, embedding_width)))  # [N, e], E_u
        self.target = nn.Parameter(nn.init.xavier_uniform_(torch.empty(spec.nodes, embedding_width)))  # [N, e], E_d
        walks = spec.graph.supports("double_transition", dense=True)
        masks = torch.stack([torch.from_numpy(walk.T.copy()) for walk in walks]) + 1e-7
        self.register_buffer("walks", masks, persistent=False)  # [2, N, N]
        self.adjacency = AdaptiveAdjacency()
        self.graphs = _DynamicGraphs(spec.lookback * channels, hidden, embedding_width, dropout)
        self.layers = nn.ModuleList(
            _Layer(hidden, embedding_width, heads, forecast_width, dropout, place + 1 < layers, legacy_params)
            for place in range(layers)
        )
        # Never used, so nothing must wait for its gradient.
        self.unused = nn.Linear(embedding_width, hidden).requires_grad_(False) if legacy_params else None
        self.end1 = nn.Linear(forecast_width, end_width)
        self.end2 = nn.Linear(end_width, gap * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        now = ctx.calendar[:, : x.shape[1]]  # [B, T, 3]
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        x = x.transpose(1, 2)  # [B, N, T, C]
        clock = torch.cat([self.slot_embedding(now[..., 0]), self.day_embedding(now[..., 1])], dim=-1)  # [B, T, 2 e]
        dynamic = self.graphs(x.flatten(2), clock[:, -1], self.source, self.target, self.walks)  # 2 of [B, N, N]
        graphs = [each for one in (*dynamic, self.adjacency(self.source, self.target)) for each in _powers(one)]
        x = F.pad(x, (0, 0, self.missing_steps, 0))  # [B, N, L, C]
        clock = F.pad(clock, (0, 0, self.missing_steps, 0))  # [B, L, 2 e]
        nodes = torch.cat([self.source, self.target], dim=-1)  # [N, 2 e]
        signal = self.start(x)  # [B, N, L, hidden]
        total = x.new_zeros(())
        for layer in self.layers:
            signal, said = layer(signal, clock, nodes, graphs, self.positions)  # [B, N, L - 2, hidden], ...
            total = total + said  # [B, N, positions, forecast]
        return total.relu().flatten(2)  # [B, N, positions * forecast]

    def head(self, h: Tensor) -> Tensor:
        y = self.end2(self.end1(h.unflatten(-1, (self.positions, -1))).relu())  # [B, N, positions, gap * O]
        y = y.flatten(2).unflatten(-1, (-1, self.targets))  # [B, N, positions * gap, O]
        return y[:, :, : self.horizon].transpose(1, 2)  # [B, H, N, O]


class _DynamicGraphs(nn.Module):
    """Two graphs of each window: what was read [B, N, T C], clock [B, 2 e], E_u, E_d, masks -> 2 of [B, N, N]."""

    def __init__(self, read: int, hidden: int, embedding_width: int, dropout: float):
        super().__init__()
        self.first = nn.Linear(read, 2 * hidden)
        self.norm = nn.BatchNorm1d(2 * hidden)
        self.dropout = Dropout(dropout)
        self.second = nn.Linear(2 * hidden, hidden)
        self.query = nn.Linear(hidden + 3 * embedding_width, hidden, bias=False)
        self.key = nn.Linear(hidden + 3 * embedding_width, hidden, bias=False)
        self.softmax = NodeSoftmax()

    def forward(self, x: Tensor, clock: Tensor, source: Tensor, target: Tensor, masks: Tensor) -> list[Tensor]:
        batch, nodes, _ = x.shape
        f = self.first(x).relu()  # [B, N, 2 hidden]
        rows = f.flatten(0, 1)  # [B N, 2 hidden]
        # One row has no variance: its norm is that of evaluation.
        alone = self.training and rows.shape[0] == 1
        normed = _as_in_evaluation(self.norm, rows) if alone else self.norm(rows)  # [B N, 2 hidden]
        f = self.second(self.dropout(normed.view_as(f)))  # [B, N, hidden]
        shared = torch.cat([f, clock.unsqueeze(1).expand(-1, nodes, -1)], dim=-1)  # [B, N, hidden + 2 e]
        graphs = []
        for own, mask in zip((target, source), masks.unbind(0), strict=True):
            z = torch.cat([shared, own.expand(batch, -1, -1)], dim=-1)  # [B, N, hidden + 3 e]
            scores = self.query(z) @ self.key(z).transpose(1, 2) / math.sqrt(self.query.out_features)  # [B, N, N]
            graph = self.softmax(scores) * mask  # [B, N, N]
            graphs.append(graph / graph.sum(dim=-1, keepdim=True).clamp_min(1e-30))  # [B, N, N]
        return graphs


def _as_in_evaluation(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def _powers(graph: Tensor) -> list[Tensor]:
    """G, G^2, .., each with its diagonal set to zero after the power: [.., N, N] each."""
    nodes = graph.shape[-1]
    elsewhere = 1 - torch.eye(nodes, dtype=graph.dtype, device=graph.device)  # [N, N]
    powers = [graph]
    while len(powers) < _POWERS:
        powers.append(powers[-1] @ graph)
    return [power * elsewhere for power in powers]


class _Layer(nn.Module):
    """One split: signal [B, N, L, hidden] -> [B, N, L - 2, hidden] and what both parts forecast, [B, N, P, forecast].

    The last one returns its signal before the inherent part was taken out, which nobody asks for.
    """

    def __init__(
        self, hidden: int, embedding_width: int, heads: int, forecast_width: int, dropout: float, goes_on: bool,
        legacy: bool,
    ):  # fmt: skip
        super().__init__()
        self.gate1 = nn.Linear(4 * embedding_width, 2 * hidden)
        self.gate2 = nn.Linear(2 * hidden, 1)
        self.diffusion = _Diffusion(hidden, dropout, legacy)
        self.diffusion_forecast = nn.Linear(hidden, forecast_width)
        self.diffusion_back = nn.Linear(hidden, hidden)
        self.diffusion_norm = nn.LayerNorm(hidden)
        self.inherent = _Inherent(hidden, heads, dropout)
        self.inherent_forecast = nn.Linear(hidden, forecast_width)
        self.goes_on = goes_on
        if goes_on or legacy:
            self.inherent_back = nn.Linear(hidden, hidden).requires_grad_(goes_on)
            self.inherent_norm = nn.LayerNorm(hidden).requires_grad_(goes_on)

    def forward(
        self, signal: Tensor, clock: Tensor, nodes: Tensor, graphs: list[Tensor], positions: int
    ) -> tuple[Tensor, Tensor]:
        steps = signal.shape[2]
        # The clock is the same for all nodes and the nodes for all steps: each is mapped once, then both are added.
        of_clock, of_nodes = self.gate1.weight.split([clock.shape[-1], nodes.shape[-1]], dim=1)
        said = F.linear(clock[:, -steps:], of_clock, self.gate1.bias)  # [B, L, 2 hidden]
        both = said.unsqueeze(1) + F.linear(nodes, of_nodes).unsqueeze(1)  # [B, N, L, 2 hidden]
        gated = self.gate2(both.relu_()).sigmoid() * signal  # [B, N, L, hidden]
        diffused = self.diffusion(gated, graphs)  # [B, N, L - 2, hidden]
        forecast = self.diffusion_forecast(self.diffusion.go_on(gated, diffused, graphs, positions))  # [B, N, P, f]
        rest = signal[:, :, _KERNEL - 1 :] - self.diffusion_back(diffused).relu()  # [B, N, L - 2, hidden]
        rest = self.diffusion_norm(rest)  # [B, N, L - 2, hidden]
        states, own = self.inherent(rest)  # [B, N, L - 2, hidden] each
        forecast = forecast + self.inherent_forecast(self.inherent.go_on(states, own, positions))  # [B, N, P, f]
        if not self.goes_on:
            return rest, forecast
        return self.inherent_norm(rest - self.inherent_back(own).relu()), forecast


class _Diffusion(nn.Module):
    """What the neighbours send over three steps: x [B, N, L, hidden] -> [B, N, L - 2, hidden]."""

    def __init__(self, hidden: int, dropout: float, legacy: bool):
        super().__init__()
        self.window = nn.Linear(_KERNEL * hidden, _KERNEL * hidden, bias=False)
        self.mix = nn.Linear((1 + _POWERS * _GRAPHS) * hidden, hidden)
        self.dropout = Dropout(dropout)
        self.unused = nn.BatchNorm2d(hidden).requires_grad_(False) if legacy else None

    def forward(self, x: Tensor, graphs: list[Tensor]) -> Tensor:
        steps = x.shape[2] - _KERNEL + 1
        window = torch.cat([x[:, :, k : k + steps] for k in range(_KERNEL)], dim=-1)  # [B, N, steps, 3 hidden]
        s = self.window(window).relu().unflatten(-1, (_KERNEL, -1)).sum(dim=-2)  # [B, N, steps, hidden]
        weights = self.mix.weight.split(s.shape[-1], dim=1)  # [hidden, hidden] each
        around = (apply(graph, s, dim=1) for graph in graphs)
        terms = itertools.chain([s / _KERNEL], around)  # [B, N, steps, hidden] each, one after the other
        return self.dropout(sum_of_maps(terms, weights, self.mix.bias))  # [B, N, steps, hidden]

    def go_on(self, x: Tensor, diffused: Tensor, graphs: list[Tensor], positions: int) -> Tensor:
        """Its own last outputs in place of what would be read next: [B, N, positions, hidden]."""
        known = torch.cat([x[:, :, 1 - _KERNEL :], diffused[:, :, -1:]], dim=2)  # [B, N, 3, hidden]
        for _ in range(positions - 1):
            known = torch.cat([known, self(known[:, :, -_KERNEL:], graphs)], dim=2)  # [B, N, 3 + .., hidden]
        return known[:, :, _KERNEL - 1 :]  # [B, N, positions, hidden]


class _Inherent(nn.Module):
    """The node's own: x [B, N, L, hidden] -> states of a GRU with positions, and attention over them, both alike."""

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.attention = Attention(dropout)
        self.dropout = Dropout(dropout)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        states, _ = self.gru(x.flatten(0, 1))  # [B N, L, hidden]
        states = self._placed(self.dropout(states))  # [B N, L, hidden]
        own = self._attend(self.qkv(states).chunk(3, dim=-1))  # [B N, L, hidden]
        return states.view_as(x), own.view_as(x)

    def go_on(self, states: Tensor, own: Tensor, positions: int) -> Tensor:
        """The GRU fed with its own last forecast: [B, N, L, hidden] twice -> [B, N, positions, hidden]."""
        batch = states.shape[:2]
        states, last = states.flatten(0, 1), own[:, :, -1].flatten(0, 1)  # [B N, L, hidden], [B N, hidden]
        forecast = [last]
        of_query, of_rest = self.qkv.weight.tensor_split([states.shape[-1]])
        query_bias, rest_bias = self.qkv.bias.tensor_split([states.shape[-1]])
        for _ in range(positions - 1):
            state = torch.gru_cell(forecast[-1], states[:, -1], *self.gru.all_weights[0])  # [B N, hidden]
            state = state.unsqueeze(1)  # [B N, 1, hidden]
            states = self._placed(torch.cat([states, state], dim=1))  # [B N, L + .., hidden]
            q = F.linear(state, of_query, query_bias)  # [B N, 1, hidden]
            k, v = F.linear(states, of_rest, rest_bias).chunk(2, dim=-1)  # [B N, L + .., hidden] each
            forecast.append(self._attend((q, k, v)).squeeze(1))  # [B N, hidden]
        return torch.stack(forecast, dim=1).unflatten(0, batch)  # [B, N, positions, hidden]

    def _attend(self, qkv: tuple[Tensor, ...]) -> Tensor:
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in qkv)  # [B N, heads, L, d] each
        attended = self.attention(q, k, v).transpose(1, 2).flatten(2)  # [B N, L, hidden]
        return self.dropout(self.out(attended))  # [B N, L, hidden]

    def _placed(self, states: Tensor) -> Tensor:
        """States with a wave for each position added: [B N, L, hidden] -> the same."""
        steps, hidden = states.shape[1:]
        form = {"dtype": torch.promote_types(states.dtype, torch.float32), "device": states.device}
        rate = torch.exp(torch.arange(0, hidden, 2, **form) * (-math.log(1e4) / hidden))  # [hidden / 2]
        angle = torch.arange(steps, **form).unsqueeze(1) * rate  # [L, hidden / 2]
        waves = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)  # [L, hidden]
        return self.dropout(states + waves.to(states.dtype))
