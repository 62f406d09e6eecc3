"""Where the real datasets lie: ``FIELDCAST_DATA``, or the folder ``shared/data`` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def data_folder() -> Path:
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("FIELDCAST_DATA", default))


def dataset_path(name: str) -> Path:
    """Return the folder of a real dataset, or skip the test with the reason."""
    path = data_folder() / name
    if not path.exists():
        pytest.skip(f"the dataset {name} is not at {path}; set FIELDCAST_DATA to the folder that holds it")
    return path
