"""What backbones do on a GPU: the same as on the CPU? how fast, in how much memory, and beside plainly written ones.

python benchmarks/gpu.py [--backbones A B ...] [--nodes N] [--rounds K] [--device cuda] [--out FILE]

*Same*: forecasts and gradients in float32 from the same weights and mini-batch, against the CPU's, as the norm of the
difference over the norm of the CPU's. *Ratio*: plain over ours, medians over paired rounds in one process, as in
ratios.py. Memory is the most that torch had allocated on the GPU, weights and mini-batch included. With ``bf16`` the
step is the same one under autocast. A backbone that cannot do something has the error in the place of figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import batch_of, keep, origin, rows_of, with_row  # noqa: E402
from benchmarks.plain import PLAIN  # noqa: E402
from benchmarks.ratios import same  # noqa: E402

from fieldcast.training.recompute import recomputing  # noqa: E402
from fieldcast.workflows.bench import Size  # noqa: E402
from fieldcast.workflows.bench.clock import check_device, in_turn, summary  # noqa: E402
from fieldcast.workflows.bench.subject import Subject  # noqa: E402

BACKBONES = ("stid", "lstm", "gcn_gru", "stgcn", "graph_wavenet", "agcrn", "dcrnn", "staeformer", "d2stgnn")


def forecast_and_gradient(subject: Subject) -> tuple[Tensor, Tensor]:
    """A forward pass in eval mode, and the gradient of the sum of squares of what it gives, both on the CPU."""
    model = subject.forecaster.eval()
    x, ctx = model.prepare(subject._batch)
    with torch.no_grad():
        y = model(x, ctx)
    weights = [each for each in model.parameters() if each.requires_grad]
    with torch.backends.cudnn.flags(enabled=False):  # cuDNN's recurrences go back in training mode alone
        found = torch.autograd.grad(model(x, ctx).square().mean(), weights, allow_unused=True)
    gradient = torch.cat([each.flatten() for each in found if each is not None])
    return y.cpu(), gradient.cpu()


def distance(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).norm() / other.double().norm())


def agreement(name: str, size: Size, device: str) -> dict[str, float]:
    here, there = (forecast_and_gradient(Subject(name, size, each)) for each in ("cpu", device))
    return {
        "forecast": distance(there[0], here[0]), "gradient": distance(there[1], here[1]),
        "finite": bool(torch.isfinite(there[0]).all()),
    }  # fmt: skip


def peak(work: Callable[[], Any]) -> float:
    """The most that torch had allocated on the GPU in a call, in MB."""
    work()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return round(torch.cuda.max_memory_allocated() / 1e6, 1)


def costs(name: str, size: Size, device: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of inference, step and step in bf16; MB of each, and of a step that computes its blocks again."""
    subject = Subject(name, size, device)

    def in_bf16() -> None:
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
            subject.step()

    works = {"inference": subject.infer, "step": subject.step, "step in bf16": in_bf16}
    spent = {kind: summary(each) for kind, each in in_turn(works, rounds, device).items()}
    found: dict[str, Any] = {"milliseconds": spent}
    if device == "cuda":
        found["mb"] = {kind: peak(work) for kind, work in works.items()}
        if subject.forecaster.backbone.recompute_blocks:
            with recomputing(subject.forecaster.backbone):
                found["mb"]["step, recomputed"] = peak(subject.step)
    return found


def tried(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a part of the measurement gives, or the error that it ended with, which is a finding too."""
    try:
        return work()
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=list(BACKBONES))
    parser.add_argument("--nodes", type=int, default=207)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    told = parser.parse_args(argv)
    device = check_device(told.device)
    rows = rows_of(told.out)
    for name in told.backbones:
        size = Size(nodes=told.nodes, batch_size=batch_of(name))
        row = {
            "backbone": name, "nodes": told.nodes, "batch_size": size.batch_size,
            "same": tried(partial(agreement, name, Size(nodes=told.nodes, batch_size=4), device)),
            "costs": tried(partial(costs, name, size, device, told.rounds)),
        }  # fmt: skip
        if name in PLAIN:
            row["ratio"] = tried(partial(same, name, told.nodes, told.rounds, device))
        rows = with_row(rows, row)
        keep(told.out, {"what": __doc__.splitlines()[0], "rows": rows, **origin("benchmarks/gpu.py", argv, device)})  # type: ignore[union-attr]
        print(name, row["same"], row["costs"].get("milliseconds", row["costs"]), row.get("ratio", {}).get("failed", ""))


if __name__ == "__main__":
    main()
