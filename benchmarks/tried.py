"""Forms of a step that look faster and are not, at the size of METR-LA, each beside the form that is kept.

python benchmarks/tried.py [--rounds K] [--threads T] [--out FILE]

Both forms in one process, in turn; the ratio is kept over tried, median of the paired rounds: above
1 the tried form is faster.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import keep, origin  # noqa: E402

from fieldcast.backbones import agcrn, d2stgnn, graph_wavenet, staeformer  # noqa: E402
from fieldcast.core.allocator import prepare_memory  # noqa: E402
from fieldcast.data.graph import from_coordinates  # noqa: E402
from fieldcast.nn.adaptive import AdaptiveAdjacency  # noqa: E402
from fieldcast.nn.graph import Support, apply, sum_of_maps  # noqa: E402
from fieldcast.nn.linear import Linear  # noqa: E402
from fieldcast.workflows.bench import Size  # noqa: E402
from fieldcast.workflows.bench.clock import in_turn, summary  # noqa: E402
from fieldcast.workflows.bench.subject import Subject  # noqa: E402

NODES, BATCH, WIDTH, STEPS = 207, 64, 32, 12
Forms = tuple[Callable[[], Any], Callable[[], Any]]


def supports(generator: torch.Generator) -> tuple[list[Support], Tensor, Tensor]:
    """Two walks over eight neighbours, kept by edges; a dense adaptive graph; x [N, STEPS * BATCH, WIDTH]."""
    places = torch.rand(NODES, 2, generator=generator).numpy() + np.array([34.0, -118.0])
    graph = from_coordinates(places, 8)
    walks = [Support(walk) for walk in graph.supports("double_transition")]
    links = torch.rand(NODES, NODES, generator=generator).softmax(dim=1)
    return walks, links, torch.randn(NODES, STEPS * BATCH, WIDTH, generator=generator)


def stacked(generator: torch.Generator) -> Forms:
    """Graph WaveNet's six graph products and the map behind them: in turn, or as one product of stacked powers."""
    walks, links, x = supports(generator)
    weights = [torch.randn(WIDTH, WIDTH, generator=generator) for _ in range(7)]
    dense = [walk.tensor().to_dense() for walk in walks] + [links]
    powers = torch.cat([power for each in dense for power in (each, each @ each)])  # [6 N, N], made once
    maps = [*(lambda v, walk=walk: walk(v, dim=0) for walk in walks), lambda v: apply(links, v, dim=0)]

    def in_turn() -> Tensor:
        terms = [x]
        for each in maps:
            terms += [once := each(x), each(once)]
        return sum_of_maps(terms, weights)

    def at_once() -> Tensor:
        said = (powers @ x.flatten(1)).view(6, *x.shape)  # [6, N, STEPS * BATCH, WIDTH]
        return sum_of_maps([x, *said.unbind(0)], weights)

    torch.testing.assert_close(in_turn(), at_once(), rtol=1e-3, atol=1e-3)
    return in_turn, at_once


class InputFirst(agcrn._Cell):
    """AGCRN's cell with the input's share of the gates, of all steps, made in one product before the loop."""

    def forward(
        self, heard: Sequence[Tensor], graph: Tensor, embedding: Tensor, *, onward: bool
    ) -> tuple[list[Tensor], Tensor]:
        own, around, width, steps = agcrn._own, agcrn._around, self.width, len(heard)
        of_input, of_state = slice(self.channels), slice(self.channels, None)
        into = own(embedding, torch.cat([self.gate_pool[:, :, of_input], self.candidate_pool[:, :, of_input]], dim=-1))
        gate, candidate = (
            own(embedding, self.gate_pool[:, :, of_state]),
            own(embedding, self.candidate_pool[:, :, of_state]),
        )
        bias = (embedding @ torch.cat([self.gate_bias, self.candidate_bias], dim=-1)).unsqueeze(1)  # [N, 1, 3 width]
        said = torch.baddbmm(bias, torch.cat(list(heard), dim=1), into).split(heard[0].shape[1], dim=1)
        h = heard[0].new_zeros(*heard[0].shape[:2], width)  # [N, B, width]
        told: list[Tensor] = []
        for step, each in enumerate(said):
            to_gate, to_candidate = each.split([2 * width, width], dim=-1)
            if step:
                to_gate = torch.baddbmm(to_gate, told[-1], gate)
            z, r = to_gate.sigmoid().chunk(2, dim=-1)
            if step:
                to_candidate = torch.baddbmm(to_candidate, around(z * h, graph, self.order), candidate)
            h = torch.lerp(to_candidate.tanh(), h, r)
            if not onward:
                told.clear()
            if onward or step < steps - 1:
                told.append(around(h, graph, self.order))
        return told, h


