"""What an adapter adds to the time of a backbone, at the size of METR-LA: in training together, and tuned alone.

python benchmarks/adapters.py [--backbones A B ...] [--nodes N] [--rounds K] [--threads T] [--out FILE]

A backbone alone, with ST-LoRA (both trained), and with ST-LoRA on it frozen, in one process and in turn; ratios to the
backbone alone, medians over the rounds. A step is zero_grad, forward, masked MAE, backward, clipping and Adam. With
--out a backbone is written as soon as it is measured, in place of its figures for as many sensors.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import batch_of, keep, origin, rows_of, with_row  # noqa: E402

from fieldcast.core.allocator import prepare_memory  # noqa: E402
from fieldcast.forecaster import freeze, make_stage  # noqa: E402
from fieldcast.workflows.bench import Size  # noqa: E402
from fieldcast.workflows.bench.clock import in_turn, summary  # noqa: E402
from fieldcast.workflows.bench.subject import Subject  # noqa: E402

SIX = ("lstm", "stgcn", "graph_wavenet", "agcrn", "staeformer", "d2stgnn")
WAYS = ("alone", "joint", "finetune")


def subject(name: str, size: Size, way: str) -> Subject:
    made = Subject(name, size, stages=[] if way == "alone" else [make_stage("st_lora")])
    if way == "finetune":
        freeze(made.forecaster, "finetune")
    return made


def measure(name: str, nodes: int, rounds: int) -> dict[str, Any]:
    """Inference and step of the three ways, in turn."""
    size = Size(nodes=nodes, batch_size=batch_of(name))
    subjects = {way: subject(name, size, way) for way in WAYS}
    base, adapted = (sum(each.numel() for each in subjects[way].forecaster.parameters()) for way in WAYS[:2])
    found: dict[str, Any] = {
        "parameters": base, "extra_parameters": adapted - base, "rank": subjects["joint"].forecaster.after[0].rank,
    }  # fmt: skip
    for kind in ("inference", "step"):
        ways = WAYS[:2] if kind == "inference" else WAYS
        works = {way: subjects[way].infer if kind == "inference" else subjects[way].step for way in ways}
        spent = in_turn(works, rounds)
        found[kind] = {way: summary(each) for way, each in spent.items()}
        found[kind] |= {
            f"{way}_over_alone": round(statistics.median(a / b for a, b in zip(each, spent["alone"], strict=True)), 4)
            for way, each in spent.items()
            if way != "alone"
        }
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=list(SIX), choices=list(SIX))
    parser.add_argument("--nodes", type=int, default=207)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args(argv)
    prepare_memory()
    torch.set_num_threads(arguments.threads)
    rows = rows_of(arguments.out)
    for name in arguments.backbones:
        found = measure(name, arguments.nodes, arguments.rounds)
        ratios = {
            kind: {key: value for key, value in found[kind].items() if "over" in key} for kind in ("inference", "step")
        }
        print(name, ratios, file=sys.stderr, flush=True)
        row = {"backbone": name, "nodes": arguments.nodes, "batch_size": batch_of(name), **found}
        rows = with_row(rows, row | origin("benchmarks/adapters.py", argv))
        keep(arguments.out, {"what": "with ST-LoRA over the backbone alone", "rows": rows})


if __name__ == "__main__":
    main()
