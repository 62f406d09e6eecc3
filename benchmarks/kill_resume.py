"""Kill training at random moments by SIGKILL, resume it, and compare its last bits with those of a run undisturbed.

STID and GCN-GRU on a simulated city, several lives a run: each is killed after a random time (seeded), the last is left
alone. Compared are the SHA-256 of the weights and the log without its seconds.
python benchmarks/kill_resume.py [--kills 20] [--out FILE]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fieldcast.data.catalog.simulate import simulated_city
from fieldcast.evaluation.protocol import machine_record, version_record

OPTIONS = (
    "train --data city.csv --graph graph.csv --stride 2 --max-epochs 6 --batch-size 32 --save-every 7 "
    "--accelerator cpu --learning-rate 0.002 --schedule cosine --baselines last_value --quiet"
)
CHILD = (
    "import sys, torch; torch.set_num_threads(1); from fieldcast.cli.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


def command(place: Path, backbone: str, out: str, *rest: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", CHILD, *OPTIONS.split(), "--backbone", backbone, "--out", out, *rest]
    return subprocess.Popen(words, cwd=place, env=os.environ | {"OMP_NUM_THREADS": "1"})


def fingerprint(folder: Path) -> str:
    """Weights and log of a finished run, as one SHA-256."""
    with open(folder / "seed0" / "log.csv", encoding="utf-8") as handle:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(handle)]
    text = json.dumps(rows).encode()
    return hashlib.sha256((folder / "seed0" / "model.safetensors").read_bytes() + text).hexdigest()


def lives(place: Path, backbone: str, out: str, rng: np.random.Generator, longest: float, kills: int) -> list[float]:
    """Kill the run up to ``kills`` times and let it end; returns after how many seconds each life ended."""
    ended = []
    for _ in range(kills):
        process = command(place, backbone, out, *(["--resume"] if (place / out / "config.yaml").exists() else []))
        began = time.monotonic()
        try:
            process.wait(rng.uniform(0.3, longest))
            break  # it had ended before
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            ended.append(round(time.monotonic() - began, 3))
    if command(place, backbone, out, *(["--resume"] if (place / out / "config.yaml").exists() else [])).wait() != 0:
        raise SystemExit(f"kill_resume.py: the run {out} did not end well after kills at {ended}")
    return ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=Path(__file__).parent / "results" / "kill_resume.json")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    runs, differences = [], 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        readings, graph = simulated_city(nodes=20, days=10, seed=0)
        frame = readings.values[..., 0]
        header = ",".join(["time", *readings.nodes])
        stamps = np.datetime_as_string(readings.time, unit="s")
        rows = [
            ",".join([stamp, *("" if np.isnan(value) else f"{value:.2f}" for value in row)])
            for stamp, row in zip(stamps, frame, strict=True)
        ]
        (place / "city.csv").write_text("\n".join([header, *rows]) + "\n")
        edges = [f"{readings.nodes[a]},{readings.nodes[b]},1" for a, b in graph.edge_index.T]
        (place / "graph.csv").write_text("\n".join(["from,to,cost", *edges]) + "\n")
        kills = 0
        for backbone in ("stid", "gcn_gru"):
            began = time.monotonic()
            if command(place, backbone, f"{backbone}_undisturbed").wait() != 0:
                raise SystemExit(f"kill_resume.py: {backbone} does not train")
            longest = 0.9 * (time.monotonic() - began)
            expected = fingerprint(place / f"{backbone}_undisturbed")
            wanted = arguments.kills // 2 if backbone == "stid" else arguments.kills - arguments.kills // 2
            done, number = 0, 0
            while done < wanted:
                ended = lives(place, backbone, f"{backbone}_{number}", rng, longest, min(3, wanted - done))
                same = fingerprint(place / f"{backbone}_{number}") == expected
                runs.append({"backbone": backbone, "killed_after_seconds": ended, "same_bits": same})
                print(runs[-1], flush=True)
                done, number, differences = done + len(ended), number + 1, differences + (not same)
            kills += done
    result = {
        "what": "runs killed by SIGKILL after random times and resumed, against the same run undisturbed: SHA-256 of "
        "weights and log (without seconds); simulated city, 20 sensors, 10 days",
        "kills": kills, "differences": differences, "runs": runs, "seed": arguments.seed,
        "machine": machine_record(), "versions": version_record(), "command": "python benchmarks/kill_resume.py",
    }  # fmt: skip
    Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")
    print(f"{kills} kills, {differences} differences")
