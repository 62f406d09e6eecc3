"""fieldcast compare: finished runs side by side, with paired differences and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fieldcast.cli.output import Output
from fieldcast.cli.parsing import Options


def run(argv: Sequence[str]) -> None:
    folders: list[str] = []
    rest = list(argv)
    while rest and not rest[0].startswith("-"):
        folders.append(rest.pop(0))
    options = Options("compare", "Compare finished runs, RUN [RUN ...]; the first is the reference.")
    options.option("target", str, None, "channel to compare; left out, the first target")
    options.option("picture", str, None, "PNG file for the picture of differences")
    options.flag("quiet", "print nothing but errors")
    options.flag("json", "print the comparison as JSON")
    values = options.parse(rest)
    from fieldcast.reporting.pictures import comparison_picture
    from fieldcast.workflows.comparing import compare

    comparison = compare(folders, target=values["target"])
    text = str(comparison)
    if values["picture"] is not None:
        text += f"\npicture: {comparison_picture(comparison, Path(values['picture']))}"
    Output(values["quiet"], values["json"]).result(text, comparison.to_json())
