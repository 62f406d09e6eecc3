"""The demo trains on simulated data, says so, and makes only its own folder anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldcast.errors import FieldcastError
from fieldcast.workflows import demo as module
from fieldcast.workflows.board import board_table, read_board
from fieldcast.workflows.demo import demo
from tests.tiny import tiny_readings


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same demo over a village and with few epochs."""
    readings = tiny_readings(rows=24 * 30, role="simulated")

    def village(*_: Any, **__: Any) -> tuple[Any, ...]:
        return readings, None

    monkeypatch.setattr(module, "simulated_city", village)
    monkeypatch.setattr(module, "_BACKBONES", {name: (hyper, 1) for name, (hyper, _) in module._BACKBONES.items()})


def test_two_backbones_beside_the_baselines(small: None, tmp_path: Path) -> None:
    said: list[str] = []
    folder, board = demo(tmp_path / "demo", say=said.append)
    assert [each["name"] for each in board["models"]][:2] == ["stid", "lstm"] and len(board["models"]) >= 7
    assert "simulated" in said[0] and "(simulated data)" in board_table(board)
    assert read_board(folder)["title"] == board["title"]
    assert (folder / "stid" / "seed0" / "model.safetensors").exists()
    demo(tmp_path / "demo")  # a second time it is made anew


def test_another_folder_is_left_alone(small: None, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FieldcastError, match="is not empty and holds no demo"):
        demo(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FieldcastError, match="is a file"):
        demo(tmp_path / "file")
    assert (tmp_path / "mine.txt").read_text() == "precious"
