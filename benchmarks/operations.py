"""Where the time of an inference and of a training step goes, by operation, at the size of METR-LA.

python benchmarks/operations.py [--backbones A B ...] [--nodes N] [--threads T] [--out FILE]

Shares are those of the profiler of torch, each operation without what it calls; profiling itself slows what is made of
many small operations, so that shares hold, and times do not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from fieldcast.core.allocator import prepare_memory
from fieldcast.data.files import write_atomically
from fieldcast.evaluation.protocol import machine_record, version_record
from fieldcast.workflows.bench import Size
from fieldcast.workflows.bench.clock import environment
from fieldcast.workflows.bench.subject import Subject

BATCH = {"staeformer": 16, "d2stgnn": 16, "dcrnn": 16}  # others 64
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
        subject = Subject(name, Size(arguments.nodes, batch_size=BATCH.get(name, 64)))
        rows.append({"backbone": name, **{kind: shares(subject, kind) for kind in ("inference", "step")}})
        print(json.dumps(rows[-1]), flush=True)
    result = {
        "what": "percent of the time in each operation, without what it calls", "nodes": arguments.nodes,
        "command": " ".join(["python benchmarks/operations.py", *(sys.argv[1:] if argv is None else argv)]),
        "backbones": rows,
        "environment": environment("cpu"), "machine": machine_record(), "versions": version_record(),
    }  # fmt: skip
    if arguments.out:
        write_atomically(arguments.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
