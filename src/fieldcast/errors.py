"""The exception that a user's mistake raises, and its two kinds that end a training run."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FieldcastError(ValueError):
    """A mistake in what was given: one sentence that says what is wrong, where, and how to mend it.

    The command line prints the sentence alone and leaves with ``exit_code``.
    """

    exit_code = 2


class Diverged(FieldcastError):
    """A loss that is no longer finite, or has exploded; ``best_epoch`` had the best weights so far, None before any."""

    best_epoch: int | None = None


class Terminated(FieldcastError):
    """Training that was told to leave (SIGTERM) and left; the exit code is that of a process which the signal ended."""

    exit_code = 128 + 15


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name nearest to ``name``, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""
