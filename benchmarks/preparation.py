"""Time and memory until training can start, at METR-LA size (34,272 x 207): readings in memory to Windows to batches.

python benchmarks/preparation.py [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch  # noqa: F401  (its own memory must not count as ours)

from fieldcast.data.loader import WindowLoader
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.evaluation.protocol import machine_record, peak_memory, version_record

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=Path(__file__).parent / "results" / "preparation.json")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    values = rng.random((34272, 207, 1), dtype=np.float32)
    values[rng.random(values.shape, dtype=np.float32) < 0.08] = np.nan
    before = peak_memory()
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        readings = Readings.from_array(values, None, start="2012-03-01", frequency="5min")
        windows = Windows(readings, 12, 12)
        spent.append(time.perf_counter() - began)
    above = peak_memory() - before
    began = time.perf_counter()
    loader = WindowLoader(windows, "train", 64, shuffle=True)
    count = sum(len(batch.start) for batch in loader)
    rate = count / (time.perf_counter() - began)
    result = {
        "what": "34,272 x 207 x 1 readings in memory to Windows (first and median of 5), peak memory above the raw "
        "array, gathered windows a second at B = 64",
        "first_seconds": round(spent[0], 3), "median_seconds": round(statistics.median(spent), 3),
        "raw_mb": round(values.nbytes / 2**20, 1), "above_raw_mb": round(above, 1), "windows_per_second": round(rate),
        "machine": machine_record(), "versions": version_record(), "command": "python benchmarks/preparation.py",
    }  # fmt: skip
    Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key not in ("machine", "versions")}))
