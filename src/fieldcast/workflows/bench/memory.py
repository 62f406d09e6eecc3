"""Memory: the peak of one backbone in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch

from fieldcast.core.allocator import prepare_memory
from fieldcast.core.registry import BACKBONES
from fieldcast.errors import FieldcastError
from fieldcast.evaluation.protocol import machine_record, peak_memory, version_record
from fieldcast.training.recompute import blocks_of, recomputing
from fieldcast.workflows import plugins
from fieldcast.workflows.bench.clock import check_device, environment, milliseconds, summary
from fieldcast.workflows.bench.subject import Size, Subject, with_settings
from fieldcast.workflows.running import Say, count_parameters


def measure_memory(
    backbones: Sequence[str], size: Size, *, device: str = "auto", say: Say = lambda _: None
) -> dict[str, Any]:
    """Peak resident memory in MB of inference and of training, each in a fresh process; ``before`` is without a model.

    ``recomputed`` is a step whose blocks are computed again in the backward pass, where the backbone has such. On a GPU
    also the peak that torch allocated there.
    """
    device = check_device(device)
    rows = []
    for name in backbones:
        row: dict[str, Any] = {"backbone": name}
        again = getattr(BACKBONES.get(with_settings(name)[0]), "recompute_blocks", ())
        for kind in ("inference", "step", *(("recomputed",) if again else ())):
            row[kind] = in_a_process(name, size, kind, device, rounds=2)
            say(f"{name} {kind}: {row[kind].get('peak_mb', row[kind].get('failed'))} MB")
        rows.append(row)
    return {
        "what": "peak resident memory (MB) of a process that runs one inference or training step three times",
        "size": asdict(size), "backbones": rows, "environment": environment(device), "machine": machine_record(),
        "versions": version_record(),
    }  # fmt: skip


def in_a_process(name: str, size: Size, kind: str, device: str, rounds: int, limit_seconds: float = 900.0) -> Any:
    """What :func:`_measure` finds in a fresh process; ``failed`` with the reason where it dies, as without memory."""
    task = {"name": name, "size": asdict(size), "kind": kind, "device": device, "rounds": rounds}
    task |= {"threads": torch.get_num_threads(), "plugins": plugins.LOADED}
    command = [sys.executable, "-m", "fieldcast.workflows.bench.memory", json.dumps(task)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=limit_seconds, env=dict(os.environ)
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {limit_seconds:.0f} s"}
    if done.returncode < 0:
        return {"failed": f"ended by signal {-done.returncode} (9: out of memory)"}
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if done.returncode == 2:
            raise FieldcastError(said)
        return {"failed": said[:300]}
    return json.loads(done.stdout)


def _measure(task: dict[str, Any]) -> dict[str, Any]:
    for file in task["plugins"]:
        plugins.load_plugin(file)
    torch.set_num_threads(task["threads"])
    before = round(peak_memory(), 1)
    subject = Subject(task["name"], Size(**task["size"]), task["device"])
    built = round(peak_memory(), 1)
    work = subject.infer if task["kind"] == "inference" else subject.step
    backbone = subject.forecaster.backbone
    if task["kind"] == "recomputed" and not blocks_of(backbone):  # settings may leave none
        return {"failed": "no blocks to compute again"}
    with recomputing(backbone) if task["kind"] == "recomputed" else nullcontext():
        spent = [milliseconds(work, task["device"]) for _ in range(task["rounds"] + 1)]
    found = {"before_mb": before, "built_mb": built, "peak_mb": round(peak_memory(), 1)}
    found["parameters"] = count_parameters(subject.forecaster)
    if task["device"] == "cuda":
        found["gpu_peak_mb"] = round(torch.cuda.max_memory_allocated() / 1024**2, 1)
    return found | {"milliseconds": summary(spent[1:])}


if __name__ == "__main__":
    prepare_memory()
    try:
        print(json.dumps(_measure(json.loads(sys.argv[1]))))
    except FieldcastError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
