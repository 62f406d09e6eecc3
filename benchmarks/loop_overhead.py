"""What the training loop costs a step beside the model's own time (STID, N = 207, T = H = 12, B = 64).

Both sides run in one process, alternating, on the same simulated windows: a bare loop (prepare, forward, loss,
backward, clip, Adam) and ``fit``. Medians over rounds. A second pair runs STID at width 1 without layers, whose own
time is too short to hide the loop's.
python benchmarks/loop_overhead.py [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch

from fieldcast.core.context import Batch
from fieldcast.data.loader import WindowLoader
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.evaluation.protocol import machine_record, version_record
from fieldcast.forecaster import create
from fieldcast.training import TrainingOptions, fitting
from fieldcast.workflows.bench.clock import milliseconds
from fieldcast.workflows.bench.subject import Size, Subject

STEPS = 60


class Clock(pl.Callback):
    """Time from the start of one step to the start of the next: everything that happens in a step."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_batch_start(self, *_: object) -> None:
        self.starts.append(time.perf_counter())

    def milliseconds(self) -> float:
        return 1e3 * statistics.median(np.diff(self.starts[5:]))


def windows() -> Windows:
    rows = 23 + round(STEPS * 64 / 0.7)
    values = np.random.default_rng(0).normal(size=(rows, 207, 1)).astype(np.float32)
    return Windows(Readings.from_array(values, None, start="2024-01-01", frequency="5min"), 12, 12)


def bare(data: Windows, **hyper: int) -> float:
    said = ",".join(f"{name}={value}" for name, value in hyper.items())
    subject = Subject(f"stid:{said}" if said else "stid", Size(207), windows=data)
    batches = [Batch.of(batch) for batch in WindowLoader(data, "train", 64, shuffle=True)]
    return statistics.median([milliseconds(lambda batch=batch: subject.step(batch)) for batch in batches][5:])


def looped(data: Windows, **hyper: int) -> float:
    clock = Clock()
    # The bar stands for what a user sees: its cost belongs to the loop.
    original = fitting.SaveAtEnd
    fitting.SaveAtEnd = lambda resumable: clock  # type: ignore[assignment,misc]
    try:
        fitting.fit(
            create("stid", data, seed=0, **hyper), data, TrainingOptions(max_epochs=1, accelerator="cpu"), progress=True
        )
    finally:
        fitting.SaveAtEnd = original  # type: ignore[misc]
    return clock.milliseconds()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=Path(__file__).parent / "results" / "loop_overhead.json")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    data = windows()
    result: dict[str, object] = {
        "what": "milliseconds a training step, STID, N = 207, T = H = 12, B = 64, float32, 2 threads; loop = fit - bare"
    }
    for label, hyper in (("default", {}), ("width 1, no layers", {"width": 1, "layers": 0})):
        pairs = [(bare(data, **hyper), looped(data, **hyper)) for _ in range(arguments.rounds + 1)][1:]
        result[label] = {
            "bare": [round(a, 3) for a, _ in pairs], "fit": [round(b, 3) for _, b in pairs],
            "bare_median": round(statistics.median(a for a, _ in pairs), 3),
            "fit_median": round(statistics.median(b for _, b in pairs), 3),
            "loop_median": round(statistics.median(b - a for a, b in pairs), 3),
        }  # fmt: skip
    result |= {
        "machine": machine_record(), "versions": version_record(), "command": "python benchmarks/loop_overhead.py",
    }  # fmt: skip
    Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")
    for label in ("default", "width 1, no layers"):
        print(label, json.dumps(result[label]))
