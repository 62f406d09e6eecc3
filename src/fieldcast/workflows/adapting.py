"""adapt: tune stages on the forecasters of a finished run, and keep them apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fieldcast.core.registry import STAGES
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, freeze, load
from fieldcast.forecaster.adapters import Mode
from fieldcast.training import TrainingOptions
from fieldcast.workflows.board import RECORD
from fieldcast.workflows.evaluating import read_run
from fieldcast.workflows.options import ReadingsOptions, RunOptions
from fieldcast.workflows.running import readings_as_trained, run, run_hash


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
    if before.base is not None and before.mode != "joint":
        raise FieldcastError(f"{base} holds adapters of {before.base}: adapt that run instead.")
    seeds = _finished(base, before)
    told = {name: dict(settings) for name, settings in stages.items()}
    if len(told) != 1:
        raise FieldcastError(f"one adapter is tuned at a time, and {len(told)} are named: give one.")
    windows = before.windows.windows(before.readings.open(), beside=before.readings.data)
    if run_hash(base) not in (None, windows.readings.hash):
        raise FieldcastError(
            f"the readings at {before.readings.data} are no longer those that {base} was trained on: bring those back."
        )
    if mode == "predictor":
        for name in told:
            if "tune_head" not in STAGES.get(name)().hyper:
                raise FieldcastError(f"'{name}' cannot tune the head: choose mode finetune or joint.")
            told[name]["tune_head"] = True
    options = dataclasses.replace(
        before, stages=told, base=str(base), mode=mode, seeds=seeds, training=training or before.training
    )  # fmt: skip
    return run(options, out, resume=resume, progress=progress, say=say, windows=windows)


def adapt_to_new_sensors(
    trained: str | Path, data: str | Path, out: str | Path, *, training: TrainingOptions | None = None,
    resume: bool = False, progress: bool = False, say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Give new sensors adapters of their own in a finished run; all that is trained is their rows, the rest stays.

    ``data`` are readings of the run's sensors and of the new ones, read as the run read its own. Whatever a sensor has
    to itself (codes, embeddings) is for a new one the mean over the run's; of these the adapters' are then tuned. A
    backbone that needs a graph takes the one that the run's ``graph`` setting makes of ``data``, or that lies beside.
    ``out`` becomes a run of whole forecasters; returns its board.
    """
    before = read_run(trained)
    seeds = _finished(trained, before)
    source = _kept(readings_as_trained(trained, ReadingsOptions(str(data))), before.readings)
    readings = source.open()
    old = load(Path(trained) / f"seed{seeds[0]}").form.nodes
    new = [node for node in readings.nodes if node not in set(old)]
    absent = [node for node in old if node not in set(readings.nodes)]
    if absent or not new:
        said = f"lacks the run's sensor '{absent[0]}'" if absent else "has no sensor that the run does not have"
        raise FieldcastError(f"{data} {said}: give readings of the run's sensors and of new ones.")
    graph = before.windows.windows(readings, beside=data).graph  # over the sensors in the order of the data
    if graph is not None:
        place = {node: i for i, node in enumerate(readings.nodes)}
        graph = graph.renode(np.array([place[node] for node in (*old, *new)]))
    choice = dataclasses.replace(before.windows, graph=None)
    windows = choice.windows(readings.select(nodes=[*old, *new]), graph)
    order = [*range(len(old)), *[-1] * len(new)]

    def make(seed: int) -> Forecaster:
        forecaster = load(Path(trained) / f"seed{seed}").renode(order, names=new, graph=windows.graph)
        freeze(forecaster, "codes")
        fresh = torch.tensor([position < 0 for position in order])  # [N]
        for stage in forecaster.after:
            for name, axes in stage.node_axes().items():  # type: ignore[operator]
                parameter = stage.get_parameter(name)
                if parameter.requires_grad:
                    shape = [-1 if axis == axes[0] else 1 for axis in range(parameter.dim())]
                    parameter.register_hook(partial(_masked, fresh.view(shape)))
            # Decay would move the rows that are to stay.
            stage.weight_decay = 0.0  # type: ignore[assignment]
        return forecaster

    options = dataclasses.replace(
        before, readings=source, base=None, mode="joint", seeds=seeds,
        training=training or before.training,
    )  # fmt: skip
    return run(options, out, resume=resume, progress=progress, say=say, windows=windows, make=make)


def _kept(source: ReadingsOptions, before: ReadingsOptions) -> ReadingsOptions:
    """How the new readings are read, with the rule of scored cells and the start that the run had."""
    return dataclasses.replace(source, start=before.start, scored_cells=before.scored_cells)


def _masked(mask: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return mask.to(gradient.device) * gradient


def _finished(folder: str | Path, options: RunOptions) -> tuple[int, ...]:
    """The seeds of a run that were trained to the end."""
    seeds = tuple(seed for seed in options.seeds if (Path(folder) / f"seed{seed}" / RECORD).is_file())
    if not seeds:
        raise FieldcastError(f"{folder} holds no trained seed yet: finish the run first (train --resume).")
    return seeds
