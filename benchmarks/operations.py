"""Where the time of an inference and of a training step goes, by operation, at the size of METR-LA, and what they move.

python benchmarks/operations.py [--backbones A B ...] [--nodes N] [--threads T] [--out FILE]

Shares are those of the profiler of torch, each operation without what it calls; profiling itself slows what is made of
many small operations, so that shares hold, and times do not. Gigabytes are what the operations of torch read and
write, each tensor once an operation, views nothing: what a machine without caches would move. Beside them stand, of the
same run, an inference's milliseconds, the peak of a large product and the speed of a copy.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import batch_of, keep, origin  # noqa: E402

from fieldcast.core.allocator import prepare_memory  # noqa: E402
from fieldcast.workflows.bench import Size  # noqa: E402
from fieldcast.workflows.bench.clock import matmul_peak, milliseconds, summary  # noqa: E402
from fieldcast.workflows.bench.subject import Subject  # noqa: E402

KINDS = ("inference", "step")
ROUNDS = 5
NAMES = ("lstm", "stgcn", "graph_wavenet", "agcrn", "staeformer", "d2stgnn", "dcrnn")


def shares(subject: Subject, kind: str, least: float = 2.0) -> dict[str, float]:
    """Percent of the time in each operation, those of ``least`` percent and more, the greatest first."""
    work = subject.infer if kind == "inference" else subject.step
    work()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    spent = {each.key.removeprefix("aten::"): each.self_cpu_time_total for each in found.key_averages()}
    whole = sum(spent.values())
    percent = {name: round(100 * each / whole, 1) for name, each in sorted(spent.items(), key=lambda item: -item[1])}
    return {name: each for name, each in percent.items() if each >= least}


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write: their tensors in and out, but for views and fresh memory."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not (func.is_view or func.__name__.startswith(("empty", "detach"))):
            for each in tree_leaves([args, kwargs or {}, out]):
                if isinstance(each, torch.Tensor):
                    stored = each.numel() if each.layout == torch.strided else each._nnz()
                    self.bytes += stored * each.element_size()
        return out


def gigabytes(subject: Subject, kind: str) -> float:
    with Traffic() as traffic:
        (subject.infer if kind == "inference" else subject.step)()
    return round(traffic.bytes / 1e9, 2)


def bandwidth(rounds: int = 5) -> float:
    """GB/s read and written by a copy of 256 MB into memory in use, the best of some rounds."""
    here, there = torch.ones(2**26), torch.zeros(2**26)
    return 2 * here.nbytes / min(milliseconds(lambda: there.copy_(here)) for _ in range(rounds)) / 1e6


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--nodes", type=int, default=207)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file for the shares")
    arguments = parser.parse_args(argv)
    prepare_memory()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name in arguments.backbones:
        subject = Subject(name, Size(arguments.nodes, batch_size=batch_of(name)))
        row = {"backbone": name, **{kind: shares(subject, kind) for kind in KINDS}}
        row |= {"gigabytes": {kind: gigabytes(subject, kind) for kind in KINDS}}
        row |= {"batch_size": batch_of(name), "gflop": subject.flops() / 1e9}
        rows.append(row | {"inference_ms": summary([milliseconds(subject.infer) for _ in range(ROUNDS)])})
        print(json.dumps(rows[-1]), flush=True)
    result = {
        "what": "percent of the time in each operation, without what it calls", "nodes": arguments.nodes,
        "backbones": rows, "copy_gb_per_second": round(bandwidth(), 1),
        "matmul_peak_gflops": round(matmul_peak("cpu"), 1), **origin("benchmarks/operations.py", argv),
    }  # fmt: skip
    if arguments.out:
        keep(arguments.out, result)


if __name__ == "__main__":
    main()
