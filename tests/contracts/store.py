"""Parameter count and a few numbers of the output of every backbone, small enough to read in a diff.

Write them anew after an intended change::

    PYTHONPATH=src python -m tests.contracts.store
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from fieldcast.core.registry import BACKBONES
from tests.contracts.cases import Subject

PATH = Path(__file__).with_name("stored.json")


def fingerprint(name: str) -> dict[str, Any]:
    """Parameter count; mean, standard deviation and three single numbers of a tiny forecast in real units."""
    subject = Subject(name)
    forecaster = subject.build(stirred=False)
    forecast = forecaster.forecast(subject.batch()).double()  # [B, H, N, O]
    numbers = [forecast.mean(), forecast.std(), forecast[0, 0, 0, 0], forecast[1, -1, 2, 0], forecast[-1, -1, -1, -1]]
    return {
        "parameters": sum(parameter.numel() for parameter in forecaster.parameters()),
        "output": [round(float(number), 7) for number in numbers],
    }


def main() -> None:
    torch.set_num_threads(1)
    stored = {name: fingerprint(name) for name in BACKBONES.names()}
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in stored.items()]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
