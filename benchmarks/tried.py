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
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import keep, origin  # noqa: E402

from fieldcast.backbones import agcrn  # noqa: E402
from fieldcast.core.allocator import prepare_memory  # noqa: E402
from fieldcast.data.graph import from_coordinates  # noqa: E402
from fieldcast.nn.adaptive import AdaptiveAdjacency  # noqa: E402
from fieldcast.nn.graph import Support, apply, sum_of_maps  # noqa: E402
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
    result = {"what": what, "nodes": NODES, "batch_size": BATCH, "rows": rows, **origin("benchmarks/tried.py", argv)}
    keep(arguments.out, result)


if __name__ == "__main__":
    main()
