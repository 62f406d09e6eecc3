"""fieldcast report: one HTML page about a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options


def run(argv: Sequence[str]) -> None:
    options = Options("report", "Write one self-contained HTML page about a run.")
    options.position("run", "folder of the run")
    options.option("out", str, None, "file to write; left out, report.html in the run")
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print the path as JSON")
    values = options.parse(argv)
    from fieldcast.reporting.report import write_report

    path = write_report(Path(values["run"]), None if values["out"] is None else Path(values["out"]))
    Output(values["quiet"], values["json"]).result(f"written to {path}", {"report": str(path)})
