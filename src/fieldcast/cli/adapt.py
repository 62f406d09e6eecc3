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
    stages = StageOptions(methods[-1:] or ["st_lora"], argv, {})

    options = Options(
        "adapt",
        "Tune an adapter on every forecaster of a finished run, on the run's own data and with its training settings "
        "where you say nothing else. Written are adapters of a few kB, which need the run beside them. One that is "
        "interrupted goes on with: fieldcast train --resume --out FOLDER.",
    )
    options.position("run", "folder of the finished run")
    options.option("method", str, "st_lora", "which adapter")
    mode = Literal["finetune", "predictor", "joint"]
    options.option("mode", mode, "finetune", "what trains: the adapter; the head's layers besides; or everything")
    new_help = "readings of the run's sensors and of new ones: all that is tuned is what its adapters hold for these"
    options.option("new_sensors", str, None, new_help)
    options.option("graph", str, None, "with --new-sensors, the graph of all of them: a file, nearest:8, correlation:8")
    stages.add(options)
    options.add(TrainingOptions)
    options.option("out", str, None, "folder of the new run")
    options.plugin()
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print the scores as JSON")
    base = read_run(options.parse(stages.argv, stages.config())["run"])
    values = options.parse(stages.argv, {**base.training.to_json(), **stages.training, **stages.config()})
    if values["out"] is None:
        raise FieldcastError("--out is needed: the folder of the new run, such as --out runs/base+lora.")
    output = Output(values["quiet"], values["json"])
    told = stages.of(values)
    loop = {each.name: values[each.name] for each in dataclasses.fields(TrainingOptions)}
    how = {"training": settings(TrainingOptions, loop, "adapt"), "progress": output.progress, "say": output.say}
    if values["new_sensors"] is not None:
        if (
            methods
            or values["mode"] != "finetune"
            or any("." in word.split("=")[0] for word in argv if word[:2] == "--")
        ):
            raise FieldcastError(
                "--new-sensors tunes the adapters that the run has: leave --method, --mode and settings of it out."
            )
        how["graph"] = values["graph"]
        board = adapt_to_new_sensors(values["run"], values["new_sensors"], values["out"], **how)
    elif values["graph"] is not None:
        raise FieldcastError("--graph goes with --new-sensors: the run's own sensors have its own graph.")
    else:
        board = adapt(Path(values["run"]), told, values["out"], mode=values["mode"], **how)
    output.result(board_table(board) + f"\n\nsaved in {values['out']}", board)
