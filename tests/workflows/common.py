"""Settings of tiny runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fieldcast.training import TrainingOptions
from fieldcast.workflows.options import ReadingsOptions, RunOptions, WindowOptions
from tests.tiny import write_csv

TRAINING = TrainingOptions(max_epochs=2, batch_size=128, save_every=2, accelerator="cpu")
SMALL = {"width": 4, "layers": 1}


def tiny_run(folder: Path, **changes: Any) -> RunOptions:
    """A run over a tiny CSV in ``folder``: ten days for training, so that weekly climatology does not exist."""
    path = folder / "tiny.csv"
    if not path.exists():
        write_csv(path, rows=24 * 14)
    options = RunOptions(
        ReadingsOptions(str(path)), WindowOptions(lookback=6, horizon=3), "stid", SMALL, TRAINING, (0, 1),
        ("last_value", "weekly_climatology"),
    )  # fmt: skip
    return dataclasses.replace(options, **changes)


def with_windows(options: RunOptions, **changes: Any) -> RunOptions:
    return dataclasses.replace(options, windows=dataclasses.replace(options.windows, **changes))


def with_training(options: RunOptions, **changes: Any) -> RunOptions:
    return dataclasses.replace(options, training=dataclasses.replace(options.training, **changes))
