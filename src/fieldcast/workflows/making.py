"""How a run makes its forecasters and keeps them: anew, or as adapters on those of another run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fieldcast.core.seeding import seeded
from fieldcast.core.stage import AfterStage, Stage
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create, freeze, load, make_stage, save, save_adapter
from fieldcast.workflows.options import RunOptions

Make = Callable[[int], Forecaster]
Keep = Callable[..., Path]


def ways(options: RunOptions, windows: Windows) -> tuple[Make, Keep]:
    """How a run makes the forecaster of a seed, and how it keeps one: whole, or the adapter on its base."""
    if options.base is None:
        return partial(_new, options, windows), save
    base = Path(options.base)

    def keep(forecaster: Forecaster, place: Path, **told: Any) -> Path:
        if options.mode == "joint":
            return save(forecaster, place, **told)
        return save_adapter(forecaster, place, base=base / place.name)

    return partial(_on_base, options, base), keep


def _new(options: RunOptions, windows: Windows, seed: int) -> Forecaster:
    return create(options.backbone, windows, _stages(options), seed=seed, **options.hyper)


def _on_base(options: RunOptions, base: Path, seed: int) -> Forecaster:
    """The base's forecaster of a seed with new stages behind its head, and all frozen that the mode does not train."""
    forecaster = load(base / f"seed{seed}")
    with seeded(seed):
        for name, stage in zip(options.stages, _stages(options), strict=True):
            if not isinstance(stage, AfterStage):
                raise FieldcastError(f"'{name}' does not stand behind the head: train it with its backbone instead.")
            forecaster.attach(stage, name)
    freeze(forecaster, options.mode)
    return forecaster


def _stages(options: RunOptions) -> list[Stage]:
    return [make_stage(name, told) for name, told in options.stages.items()]
