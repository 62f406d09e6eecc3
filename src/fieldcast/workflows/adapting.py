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
from fieldcast.workflows.evaluating import finished_seeds, read_run
from fieldcast.workflows.making import keeps_adapters
from fieldcast.workflows.options import ReadingsOptions, RunOptions, graph_folder, is_rule
from fieldcast.workflows.running import readings_as_trained, run


def adapt(
    base: str | Path, stages: Mapping[str, Mapping[str, Any]], out: str | Path, *, mode: Mode = "finetune",
    training: TrainingOptions | None = None, resume: bool = False, progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Tune stages on every seed of a finished run, on the run's own readings; returns the board.

    ``out`` becomes a run too: ``seed<k>/`` holds an adapter of a few kB (``adapter_config.json``,
    ``adapter_model.safetensors``) that names its base, and the folder itself that of the seed best on validation. In
    mode ``predictor`` the layers of the head are tuned besides, as a change that is part of the adapter; in ``joint``
    everything is, and whole forecasters are saved. The weights with the best validation score are kept, the base's own
    among them: an adapter that never is better than its base changes nothing.
    """
    if mode == "codes":
        raise FieldcastError("mode 'codes' gives new sensors codes of their own: call adapt_to_new_sensors.")
    before = read_run(base)
    if keeps_adapters(before):
        raise FieldcastError(f"{base} holds adapters of {before.base}: adapt that run instead.")
    before = _on(base, before)
    told = {name: dict(settings) for name, settings in stages.items()}
    if len(told) != 1:
        raise FieldcastError(f"one adapter is tuned at a time, and {len(told)} are named: give one.")
    if mode == "predictor":
        for name in told:
            if "tune_head" not in STAGES.get(name)().hyper:
                raise FieldcastError(f"'{name}' cannot tune the head: choose mode finetune or joint.")
            told[name]["tune_head"] = True
    options = dataclasses.replace(before, stages=told, mode=mode, training=training or before.training)
    return run(options, out, resume=resume, progress=progress, say=say)


def adapt_to_new_sensors(
    trained: str | Path, data: str | Path, out: str | Path, *, graph: str | None = None,
    training: TrainingOptions | None = None, resume: bool = False, progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Give new sensors adapters of their own in a finished run; all that is trained is their rows, the rest stays.

    ``data`` are readings of the run's sensors and of the new ones, read as the run read its own. Whatever a sensor has
    to itself (codes, embeddings) is for a new one the mean over the run's; of these the adapters' are then tuned. A
    backbone that needs a graph takes ``graph`` (a file over all sensors in the order of ``data``, or a rule such as
    nearest:8), else the run's own rule over ``data``, or the graph that lies beside ``data`` in a folder of its own.
    ``out`` becomes a run of whole forecasters; returns its board.
    """
    before = _on(trained, read_run(trained))
    source = readings_as_trained(trained, ReadingsOptions(str(data)))
    # The start and the rule of scored cells are the run's too, for these are its readings with more sensors.
    source = dataclasses.replace(source, start=before.readings.start, scored_cells=before.readings.scored_cells)
    if graph is None and not is_rule(before.windows.graph):
        # A file that the run was given, or that lies beside its own readings, is over its own sensors.
        graph = "none" if graph_folder(data) == graph_folder(before.readings.data) else None
    elif graph is None:
        graph = before.windows.graph
    windows = dataclasses.replace(before.windows, graph=graph)
    options = dataclasses.replace(
        before, readings=source, windows=windows, stages={}, mode="codes", training=training or before.training
    )
    return run(options, out, resume=resume, progress=progress, say=say)


def _on(folder: str | Path, before: RunOptions) -> RunOptions:
    """The settings of a finished run as those of a run on it."""
    return dataclasses.replace(
        before, base=str(folder), base_name=before.name, seeds=tuple(finished_seeds(folder, before))
    )
