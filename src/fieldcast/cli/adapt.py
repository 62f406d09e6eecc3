"""fieldcast adapt: tune an adapter on a finished run, kept apart from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options, take
from fieldcast.errors import FieldcastError


def run(argv: Sequence[str]) -> None:
    from fieldcast.cli.stages import StageOptions
    from fieldcast.training import TrainingOptions
    from fieldcast.workflows.adapting import adapt, adapt_to_new_sensors
    from fieldcast.workflows.board import board_table
    from fieldcast.workflows.evaluating import read_run
    from fieldcast.workflows.options import settings

    methods, argv = take(argv, "method")
    bases = [word for word in argv[:1] if not word.startswith("--")]
    stages = StageOptions(methods[-1:] or ["st_lora"], argv, {})
    base = read_run(bases[0]) if bases else None

    options = Options(
        "adapt",
        "Tune an adapter on every forecaster of a finished run, on the run's own data and with its training settings "
        "where you say nothing else. Written are adapters of a few kB, which need the run beside them.",
    )
    options.position("run", "folder of the finished run")
    options.option("method", str, "st_lora", "which adapter")
    mode = Literal["finetune", "predictor", "joint"]
    options.option("mode", mode, "finetune", "what trains: the adapter; the head's layers besides; or everything")
    new_help = "readings of the run's sensors and of new ones: all that is tuned is what its adapters hold for these"
    options.option("new_sensors", str, None, new_help)
    stages.add(options)
    options.add(TrainingOptions)
    options.option("out", str, None, "folder of the new run")
    options.plugin()
    options.flag("resume", "go on with the run in --out where it was interrupted")
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print the scores as JSON")
    training = {} if base is None else base.training.to_json()
    values = options.parse(stages.argv, {**training, **stages.training, **stages.config()})
    if values["out"] is None:
        raise FieldcastError("--out is needed: the folder of the new run, such as --out runs/base+lora.")
    output = Output(values["quiet"], values["json"])
    told = stages.of(values)
    loop = {each.name: values[each.name] for each in dataclasses.fields(TrainingOptions)}
    how = {
        "training": settings(TrainingOptions, loop, "adapt"),
        "resume": values["resume"],
        "progress": output.progress,
        "say": output.say,
    }
    if values["new_sensors"] is not None:
        if methods or values["mode"] != "finetune":
            raise FieldcastError("--new-sensors tunes the adapters that the run has: leave --method and --mode out.")
        board = adapt_to_new_sensors(values["run"], values["new_sensors"], values["out"], **how)
    else:
        board = adapt(Path(values["run"]), told, values["out"], mode=values["mode"], **how)
    output.result(board_table(board) + f"\n\nsaved in {values['out']}", board)
