"""How many times as fast as plainly written ones our backbones are, at the size of METR-LA.

python benchmarks/ratios.py [--backbones A B ...] [--nodes N] [--rounds K] [--threads T] [--out FILE]

With --out each backbone is written as soon as it is measured, in place of its figures for as many sensors in the file.

Two ratios, plain over ours, medians over paired rounds. *Same environment*: both in one process, in turn. *As shipped*:
each in a fresh process, in turn, ours with what `fieldcast` sets by itself, the plain one with the system's defaults.
Inference is a forward pass in eval mode without gradients; a step is zero_grad, forward, masked MAE, backward and Adam
in training mode. Both read the same scaled mini-batch with its calendar channels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import batch_of, keep, origin, rows_of, with_row  # noqa: E402
from benchmarks.plain import PLAIN  # noqa: E402

from fieldcast.core.allocator import prepare_memory  # noqa: E402
from fieldcast.core.context import Context  # noqa: E402
from fieldcast.nn.calendar import with_clock  # noqa: E402
from fieldcast.workflows.bench import Size  # noqa: E402
from fieldcast.workflows.bench.clock import VARIABLES, environment, in_turn, matmul_peak, milliseconds, summary  # noqa: E402
from fieldcast.workflows.bench.subject import Subject, count_flops  # noqa: E402


def forward_of(model: nn.Module, x: Tensor, ctx: Context, clock: bool, sizes: tuple[int, int]) -> Callable[[], Tensor]:
    """A plain one's forward pass over what the fast one reads."""
    steps = x.shape[1]
    ids = (
        (ctx.calendar[:, :steps, 0], ctx.calendar[:, :steps, 1])
        if "slot" in signature(model.forward).parameters
        else ()
    )
    return lambda: model(with_clock(x, ctx.calendar, sizes) if clock else x, *ids)


class Pair:
    """A backbone and its plain form on the same mini-batch; ``infer`` and ``step`` by ``ours`` or ``plain``."""

    def __init__(self, name: str, nodes: int, only: str = "", device: str = "cpu"):
        size = Size(nodes=nodes, batch_size=batch_of(name))
        subject = Subject(name, size, device)
        forecaster, batch = subject.forecaster, subject._batch
        backbone = forecaster.backbone
        x, ctx = forecaster.prepare(batch)
        assert batch.y is not None and batch.y_observed is not None
        self.observed = batch.y_observed  # [B, H, N, O]
        self.y = torch.where(self.observed, forecaster.rescale(batch.y), 0.0)  # [B, H, N, O]
        self.models: dict[str, nn.Module] = {"ours": backbone, "plain": PLAIN[name](deepcopy(backbone)).to(device)}  # type: ignore[arg-type]
        clock, sizes = bool(backbone.calendar_inputs), backbone.calendar_sizes  # type: ignore[arg-type]
        self.forwards = {
            "ours": lambda: backbone(x, ctx),
            "plain": forward_of(self.models["plain"], x, ctx, clock, sizes),  # type: ignore[arg-type]
        }
        for part in (self.models, self.forwards):  # nothing of the other lies about
            part.pop({"ours": "plain", "plain": "ours"}.get(only, ""), None)
        self.optimisers = {which: torch.optim.Adam(model.parameters()) for which, model in self.models.items()}
        self.flops = {} if only else {which: self.count(which) for which in self.models}

    def count(self, which: str) -> int:
        """Floating-point operations of a forward pass."""
        return count_flops(partial(self.infer, which))

    def infer(self, which: str) -> None:
        self.models[which].eval()
        with torch.no_grad():
            self.forwards[which]()

    def step(self, which: str) -> None:
        self.models[which].train()
        self.optimisers[which].zero_grad()
        error = torch.where(self.observed, self.forwards[which]() - self.y, 0.0).abs()
        loss = error.sum() / self.observed.sum()
        loss.backward()
        self.optimisers[which].step()


