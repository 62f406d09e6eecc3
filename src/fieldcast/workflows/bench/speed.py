"""Speed: inference and training step of backbones, in turn within one process, so that their ratios are paired."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fieldcast.evaluation.protocol import machine_record, version_record
from fieldcast.workflows.bench.clock import check_device, environment, matmul_peak, milliseconds, summary
from fieldcast.workflows.bench.subject import Size, Subject
from fieldcast.workflows.running import Say, count_parameters


def measure_speed(
    backbones: Sequence[str], size: Size, *, rounds: int = 7, warm_up: int = 2, device: str = "auto",
    say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Milliseconds of inference and step (median, min, max over rounds), samples/s, FLOPs, share of the matmul peak.

    In each round every backbone is measured once, after ``warm_up`` rounds that do not count; a ratio to the first
    backbone is the median over rounds of the round's own ratio.
    """
    device = check_device(device)
    peak = matmul_peak(device)
    say(f"matmul peak {peak:.0f} GFLOP/s on {device}")
    subjects = [Subject(name, size, device) for name in backbones]
    flops = [subject.flops() for subject in subjects]
    spent: dict[str, list[list[float]]] = {"inference": [[] for _ in subjects], "step": [[] for _ in subjects]}
    for number in range(warm_up + rounds):
        for kind, works in (("inference", [s.infer for s in subjects]), ("step", [s.step for s in subjects])):
            for place, work in enumerate(works):
                took = milliseconds(work, device)
                if number >= warm_up:
                    spent[kind][place].append(took)
        say(f"round {number + 1} of {warm_up + rounds}{' (warming up)' if number < warm_up else ''}")
    rows = []
    for place, subject in enumerate(subjects):
        row: dict[str, Any] = {
            "backbone": subject.name, "parameters": count_parameters(subject.forecaster),
            "gflop": round(flops[place] / 1e9, 4),
        }  # fmt: skip
        # A training step does about three times the arithmetic of its forward pass.
        for kind, times in (("inference", 1), ("step", 3)):
            mine, first = spent[kind][place], spent[kind][0]
            median = statistics.median(mine)
            share = times * flops[place] / median / 1e6 / peak
            row[kind] = summary(mine) | {
                "samples_per_second": round(1e3 * size.batch_size / median, 1),
                "ratio_to_first": round(statistics.median(a / b for a, b in zip(mine, first, strict=True)), 4),
                "percent_of_peak": round(100 * share, 1) if flops[place] else None,
            }
        rows.append(row)
    return {
        "what": "milliseconds of inference and training step; random readings, 2 % missing, 8 nearest neighbours",
        "size": asdict(size), "matmul_peak_gflops": round(peak, 1), "backbones": rows, "warm_up": warm_up,
        "environment": environment(device), "machine": machine_record(), "versions": version_record(),
    }  # fmt: skip
