"""demo: the whole way on a simulated city."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fieldcast.data.catalog.simulate import simulated_city
from fieldcast.data.files import write_atomically
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create
from fieldcast.training import TrainingOptions
from fieldcast.workflows.board import Entry, build_board, write_board
from fieldcast.workflows.options import BASELINES, WindowOptions
from fieldcast.workflows.running import score_baselines, train_entry

_MARK = "demo.json"
_BACKBONES: dict[str, tuple[dict[str, Any], int]] = {"stid": ({}, 15), "lstm": ({"width": 32, "end_width": 128}, 8)}


def demo(
    out: str | Path, *, seed: int = 0, progress: bool = False, say: Callable[[str], None] = lambda _: None
) -> tuple[Path, dict[str, Any]]:
    """Train two backbones on a simulated city beside the baselines; returns the folder and its board.

    The folder gets one saved forecaster a backbone, ``scores.json`` and ``sample.npz``. A folder of an earlier demo is
    made anew; any other that is not empty is refused.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise FieldcastError(f"{folder} is a file: give a folder as --out.")
    if folder.exists() and not (folder / _MARK).exists() and any(folder.iterdir()):
        raise FieldcastError(f"the folder {folder} is not empty and holds no demo: give another --out.")
    shutil.rmtree(folder, ignore_errors=True)
    write_atomically(folder / _MARK, json.dumps({"seed": seed}) + "\n")
    readings, graph = simulated_city(nodes=60, days=28, seed=seed)
    # Neighbouring windows say nearly the same: every third is enough to train on, and a demo should not take long.
    windows = WindowOptions(stride=3).windows(readings, graph)
    say(f"a simulated city: {readings!r}\n{windows!r}")
    entries: list[Entry] = []
    for backbone, (hyper, epochs) in _BACKBONES.items():
        options = TrainingOptions(max_epochs=epochs, learning_rate=2e-3, schedule="cosine", accelerator="cpu")
        place = folder / backbone
        entry, _ = train_entry(
            backbone, partial(_make, backbone, hyper, windows), options, (seed,), windows, place, progress=progress,
            say=say,
        )  # fmt: skip
        entries.append(entry)
    entries += score_baselines(windows, list(BASELINES))
    board = build_board("a simulated city", windows, [seed], entries)
    write_board(folder, board, entries)
    return folder, board


def _make(backbone: str, hyper: dict[str, Any], windows: Windows, seed: int) -> Forecaster:
    return create(backbone, windows, seed=seed, **hyper)
