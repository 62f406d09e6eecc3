"""adapt: tune stages on the forecasters of a finished run, and keep them apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fieldcast.core.registry import STAGES
from fieldcast.errors import FieldcastError
from fieldcast.forecaster.adapters import Mode
from fieldcast.training import TrainingOptions
from fieldcast.workflows.board import RECORD
from fieldcast.workflows.evaluating import read_run
from fieldcast.workflows.running import run


def adapt(
    base: str | Path, stages: Mapping[str, Mapping[str, Any]], out: str | Path, *, mode: Mode = "finetune",
    training: TrainingOptions | None = None, resume: bool = False, progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Tune stages on every seed of a finished run, on the run's own readings; returns the board.

    ``out`` becomes a run too: ``seed<k>/`` holds an adapter of a few kB (``adapter_config.json``,
    ``adapter_model.safetensors``) that names its base, and the folder itself that of the seed best on validation. In
    mode ``predictor`` the layers of the head are tuned besides, as a change that is part of the adapter; in ``joint``
    everything is, and whole forecasters are saved.
    """
    before = read_run(base)
    if before.base is not None:
        raise FieldcastError(f"{base} holds adapters of {before.base}: adapt that run instead.")
    seeds = tuple(seed for seed in before.seeds if (Path(base) / f"seed{seed}" / RECORD).is_file())
    if not seeds:
        raise FieldcastError(f"{base} holds no trained seed yet: finish the run first (train --resume).")
    told = {name: dict(settings) for name, settings in stages.items()}
    if mode == "predictor":
        for name in told:
            if "tune_head" not in STAGES.get(name)().hyper:
                raise FieldcastError(f"'{name}' cannot tune the head: choose mode finetune or joint.")
            told[name]["tune_head"] = True
    options = dataclasses.replace(
        before, stages=told, base=str(base), mode=mode, seeds=seeds, training=training or before.training
    )  # fmt: skip
    return run(options, out, resume=resume, progress=progress, say=say)
