"""Processes that tests start: this checkout's code, one thread each."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(*without: str) -> dict[str, str]:
    """The environment of a child, less some variables; it finds ``fieldcast`` and ``tests``, wherever it is started."""
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
