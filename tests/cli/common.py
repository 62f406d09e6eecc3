"""The command line in this process."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from fieldcast.cli.__main__ import main

TINY = [
    "--lookback", "4", "--horizon", "2", "--max-epochs", "1", "--batch-size", "128", "--accelerator", "cpu",
    "--baselines", "last_value", "window_mean",
]  # fmt: skip


@dataclass
class Ran:
    code: int
    out: str
    err: str


def fieldcast(*words: object) -> Ran:
    """Run ``fieldcast WORDS``: exit code, stdout, stderr. An error that is no sentence is raised."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Ran(code, out.getvalue(), err.getvalue())


def refused(*words: object) -> str:
    """The one line with which a command refuses what was given."""
    ran = fieldcast(*words)
    assert ran.code == 2, (ran.code, ran.out, ran.err)
    assert ran.out == "" and ran.err.startswith("fieldcast: ") and ran.err.endswith("\n"), ran
    assert ran.err.count("\n") == 1, ran.err
    return ran.err
