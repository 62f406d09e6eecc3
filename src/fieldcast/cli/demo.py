"""fieldcast demo: the whole way on a simulated city, in minutes."""

from __future__ import annotations

from collections.abc import Sequence

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options


def run(argv: Sequence[str]) -> None:
    options = Options("demo", "Train two backbones on a simulated city, compare them with baselines, write a report.")
    options.option("out", str, "runs/demo", "folder of the demo; one that is there is made anew")
    options.option("seed", int, 0, "seed of the city and of the models")
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print the scores as JSON")
    values = options.parse(argv)
    from fieldcast.reporting.report import write_report
    from fieldcast.workflows.board import board_table
    from fieldcast.workflows.demo import demo

    output = Output(values["quiet"], values["json"])
    folder, board = demo(values["out"], seed=values["seed"], progress=output.progress, say=output.say)
    report = write_report(folder)
    output.result(f"{board_table(board)}\n\nreport: {report}", board)
