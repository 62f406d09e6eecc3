"""Time and memory of the simulators over 2,000 steps: a city of 100,000 sensors, and regions of as many and of four
times as many readings, in four channels.

python benchmarks/simulators.py [--out FILE] [--steps N]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.data.catalog.simulate import simulate_city, simulate_weather
from fieldcast.data.files import write_atomically
from fieldcast.evaluation.protocol import machine_record, peak_memory, version_record

SECONDS, GIB = 120, 4  # what 100,000 nodes x 2,000 steps may cost
WORKS = {
    "city": ("simulate_city(100_000, steps=STEPS)", lambda steps: simulate_city(100_000, steps=steps)),
    "city, planted": (
        "simulate_city(100_000, steps=STEPS, useless=500, dead=500, duplicates=500, driven=100, own_dynamics=1.0)",
        lambda steps: simulate_city(
            100_000, steps=steps, useless=500, dead=500, duplicates=500, driven=100, own_dynamics=1.0
        ),
    ),
    "weather, as many readings": (
        "simulate_weather(125, 200, STEPS, missing=0.02)",
        lambda steps: simulate_weather(125, 200, steps, missing=0.02),
    ),
    "weather, four times as many": (
        "simulate_weather(170, 588, STEPS)",
        lambda steps: simulate_weather(170, 588, steps),
    ),
}


def measure(name: str, steps: int) -> dict[str, Any]:
    """Simulate once in this process: seconds of it and the process's peak memory, readings, mask and graph included."""
    began, used = time.perf_counter(), time.process_time()
    simulation = WORKS[name][1](steps)
    seconds, busy = time.perf_counter() - began, time.process_time() - used
    readings = simulation.readings
    return {
        "call": WORKS[name][0].replace("STEPS", str(steps)),
        "shape": list(readings.shape),
        "missing": round(1 - float(np.count_nonzero(readings.observed)) / readings.observed.size, 4),
        "edges": int(simulation.graph.edge_index.shape[1]),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(busy, 1),
        "readings_and_mask_gib": round((readings.values.nbytes + readings.observed.nbytes) / 2**30, 2),
        "peak_gib": round(peak_memory() / 1024, 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=Path(__file__).parent / "results" / "simulators.json")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", choices=WORKS, help="measure one in this process and print it")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments.steps)))
        sys.exit()
    load = os.getloadavg()[0]
    measured = {}
    for name in WORKS:  # each in a process of its own, so that no peak hides another
        command = [sys.executable, __file__, "--only", name, "--steps", str(arguments.steps)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, measured[name], flush=True)
    result = {
        "what": "simulators in fresh processes; seconds of the call, peak memory of the whole process; other_load is "
        "how many processes of others wanted the cores over the minute before",
        "allowed": {"seconds": SECONDS, "peak_gib": GIB},
        "within": {n: each["seconds"] < SECONDS and each["peak_gib"] < GIB for n, each in measured.items()},
        "measured": measured, "other_load": round(load, 2),
        "machine": machine_record(), "versions": version_record(), "command": "python benchmarks/simulators.py",
    }  # fmt: skip
    write_atomically(arguments.out, json.dumps(result, indent=1) + "\n")
