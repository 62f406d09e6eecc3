"""Scale: how time and memory grow with the number of sensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from fieldcast.core.registry import BACKBONES
from fieldcast.errors import FieldcastError
from fieldcast.evaluation.protocol import machine_record, version_record
from fieldcast.workflows.bench.clock import check_device, environment
from fieldcast.workflows.bench.memory import in_a_process
from fieldcast.workflows.bench.subject import Size, with_settings
from fieldcast.workflows.running import Say


def measure_scale(
    backbones: Sequence[str], size: Size, nodes: Sequence[int], *, rounds: int = 3, device: str = "auto",
    say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Step time and peak memory over numbers of nodes, each in a fresh process, with the fitted exponents.

    The exponent p of time ~ N^p (and of the memory above an empty process) is the least-squares slope of log over
    log. A size that fails ends a backbone's row, with the reason.
    """
    if len(set(nodes)) < 2 or min(nodes) < 1:
        raise FieldcastError(f"the numbers of nodes are {list(nodes)}: give at least two, none below 1.")
    device = check_device(device)
    rows = []
    for name in backbones:
        points: list[dict[str, Any]] = []
        for count in sorted(set(nodes)):
            found = in_a_process(name, replace(size, nodes=count), "step", device, rounds)
            points.append({"nodes": count, **found})
            failed = found.get("failed")
            figures = "" if failed else f"{found['milliseconds']['median']:.0f} ms, {found['peak_mb']} MB"
            say(f"{name} {count} nodes: {failed or figures}")
            if failed:
                break
        whole = [point for point in points if "failed" not in point]
        rows.append({
            "backbone": name, "cost": getattr(BACKBONES.get(with_settings(name)[0]), "cost", None), "points": points,
            "time_exponent": _slope(whole, [point["milliseconds"]["median"] for point in whole]),
            "memory_exponent": _slope(whole, [point["peak_mb"] - point["before_mb"] for point in whole]),
        })  # fmt: skip
    return {
        "what": "milliseconds of a training step and peak resident memory over numbers of nodes",
        "size": asdict(size), "backbones": rows, "environment": environment(device), "machine": machine_record(),
        "versions": version_record(),
    }  # fmt: skip


def _slope(points: Sequence[dict[str, Any]], values: Sequence[float]) -> float | None:
    if len(points) < 2 or min(values) <= 0:
        return None
    x, y = (np.log(np.asarray(each, dtype=np.float64)) for each in ([point["nodes"] for point in points], values))
    return round(float(np.polyfit(x, y, 1)[0]), 3)
