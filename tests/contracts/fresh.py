"""Run in a process of its own: open every saved forecaster of a folder and compare its forecasts bit for bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import tests.contracts.toys
from fieldcast.core.context import Batch
from fieldcast.forecaster import Forecaster, load, save

assert tests.contracts.toys  # importing it registers the toys


def keep(forecaster: Forecaster, batch: Batch, folder: Path) -> None:
    """Save a forecaster with a batch and the forecast that it makes of it."""
    save(forecaster, folder)
    tensors: dict[str, Tensor] = {
        "x": batch.x, "observed": batch.observed, "calendar": batch.calendar, "window": batch.window,
        "forecast": forecaster.forecast(batch).contiguous(),
    }  # fmt: skip
    save_file(tensors, folder / "case.safetensors")


def compare(folder: Path) -> str:
    """What is wrong with a saved forecaster, or nothing."""
    tensors = load_file(folder / "case.safetensors")
    expected = tensors.pop("forecast")
    forecaster = load(folder)
    if forecaster.training:
        return "not in eval mode"
    actual = forecaster.forecast(Batch(**tensors))
    return "" if torch.equal(actual, expected) else f"differs by {float((actual - expected).abs().max())}"


def main(root: Path) -> None:
    torch.set_num_threads(1)
    print(json.dumps({folder.name: compare(folder) for folder in sorted(root.iterdir())}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