def hoisted(kind: str) -> Callable[[torch.Generator], Forms]:
    """AGCRN with a product of the input within each step, or with one over all steps before the loop."""

    def forms(_: torch.Generator) -> Forms:
        size = Size(nodes=NODES, batch_size=BATCH)
        kept, tried = Subject("agcrn", size), Subject("agcrn", size)
        for cell in tried.forecaster.backbone.cells:  # type: ignore[union-attr]
            cell.__class__ = InputFirst
        said = [each.forecaster.eval().forecast(each._batch) for each in (kept, tried)]
        torch.testing.assert_close(*said)
        return getattr(kept, kind), getattr(tried, kind)

    return forms


class FoldedNorm(graph_wavenet._Layer):
    """Graph WaveNet's layer in eval mode, the scale and shift of its batch norm within the map before it."""

    def forward(self, x: Tensor, maps: Sequence[Callable[[Tensor], Tensor]]) -> tuple[Tensor, Tensor]:
        if not self.goes_on:
            return super().forward(x, maps)
        scale = self.norm.weight * (self.norm.running_var + self.norm.eps).rsqrt()  # [width]
        shift = self.norm.bias + (self.diffusion.bias - self.norm.running_mean) * scale  # [width]
        earlier, later = x[: -self.dilation], x[self.dilation :]
        f, g = sum_of_maps((earlier, later), self.gate.weight.chunk(2, dim=1), self.gate.bias).chunk(2, dim=-1)
        x = f.tanh() * g.sigmoid()
        said = self.skip(x[-1])
        weights = (scale.unsqueeze(1) * self.diffusion.weight).split(x.shape[-1], dim=1)
        out = sum_of_maps(graph_wavenet.diffusion_terms(maps, x.transpose(0, 1).contiguous(), 2), weights, shift)
        return torch.addcmul(out.transpose(0, 1), later, scale), said


class CachedKeys(d2stgnn._Inherent):
    """D2STGNN's own forecasts in eval mode, whose keys and values are moved by the waves' and not made anew."""

    def go_on(self, states: Tensor, own: Tensor, positions: int) -> Tensor:
        batch = states.shape[:2]
        states, last = states.flatten(0, 1), own[:, :, -1].flatten(0, 1)  # [B N, L, hidden], [B N, hidden]
        forecast = [last]
        of_query, of_rest = self.qkv.weight.tensor_split([states.shape[-1]])
        query_bias, rest_bias = self.qkv.bias.tensor_split([states.shape[-1]])
        known, latest = F.linear(states, of_rest, rest_bias), states[:, -1]  # [B N, L, 2 hidden], [B N, hidden]
        for _ in range(positions - 1):
            state = torch.gru_cell(forecast[-1], latest, *self.gru.all_weights[0])  # [B N, hidden]
            waves = self._placed(state.new_zeros(1, known.shape[1] + 1, state.shape[-1]))  # [1, L + 1, hidden]
            latest = state + waves[:, -1]
            added = F.linear(latest, of_rest, rest_bias).unsqueeze(1)  # [B N, 1, 2 hidden]
            known = torch.cat([known + F.linear(waves[:, :-1], of_rest), added], dim=1)  # [B N, L + 1, 2 hidden]
            q = F.linear(state.unsqueeze(1), of_query, query_bias)  # [B N, 1, hidden]
            forecast.append(self._attend((q, *known.chunk(2, dim=-1))).squeeze(1))
        return torch.stack(forecast, dim=1).unflatten(0, batch)


class Joined(staeformer.STAEformer):
    """STAEformer whose first layer makes its queries as all others do, of all D columns."""

    def first_qkv(self, x: Tensor, clock: Tensor) -> None:  # type: ignore[override]
        return None


def in_place_of(backbone: str, kept_form: type, tried_form: type, batch: int = BATCH) -> Callable[..., Forms]:
    """An inference with one form of a part and with the other."""

    def forms(_: torch.Generator) -> Forms:
        kept, tried = (Subject(backbone, Size(nodes=NODES, batch_size=batch)) for _ in range(2))
        found = [each for each in tried.forecaster.modules() if type(each) is kept_form]
        assert found
        for each in found:
            each.__class__ = tried_form
        said = [each.forecaster.eval().forecast(each._batch) for each in (kept, tried)]
        torch.testing.assert_close(*said, rtol=1e-4, atol=1e-4)
        return kept.infer, tried.infer

    return forms


