"""Start-up: what a command costs before it does anything, and the import of the package."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.protocol import machine_record, version_record
from fieldcast.workflows.bench.clock import summary
from fieldcast.workflows.running import Say


def measure_startup(commands: Sequence[str], *, rounds: int = 5, say: Say = lambda _: None) -> dict[str, Any]:
    """Milliseconds of fresh processes: Python alone, ``import fieldcast``, the help of each command."""
    entry = "import sys; from fieldcast.cli.__main__ import main; sys.exit(main(sys.argv[1:]))"
    works = {
        "python": ["-c", "pass"],
        "import fieldcast": ["-c", "import fieldcast"],
        "fieldcast --help": ["-c", entry, "--help"],
        **{f"fieldcast {name} --help": ["-c", entry, name, "--help"] for name in commands},
    }
    spent: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, words in works.items():
            began = time.perf_counter()
            done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
            if done.returncode:
                said = (done.stderr.strip().splitlines() or ["no word"])[-1]
                raise FieldcastError(f"'{name}' does not start ({said[:200]}): mend the installation.")
            if number:  # the first round fills the caches of the disk
                spent[name].append(1e3 * (time.perf_counter() - began))
        say(f"round {number + 1} of {rounds + 1}")
    return {
        "what": "milliseconds of a fresh process",
        "commands": {name: summary(values) for name, values in spent.items()},
        "machine": machine_record(), "versions": version_record(),
    }  # fmt: skip
