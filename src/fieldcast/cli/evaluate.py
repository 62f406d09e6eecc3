"""fieldcast evaluate: the scores of a saved run, again or on other readings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options, made
from fieldcast.errors import FieldcastError


def run(argv: Sequence[str]) -> None:
    from fieldcast.workflows.board import board_table
    from fieldcast.workflows.evaluating import evaluate_run
    from fieldcast.workflows.options import ReadingsOptions

    options = Options("evaluate", "Score a saved run again, on its own data or on others of the same sensors.")
    options.position("run", "folder of the run")
    options.option("data", str, None, "other readings of the same sensors; left out, those of the run")
    options.add(ReadingsOptions, skip=["data"])
    options.option("split", str, None, "another split, by name or rule")
    options.option("part", Literal["train", "validation", "test"], "test", "which windows to score")
    options.option("out", str, None, "folder for scores.json and a sample of forecasts; left out, nothing is written")
    options.plugin()
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print the scores as JSON")
    values = options.parse(argv)
    output = Output(values["quiet"], values["json"])
    readings = None if values["data"] is None else made(ReadingsOptions, values)
    ignored = [each.name for each in dataclasses.fields(ReadingsOptions) if values[each.name] is not None]
    if readings is None and ignored:
        raise FieldcastError(
            f"--{ignored[0].replace('_', '-')} says how to read other readings: give them with --data."
        )
    choice = {name: values[name] for name in ("split", "part", "out")}
    board = evaluate_run(values["run"], readings=readings, **choice)
    output.result(board_table(board), board)
