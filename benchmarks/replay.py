"""What captured CUDA graphs bring to a training run on a GPU: seconds an epoch, memory, and are the numbers the same?

python benchmarks/replay.py [--backbones A B ...] [--nodes N] [--steps K] [--epochs E] [--out FILE]

Both sides run ``fit`` from the same seed on the same simulated windows, with graphs and without; ``ms`` is the median
over epochs of an epoch's time, validation and loop included, over its training steps, the first two epochs, in which
graphs are captured, left out. *Same*: the largest relative difference between the losses of epochs, of training and
validation; what two runs without graphs differ by stands beside it. The ratio is to the faster of these two.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gpu import BACKBONES, tried  # noqa: E402
from benchmarks.harness import batch_of, keep, origin, rows_of, with_row  # noqa: E402

from fieldcast.core.registry import BACKBONES as REGISTERED  # noqa: E402
from fieldcast.errors import FieldcastError  # noqa: E402
from fieldcast.forecaster import create  # noqa: E402
from fieldcast.training import TrainingOptions  # noqa: E402
from fieldcast.training.fitting import History, fit  # noqa: E402
from fieldcast.workflows.bench import Size  # noqa: E402
from fieldcast.workflows.bench.clock import check_device  # noqa: E402
from fieldcast.workflows.bench.subject import random_windows  # noqa: E402
from fieldcast.workflows.plugins import load_plugin  # noqa: E402

CAPTURABLE = [name for name in BACKBONES if REGISTERED.get(name).capturable]
WARM = 2  # epochs in which the two shapes of mini-batch are captured


def epochs_of(name: str, size: Size, steps: int, epochs: int, device: str, graphs: bool) -> tuple[History, float, str]:
    """One training run: its history, the most MB that torch reserved on the GPU, and what it warned of."""
    cls = REGISTERED.get(name)
    many = Size(size.nodes, size.lookback, size.horizon, size.channels, steps * size.batch_size)
    windows = random_windows(many, with_graph=cls.needs_graph)  # type: ignore[attr-defined]
    forecaster = create(name, windows, seed=0)
    options = TrainingOptions(
        max_epochs=epochs, batch_size=size.batch_size, patience=0, cuda_graphs=graphs,
        accelerator="gpu" if device == "cuda" else "cpu",
    )  # fmt: skip
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        history = fit(forecaster, windows, options, seed=0)
    told = [str(each.message) for each in said if "CUDA graphs" in str(each.message)]
    most = torch.cuda.max_memory_reserved() / 1e6 if device == "cuda" else 0.0
    return history, most, told[0] if told else ""


def apart(one: History, other: History) -> float:
    """The largest relative difference between the losses of two runs."""
    pairs = [(a[key], b[key]) for a, b in zip(one.rows, other.rows, strict=True) for key in ("train_loss", "selection")]
    return max(abs(a - b) / abs(b) for a, b in pairs)


def milliseconds(history: History) -> float:
    spent = [row["seconds"] for row in history.rows]
    steps = history.rows[0]["step"]
    each = [(b - a) / steps for a, b in zip(spent[WARM - 1 :], spent[WARM:], strict=False)]
    return round(1e3 * statistics.median(each), 3)


def compared(name: str, size: Size, steps: int, epochs: int, device: str) -> dict[str, Any]:
    run = partial(epochs_of, name, size, steps, epochs, device)
    plain, plain_mb, _ = run(graphs=False)
    graphed, graphed_mb, refused = run(graphs=True)
    again, _, _ = run(graphs=False)
    ms = {"plain": milliseconds(plain), "graphs": milliseconds(graphed), "plain again": milliseconds(again)}
    found = {
        "ms": ms, "ratio": round(min(ms["plain"], ms["plain again"]) / ms["graphs"], 3),
        "same": {"graphs": apart(graphed, again), "plain again": apart(plain, again)},
        "reserved_mb": {"plain": round(plain_mb), "graphs": round(graphed_mb)},
    }  # fmt: skip
    return found | {"refused": refused} if refused else found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=CAPTURABLE, help="ones that are capturable")
    parser.add_argument("--plugin", nargs="+", default=(), help="Python files with backbones of their own")
    parser.add_argument("--nodes", type=int, default=207)
    parser.add_argument(
        "--steps", type=int, default=20, help="whole mini-batches of an epoch; one of few windows follows"
    )
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    told = parser.parse_args(argv)
    if told.epochs <= WARM:
        parser.error(f"--epochs {told.epochs} leaves none to measure: give {WARM + 1} or more")
    try:
        device = check_device(told.device)
        for plugin in told.plugin:
            load_plugin(plugin)
        for name in told.backbones:
            if not REGISTERED.get(name).capturable:
                parser.error(f"{name} does not say that it is capturable")
    except FieldcastError as error:
        parser.error(str(error))
    rows = rows_of(told.out)
    for name in told.backbones:
        size = Size(nodes=told.nodes, batch_size=batch_of(name))
        found = tried(partial(compared, name, size, told.steps, told.epochs, device))
        row = {"backbone": name, "nodes": told.nodes, "batch_size": size.batch_size, **found}
        rows = with_row(rows, row)
        keep(told.out, {"what": __doc__.splitlines()[0], "rows": rows, **origin("benchmarks/replay.py", argv, device)})  # type: ignore[union-attr]
        print({key: each for key, each in row.items() if key != "nodes"}, flush=True)


if __name__ == "__main__":
    main()
