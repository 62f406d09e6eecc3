"""A backbone in a user's own file trains without an edit in fieldcast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldcast.core.registry import BACKBONES
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from fieldcast.workflows.plugins import load_plugin
from tests.tiny import tiny_readings

SOURCE = """
import fieldcast
from torch import nn

@fieldcast.register
class Plugged(fieldcast.Backbone):
    def __init__(self, spec, width: int = 5):
        super().__init__(spec)
        self.width = width
        self.first = nn.Linear(spec.lookback * spec.channels, width)
        self.last = nn.Linear(width, spec.horizon * spec.targets)

    def encode(self, x, ctx):
        return self.first(x.transpose(1, 2).flatten(2)).relu()

    def head(self, h):
        return self.unflatten(self.last(h))
"""


def test_it_is_known_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "my_plugin.py"
    path.write_text(SOURCE)
    try:
        load_plugin(path)
        windows = Windows(tiny_readings(), 6, 3)
        forecaster = create("plugged", windows, width=3)
        assert forecaster.backbone.hyper == {"width": 3}
        assert forecaster.backbone.first.weight.shape == (3, 6)
        assert np.isfinite(windows.form.scaler.mean).all()
    finally:
        BACKBONES._registered.pop("plugged", None)


@pytest.mark.parametrize("name", ["absent.py", "notes.txt", "."])
def test_what_is_no_python_file_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x = 1")
    with pytest.raises(FieldcastError, match=r"give the \.py file"):
        load_plugin(tmp_path / name)


@pytest.mark.parametrize("source", ["def broken(:\n", "import nothing_of_this_name\n", "1 / 0\n"])
def test_a_mistake_in_it_is_told_in_one_sentence(source: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(source)
    with pytest.raises(FieldcastError, match=r"wrong\.py") as caught:
        load_plugin(path)
    assert "\n" not in str(caught.value)


def test_its_name_does_not_hide_a_module(tmp_path: Path) -> None:
    import json

    path = tmp_path / "json.py"
    path.write_text("loads = None\n")
    load_plugin(path)
    import sys

    assert sys.modules["json"] is json