def same(name: str, nodes: int, rounds: int, device: str = "cpu") -> dict[str, Any]:
    """Both in this process, in turn."""
    pair, peak = Pair(name, nodes, device=device), matmul_peak(device)
    found: dict[str, Any] = {"flops": pair.flops, "matmul_peak_gflops": round(peak, 1)}
    for kind, work, times in (("inference", pair.infer, 1), ("step", pair.step, 3)):
        spent = in_turn({which: partial(work, which) for which in ("ours", "plain")}, rounds, device)
        ratios = [plain / ours for plain, ours in zip(spent["plain"], spent["ours"], strict=True)]
        found[kind] = {
            **{which: summary(each) for which, each in spent.items()},
            "ratio": round(statistics.median(ratios), 3), "ratios": [round(ratio, 3) for ratio in ratios],
            "percent_of_peak": {
                which: round(100 * times * pair.flops[which] / statistics.median(each) / 1e6 / peak, 1)
                for which, each in spent.items()
            },
        }  # fmt: skip
    return found


def alone(name: str, nodes: int, which: str, rounds: int = 2) -> dict[str, Any]:
    """One of the two in this process: medians of inference and step, and the variables that it ran under."""
    pair = Pair(name, nodes, only=which)
    found: dict[str, Any] = {"variables": environment("cpu")["variables"]}
    for kind, work in (("inference", pair.infer), ("step", pair.step)):
        work(which)
        found[kind] = statistics.median(milliseconds(partial(work, which), "cpu") for _ in range(rounds))
    return found


def shipped(name: str, nodes: int, rounds: int, threads: int) -> dict[str, Any]:
    """Each in fresh processes, in turn."""
    spent: dict[str, dict[str, list[float]]] = {kind: {"ours": [], "plain": []} for kind in ("inference", "step")}
    bare = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    variables = {}
    for number in range(rounds):
        for which in sorted(("ours", "plain"), reverse=number % 2 == 0):
            words = [sys.executable, __file__, "--alone", which, "--backbones", name, "--nodes", str(nodes)]
            done = subprocess.run(
                [*words, "--threads", str(threads)], capture_output=True, text=True, check=True, env=bare
            )
            said = json.loads(done.stdout)
            variables[which] = said.pop("variables")
            for kind, took in said.items():
                spent[kind][which].append(took)
    found: dict[str, Any] = {"variables": variables}
    for kind, both in spent.items():
        ratios = [plain / ours for plain, ours in zip(both["plain"], both["ours"], strict=True)]
        found[kind] = {
            **{which: summary(each) for which, each in both.items()},
            "ratio": round(statistics.median(ratios), 3), "ratios": [round(ratio, 3) for ratio in ratios],
        }  # fmt: skip
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=list(PLAIN), choices=list(PLAIN))
    parser.add_argument("--nodes", type=int, default=207)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", choices=["ours", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args(argv)
    if arguments.alone == "ours":
        prepare_memory()
    torch.set_num_threads(arguments.threads)
    if arguments.alone:
        print(json.dumps(alone(arguments.backbones[0], arguments.nodes, arguments.alone)))
        return
    rows = rows_of(arguments.out)
    for name in arguments.backbones:
        row = {
            "backbone": name, "nodes": arguments.nodes, "batch_size": batch_of(name),
            "same_environment": same(name, arguments.nodes, arguments.rounds),
            "as_shipped": shipped(name, arguments.nodes, arguments.rounds, arguments.threads),
        }  # fmt: skip
        parts = ("same_environment", "as_shipped")
        line = {part: {kind: row[part][kind]["ratio"] for kind in ("inference", "step")} for part in parts}
        print(name, line, file=sys.stderr, flush=True)
        rows = with_row(rows, row | origin("benchmarks/ratios.py", argv))
        keep(arguments.out, {"what": "plain over ours: how many times as fast ours is", "rows": rows})


if __name__ == "__main__":
    main()
