"""What a command prints: text for people, or JSON for programs; progress goes to stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


class Output:
    """Results to stdout; what goes on meanwhile to stderr, and only when nobody asked for quiet."""

    def __init__(self, quiet: bool = False, as_json: bool = False):
        # Of several processes (torchrun sets RANK) one speaks.
        self.silent = os.environ.get("RANK", "0") != "0"
        self.quiet = quiet or self.silent
        self.as_json = as_json

    @property
    def progress(self) -> bool:
        """Whether to draw progress bars: never without a terminal."""
        return not self.quiet and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """What goes on."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def result(self, text: str, data: Any) -> None:
        """The result, once: JSON when asked for, else text, unless quiet."""
        if self.silent:
            return
        if self.as_json:
            print(json.dumps(data, allow_nan=False))
        elif not self.quiet:
            print(text)
