"""evaluate_run: score a saved run again, on its own data or on others of the same sensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, load
from fieldcast.forecaster.predicting import conform
from fieldcast.workflows.board import Entry, build_board, write_board
from fieldcast.workflows.options import ReadingsOptions, RunOptions
from fieldcast.workflows.running import CONFIG, count_parameters, read_settings, score_baselines
from fieldcast.workflows.scoring import score


def read_run(folder: str | Path) -> RunOptions:
    """The settings of a run from its folder."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FieldcastError(f"{folder} holds no run ({CONFIG} is absent): give the folder that train wrote.")
    return RunOptions.from_json(read_settings(path))


def evaluate_run(
    folder: str | Path, *, readings: ReadingsOptions | None = None, split: str | None = None, part: str = "test",
    out: str | Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score every seed of a run and its baselines, and return the board.

    ``readings`` and ``split`` replace the run's own; the scaler and the calendar stay those of training. With ``out``
    the board is written there.
    """
    folder = Path(folder)
    options = read_run(folder)
    source = readings or options.readings
    opened = source.open()
    choice = dataclasses.replace(options.windows, split=split or options.windows.split)
    seeds = [seed for seed in options.seeds if (folder / f"seed{seed}").is_dir()]
    if not seeds:
        raise FieldcastError(f"{folder} holds no trained seed yet: finish the run first (train --resume).")
    forecasters = [load(folder / f"seed{seed}") for seed in seeds]
    form = forecasters[0].form
    # The graph of training and not one beside the data, whose sensors may be fewer or in another order.
    windows = choice.windows(conform(opened, form), forecasters[0].graph).under(form)
    entries = [_entry(options.backbone, seeds, forecasters, windows, part)]
    entries += score_baselines(windows, [name for name in options.baselines if name != options.backbone], part)
    board = build_board(windows.readings.meta.name, windows, seeds, entries, part)
    if out is not None:
        write_board(Path(out), board, entries)
    return board


def _entry(name: str, seeds: Sequence[int], forecasters: list[Forecaster], windows: Windows, part: str) -> Entry:
    scored = [score(forecaster, windows, part) for forecaster in forecasters]
    kind = "trained" if forecasters[0].backbone.trainable else "baseline"
    return Entry(name, kind, count_parameters(forecasters[0]), list(seeds), scored)
