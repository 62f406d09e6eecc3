"""The exception that a user's mistake raises, and its two kinds that end a training run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line separators and half characters: a line of text cannot hold them."""


class FieldcastError(ValueError):
    """A mistake in what was given: one sentence that says what is wrong, where, and how to mend it.

    The command line prints the sentence alone and leaves with ``exit_code``. What a file brought into it of line ends
    and other control characters stands as its escape, so that it stays one line and orders no terminal about.
    """

    exit_code = 2

    def __init__(self, sentence: object = ""):
        super().__init__(UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], str(sentence)))


class Diverged(FieldcastError):
    """A loss that is no longer finite, or has exploded; ``best_epoch`` had the best weights so far, None before any."""

    best_epoch: int | None = None


class Terminated(FieldcastError):
    """Training that was told to leave (SIGTERM) and left; the exit code is that of a process which the signal ended."""

    exit_code = 128 + 15


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name nearest to ``name``, or an empty string."""
    near = difflib.get_close_matches(str(name)[:200], list(known), n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""
