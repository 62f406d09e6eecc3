"""evaluate_run: score a saved run again, on its own data or on others of the same sensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fieldcast.core import processes
from fieldcast.core.devices import device
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, load
from fieldcast.forecaster.predicting import conform
from fieldcast.workflows.board import RECORD, Entry, build_board, check_run, write_board
from fieldcast.workflows.options import CONFIG, ReadingsOptions, RunOptions, settings_of
from fieldcast.workflows.running import (
    count_parameters,
    readings_as_trained,
    run_hash,
    score_baselines,
)
from fieldcast.workflows.scoring import score


def read_run(folder: str | Path) -> RunOptions:
    """The settings of a run from its folder."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FieldcastError(f"{folder} holds no run ({CONFIG} is absent): give the folder that train wrote.")
    check_run(folder)
    return settings_of(folder)


def finished_seeds(folder: str | Path, options: RunOptions) -> list[int]:
    """The seeds of a run that were trained to the end; one that diverged or was interrupted has no record."""
    seeds = [seed for seed in options.seeds if (Path(folder) / f"seed{seed}" / RECORD).is_file()]
    if not seeds:
        raise FieldcastError(f"{folder} holds no trained seed yet: finish the run first (train --resume).")
    return seeds


def evaluate_run(
    folder: str | Path, *, readings: ReadingsOptions | None = None, split: str | None = None, part: str = "test",
    out: str | Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score every seed of a run and its baselines, and return the board.

    ``readings`` replace the run's own; they are read as those were where their options say nothing, and are scored
    whole unless a ``split`` is given. ``split`` alone is another split of the run's data. Scaler, calendar and
    baselines stay those of the run's training rows. With ``out`` the board is written there.
    """
    folder = Path(folder)
    options = read_run(folder)
    seeds = finished_seeds(folder, options)
    processes.begin(options.training.accelerator)
    where = device(options.training.accelerator)
    forecasters = [load(folder / f"seed{seed}").to(where) for seed in seeds]
    form, graph = forecasters[0].form, forecasters[0].graph

    def windows_of(source: ReadingsOptions, split: str | None) -> Windows:
        # The graph of training and not one beside the data, whose sensors may be fewer or in another order.
        choice = dataclasses.replace(options.windows, split=split)
        return choice.over(conform(source.open(), form), graph).under(form)

    names = [name for name in options.baselines if name != options.backbone]
    if readings is None:
        windows = windows_of(options.readings, split or options.windows.split)
        fitted = windows if split is None else windows_of(options.readings, options.windows.split)
        begun_with = run_hash(folder)
        if begun_with is not None and begun_with != windows.readings.hash:
            raise FieldcastError(
                f"the readings at {options.readings.data} are no longer those that {folder} was trained on: give them "
                "with --data to score the run on them."
            )
    else:
        readings = readings_as_trained(folder, readings)
        if split is None:
            windows = Windows.for_scoring(conform(readings.open(), form), form, graph)
        else:
            windows = windows_of(readings, split)
        fitted = _if_at_hand(lambda: windows_of(options.readings, options.windows.split))
    entries = [_entry(options.name, seeds, forecasters, windows, part)]
    if fitted is None:
        why = f"not fitted: the run's own readings, {options.readings.data}, are not at hand"
        entries += [Entry(name, "baseline", 0, [0], [], note=why) for name in names]
    else:
        entries += score_baselines(windows, names, part, fitted)
    board = build_board(windows.readings.meta.name, windows, seeds, entries, part)
    if out is not None and processes.first():
        write_board(Path(out), board, entries)
    return board


def _if_at_hand(windows: Callable[[], Windows]) -> Windows | None:
    try:
        return windows()
    except FieldcastError:
        return None


def _entry(name: str, seeds: Sequence[int], forecasters: list[Forecaster], windows: Windows, part: str) -> Entry:
    scored = [score(forecaster, windows, part) for forecaster in forecasters]
    kind = "trained" if forecasters[0].backbone.trainable else "baseline"
    return Entry(name, kind, count_parameters(forecasters[0]), list(seeds), scored)
