"""fieldcast models: every backbone by its name."""

from __future__ import annotations

from collections.abc import Sequence

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options


def run(argv: Sequence[str]) -> None:
    options = Options("models", "List every backbone: parameters at 207 nodes, what it needs, where it comes from.")
    options.plugin()
    options.flag("quiet", "print nothing")
    options.flag("json", "print JSON")
    values = options.parse(argv)
    from fieldcast.evaluation import format_table
    from fieldcast.workflows.describing import describe_models

    models = describe_models()
    Output(values["quiet"], values["json"]).result(format_table(models), models)
