"""D2STGNN with each graph tiled over its window of steps, static ones in every convolution, and a GRU cell by steps."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.backbones import d2stgnn


class D2STGNN(nn.Module):
    """x [B, T, N, C], slot and day ids [B, T] -> y [B, H, N, O]; a look-back of 2 x layers + 2 steps or more."""

    def __init__(self, fast: d2stgnn.D2STGNN):
        super().__init__()
        self.horizon, self.targets, self.positions = fast.horizon, fast.targets, fast.positions
        self.start, self.end1, self.end2 = fast.start, fast.end1, fast.end2
        self.slots = nn.Embedding.from_pretrained(fast.slot_embedding.weight.detach(), freeze=False)
        self.days = nn.Embedding.from_pretrained(fast.day_embedding.weight.detach(), freeze=False)
        self.source, self.target = fast.source, fast.target
        self.walks = [walk - 1e-7 for walk in fast.walks]  # [N, N] each
        self.graphs = fast.graphs
        self.layers = nn.ModuleList(_Layer(layer) for layer in fast.layers)

    def forward(self, x: Tensor, slot: Tensor, day: Tensor) -> Tensor:
        batch, _, nodes, _ = x.shape
        of_slot = self.slots(slot[:, :, None].expand(-1, -1, nodes).contiguous())  # [B, T, N, e]
        of_day = self.days(day[:, :, None].expand(-1, -1, nodes).contiguous())  # [B, T, N, e]
        static = F.softmax(F.relu(torch.mm(self.source, self.target.T)), dim=1)
        dynamic = [each for one in self._dynamic(x, of_slot[:, -1], of_day[:, -1]) for each in _localised(one)]
        signal = self.start(x)  # [B, L, N, hidden]
        total: Tensor | float = 0.0
        for layer in self.layers:
            steps = signal.shape[1]
            source = self.source.expand(batch, steps, -1, -1)
            target = self.target.expand(batch, steps, -1, -1)
            known = torch.cat([of_slot[:, -steps:], of_day[:, -steps:], source, target], dim=-1)
            signal, forecast = layer(signal, known, dynamic, static, self.positions)
            total = total + forecast
        h = F.relu(total)  # [B, N, P, f]  # pyright: ignore[reportArgumentType]
        y = self.end2(F.relu(self.end1(h))).flatten(2).unflatten(-1, (-1, self.targets))
        return y[:, :, : self.horizon].transpose(1, 2)

    def _dynamic(self, x: Tensor, slot: Tensor, day: Tensor) -> list[Tensor]:
        made, batch = self.graphs, len(x)
        f = F.relu(made.first(x.transpose(1, 2).flatten(2)))
        f = made.second(made.dropout(made.norm(f.transpose(1, 2)).transpose(1, 2)))
        found = []
        for own, walk in zip((self.target, self.source), self.walks, strict=True):
            z = torch.cat([f, slot, day, own.expand(batch, -1, -1)], dim=-1)
            q, k = made.query(z), made.key(z)
            score = F.softmax(torch.bmm(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1]), dim=-1)
            graph = score * (walk + torch.ones_like(walk) * 1e-7)
            scale = torch.reciprocal(graph.sum(-1))
            found.append(torch.bmm(torch.diag_embed(scale), graph))
        return found


def _localised(graph: Tensor) -> list[Tensor]:
    """[G G G] and [G^2 G^2 G^2] without their diagonals: [.., N, 3 N] each."""
    mask = 1 - torch.eye(graph.shape[-1]).to(graph)
    return [torch.cat([power * mask] * 3, dim=-1) for power in (graph, torch.matmul(graph, graph))]


class _Layer(nn.Module):
    def __init__(self, fast: nn.Module):
        super().__init__()
        self.fast = fast
        gru, hidden = fast.inherent.gru, fast.inherent.gru.hidden_size
        self.cell = nn.GRUCell(hidden, hidden)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(self.cell, name).data = getattr(gru, f"{name}_l0").detach().clone()
        self.attention = nn.MultiheadAttention(hidden, fast.inherent.heads, dropout=fast.diffusion.dropout.p)
        self.attention.in_proj_weight.data = fast.inherent.qkv.weight.detach().clone()
        self.attention.in_proj_bias.data = fast.inherent.qkv.bias.detach().clone()
        self.attention.out_proj = fast.inherent.out
        self.dropout = nn.Dropout(fast.diffusion.dropout.p)

    def forward(
        self, signal: Tensor, known: Tensor, dynamic: list[Tensor], static: Tensor, positions: int
    ) -> tuple[Tensor, Tensor]:
        fast = self.fast
        gate = torch.sigmoid(fast.gate2(F.relu(fast.gate1(known))))
        gated = gate * signal  # [B, L, N, hidden]
        diffused = self._diffuse(gated, dynamic, static)  # [B, L - 2, N, hidden]
        said = [diffused[:, -1:]]
        for _ in range(positions - 1):
            before = gated[:, -(3 - len(said)) :] if len(said) < 3 else gated[:, :0]
            window = torch.cat([before, *said[-3:]], dim=1)
            said.append(self._diffuse(window, dynamic, static))
        forecast = fast.diffusion_forecast(torch.cat(said, dim=1))  # [B, P, N, f]
        rest = fast.diffusion_norm(signal[:, 2:] - F.relu(fast.diffusion_back(diffused)))
        states, own = self._inherent(rest)
        forecast = forecast + fast.inherent_forecast(self._go_on(states, own, positions, rest.shape))
        forecast = forecast.transpose(1, 2)  # [B, N, P, f]
        if not fast.goes_on:
            return rest, forecast
        own = own.view(len(own), rest.shape[0], rest.shape[2], -1).transpose(0, 1)  # [B, L - 2, N, hidden]
        return fast.inherent_norm(rest - F.relu(fast.inherent_back(own))), forecast

    def _diffuse(self, x: Tensor, dynamic: list[Tensor], static: Tensor) -> Tensor:
        graphs = [*dynamic, *_localised(static)]  # the static ones anew in each convolution, as the authors have it
        fast = self.fast.diffusion
        batch, steps, nodes, hidden = x.shape
        window = x.unfold(1, 3, 1).permute(0, 1, 2, 4, 3).reshape(batch, steps - 2, nodes, 3 * hidden)
        window = F.relu(fast.window(window)).view(batch, steps - 2, nodes, 3, hidden)
        terms = [window.mean(dim=-2)]
        stacked = window.transpose(-3, -2).reshape(batch, steps - 2, 3 * nodes, hidden)  # [B, L - 2, 3 N, hidden]
        for graph in graphs:
            tiled = graph.unsqueeze(-3).expand(batch, steps - 2, -1, -1) if graph.dim() == 3 else graph
            terms.append(torch.matmul(tiled, stacked))
        return fast.dropout(fast.mix(torch.cat(terms, dim=-1)))

    def _inherent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, steps, nodes, hidden = x.shape
        series = x.transpose(1, 2).reshape(batch * nodes, steps, hidden)
        h = torch.zeros_like(series[:, 0])
        states = []
        for t in range(steps):
            h = self.cell(series[:, t], h)
            states.append(h)
        placed = self._placed(self.dropout(torch.stack(states, dim=0)))  # [L, B N, hidden]
        own = self.dropout(self.attention(placed, placed, placed)[0])  # [L, B N, hidden]
        return placed, own

    def _go_on(self, states: Tensor, own: Tensor, positions: int, shape: torch.Size) -> Tensor:
        said = [own[-1:]]
        for _ in range(positions - 1):
            state = self.cell(said[-1][0], states[-1]).unsqueeze(0)
            states = self._placed(torch.cat([states, state], dim=0))
            said.append(self.dropout(self.attention(state, states, states)[0]))
        both = torch.cat(said, dim=0)  # [P, B N, hidden]
        return both.view(len(both), shape[0], shape[2], -1).transpose(0, 1)  # [B, P, N, hidden]

    def _placed(self, states: Tensor) -> Tensor:
        steps, _, hidden = states.shape
        rate = torch.exp(torch.arange(0, hidden, 2).to(states) * (-math.log(1e4) / hidden))
        angle = torch.arange(steps).to(states).unsqueeze(1) * rate
        waves = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
        return self.dropout(states + waves.unsqueeze(1))
