"""fieldcast data describe: what lies in a file of readings."""

from __future__ import annotations

from collections.abc import Sequence

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options
from fieldcast.errors import FieldcastError, did_you_mean


def run(argv: Sequence[str]) -> None:
    if argv and argv[0] in ("-h", "--help"):
        print("usage: fieldcast data describe PATH [options]      fieldcast data describe --help")
        return
    if not argv or argv[0] != "describe":
        given = argv[0] if argv else ""
        near = did_you_mean(given, ["describe"])
        raise FieldcastError(f"fieldcast data does not know '{given}'{near}: use data describe.")
    from fieldcast.workflows.describing import describe, describe_text
    from fieldcast.workflows.options import ReadingsOptions

    options = Options("data describe", "Describe readings: sensors, channels, span, gaps, missing cells, splits.")
    options.position("data", "file or folder with the readings")
    options.add(ReadingsOptions, skip=["data"])
    options.flag("quiet", "print nothing")
    options.flag("json", "print JSON")
    values = options.parse(argv[1:])
    output = Output(values.pop("quiet"), values.pop("json"))
    summary = describe(ReadingsOptions(**values).open())
    output.result(describe_text(summary), summary)