def all_gates(generator: torch.Generator) -> Forms:
    """D2STGNN's gates of five layers, maps of clocks and of nodes: a product for each, or one for all layers."""
    clock, nodes = torch.randn(16, STEPS, 20, generator=generator), torch.randn(NODES, 20, generator=generator)
    weights = [torch.randn(64, 40, generator=generator) for _ in range(5)]
    of_clock, of_nodes = torch.cat(weights).split([20, 20], dim=1)

    def in_turn() -> list[Tensor]:
        both = [weight.split([20, 20], dim=1) for weight in weights]
        return [F.linear(clock, one).unsqueeze(1) + F.linear(nodes, other).unsqueeze(1) for one, other in both]

    def at_once() -> list[Tensor]:
        times, places = F.linear(clock, of_clock).split(64, dim=-1), F.linear(nodes, of_nodes).split(64, dim=-1)
        return [one.unsqueeze(1) + other.unsqueeze(1) for one, other in zip(times, places, strict=True)]

    torch.testing.assert_close(in_turn(), at_once(), rtol=1e-4, atol=1e-4)
    return in_turn, at_once


def kept_adjacency(backbone: str, batch: int) -> Callable[[torch.Generator], Forms]:
    """The learned graph made in each forward pass, or kept between them in eval mode."""

    def forms(_: torch.Generator) -> Forms:
        subject = Subject(backbone, Size(nodes=NODES, batch_size=batch))
        module = next(each for each in subject.forecaster.modules() if isinstance(each, AdaptiveAdjacency))
        made, kept = module.forward, {}

        def anew() -> None:
            module.forward = made  # type: ignore[method-assign]
            subject.infer()

        def from_before() -> None:
            module.forward = lambda *given: kept.setdefault("graph", made(*given)) if not kept else kept["graph"]  # type: ignore[method-assign,assignment]
            subject.infer()

        return anew, from_before

    return forms


TRIED: dict[str, tuple[str, Callable[[torch.Generator], Forms]]] = {
    "stacked supports": ("Graph WaveNet: one product of six stacked powers in the place of six in turn", stacked),
    "input before the loop": ("AGCRN: the input's share of the gates in one product before the loop", hoisted("infer")),
    "input before the loop, step": ("the same, a training step", hoisted("step")),
    "folded norm": (
        "Graph WaveNet: batch norm within the map before it",
        in_place_of("graph_wavenet", graph_wavenet._Layer, FoldedNorm),
    ),
    "kept keys": (
        "D2STGNN, 16 windows: keys and values of its own forecasts moved and not made anew",
        in_place_of("d2stgnn", d2stgnn._Inherent, CachedKeys, 16),
    ),
    "all gates": ("D2STGNN, 16 windows: the gates of all layers in one product; the gates alone", all_gates),
    "torch's maps": (
        "STAEformer, 16 windows: torch's own linear maps for those by convolution",
        in_place_of("staeformer", Linear, nn.Linear, 16),
    ),
    "joined": (
        "the same, 16 windows: the first queries, keys and values from the joined parts",
        in_place_of("staeformer", staeformer.STAEformer, Joined, 16),
    ),
    "convolved maps": (
        "D2STGNN, 16 windows: linear maps by convolution",
        in_place_of("d2stgnn", nn.Linear, Linear, 16),
    ),
    "kept graph, AGCRN": ("the learned graph kept between forward passes, 64 windows", kept_adjacency("agcrn", 64)),
    "kept graph, Graph WaveNet": ("the same", kept_adjacency("graph_wavenet", 64)),
    "kept graph, one window": ("the same for Graph WaveNet on one window", kept_adjacency("graph_wavenet", 1)),
}


def measure(forms: Forms, rounds: int) -> dict[str, Any]:
    spent = in_turn(dict(zip(("kept", "tried"), forms, strict=True)), rounds)
    ratios = [kept / tried for kept, tried in zip(*spent.values(), strict=True)]
    return {
        **{name: summary(each) for name, each in spent.items()}, "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args(argv)
    prepare_memory()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name, (what, forms) in TRIED.items():
        with torch.no_grad():
            made = forms(torch.Generator().manual_seed(0))
        rows.append({"name": name, "what": what, **measure(made, arguments.rounds)})
        print(name, rows[-1]["ratio"], file=sys.stderr, flush=True)
    what = "kept over tried: above 1 the tried form is faster"
    result = {"what": what, "nodes": NODES, "rows": rows, **origin("benchmarks/tried.py", argv)}
    keep(arguments.out, result)


if __name__ == "__main__":
    main()
