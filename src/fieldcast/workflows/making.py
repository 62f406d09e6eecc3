"""How a run makes its forecasters and keeps them: anew, on those of another run, or over more sensors than it had."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from fieldcast.core.seeding import seeded
from fieldcast.core.stage import AfterStage, Stage
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create, freeze, load, make_stage, save, save_adapter
from fieldcast.forecaster.adapters import Mode, take_factors
from fieldcast.forecaster.predicting import conform
from fieldcast.workflows.growing import grow, grown_windows
from fieldcast.workflows.options import CONFIG, RunOptions, settings_of

Make = Callable[[int], Forecaster]
Keep = Callable[..., Path]
Stages = Mapping[str, Mapping[str, Any]]


def open_windows(options: RunOptions) -> Windows:
    """The windows of a run; those of a run on another have its sensors in its order, and its graph."""
    if options.base is None:
        return options.windows.windows(options.readings.open(), beside=options.readings.data)
    if not (Path(options.base) / CONFIG).is_file():
        raise FieldcastError(f"the run is on {options.base}, which is not there: bring it back.")
    _check_base(options, settings_of(options.base))
    base = load(Path(options.base) / f"seed{options.seeds[0]}")
    if options.mode == "codes":
        return grown_windows(options, base.form.nodes)
    return options.windows.over(conform(options.readings.open(), base.form), base.graph)


def _check_base(options: RunOptions, before: RunOptions) -> None:
    """Refuse settings that a run takes from its base and that are not those of the base: they would not act."""
    grown = options.mode == "codes"
    parts = [("backbone", options.backbone, before.backbone), ("backbone's settings", options.hyper, before.hyper)]
    parts += [
        (each.name, getattr(options.windows, each.name), getattr(before.windows, each.name))
        for each in dataclasses.fields(options.windows)
        if each.name != "graph" or not grown
    ]
    parts += [] if grown else [("readings", options.readings, before.readings)]
    for name, own, given in parts:
        if own != given:
            raise FieldcastError(
                f"the run is on {options.base}, which has another {name} ({given}, here {own}): leave that out."
            )


def ways(options: RunOptions, windows: Windows) -> tuple[Make, Keep]:
    """How a run makes the forecaster of a seed, and how it keeps one: whole, or the adapter on its base."""
    if options.base is None:
        return partial(_new, options, windows), save
    if options.mode == "codes":
        return partial(grow, options, windows), save
    base = Path(options.base)
    return partial(_on_base, options, base), save if options.mode == "joint" else partial(_keep_adapter, base)


def keeps_adapters(options: RunOptions) -> bool:
    """Whether what a run keeps are adapters, which need its base."""
    return options.base is not None and options.mode not in ("joint", "codes")


def _new(options: RunOptions, windows: Windows, seed: int) -> Forecaster:
    return create(options.backbone, windows, make_stages(options.stages), seed=seed, **options.hyper)


def _on_base(options: RunOptions, base: Path, seed: int) -> Forecaster:
    return put_on(load(base / f"seed{seed}"), options.stages, options.mode, seed)


def _keep_adapter(base: Path, forecaster: Forecaster, place: Path, **told: Any) -> Path:
    return save_adapter(forecaster, place, base=base / place.name)


def put_on(
    base: Forecaster, stages: Stages, mode: Mode, seed: int, factors: Iterable[nn.Module] | None = None
) -> Forecaster:
    """The base with new stages behind its head, as adapters, and all frozen that the mode does not train.

    With ``factors``, stages of the same kinds trained elsewhere, they begin with what nodes share in these.
    """
    with seeded(seed):
        for name, stage in zip(stages, make_stages(stages), strict=True):
            if not isinstance(stage, AfterStage):
                raise FieldcastError(f"'{name}' does not stand behind the head: train it with its backbone instead.")
            base.attach(stage, name)
    for stage, trained in zip(base.adapters.values(), factors or (), strict=factors is not None):
        take_factors(stage, trained)  # type: ignore[arg-type]
    freeze(base, mode)
    return base


def make_stages(stages: Stages) -> list[Stage]:
    """Stages from their names and settings."""
    return [make_stage(name, told) for name, told in stages.items()]
