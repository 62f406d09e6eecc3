"""What benchmarks share: sizes of mini-batches, where figures come from, and how they are kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldcast.data.files import write_atomically
from fieldcast.evaluation.protocol import machine_record, version_record
from fieldcast.workflows.bench.clock import environment

BATCH = {"staeformer": 16, "d2stgnn": 16, "dcrnn": 16}
"""Windows a mini-batch of the backbones that are too slow for 64."""


def batch_of(name: str) -> int:
    return BATCH.get(name, 64)


def origin(script: str, argv: Sequence[str] | None, device: str = "cpu") -> dict[str, Any]:
    """Where figures come from: threads and allocator, machine, versions, and the command as it was typed."""
    return {
        "environment": environment(device), "machine": machine_record(), "versions": version_record(),
        "command": " ".join([f"python {script}", *(sys.argv[1:] if argv is None else argv)]),
    }  # fmt: skip


def rows_of(out: Path | None) -> list[dict[str, Any]]:
    """The rows that stand in a file of figures already."""
    return json.loads(out.read_text(encoding="utf-8"))["rows"] if out and out.exists() else []


def with_row(rows: list[dict[str, Any]], row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows with a new one in the place of that for as many sensors."""
    own = (row["backbone"], row["nodes"])
    return [*(each for each in rows if (each["backbone"], each["nodes"]) != own), row]


def keep(out: Path | None, result: dict[str, Any]) -> None:
    """Write figures to a file, or print them."""
    text = json.dumps(result, indent=1) + "\n"
    if out:
        write_atomically(out, text)
    else:
        print(text)
