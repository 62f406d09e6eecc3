"""The board: files that say it all, and a table with its protocol."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from fieldcast.workflows.board import Entry, board_table, build_board, read_board, write_board
from fieldcast.workflows.scoring import score
from tests.tiny import tiny_readings


def entries(windows: Windows) -> list[Entry]:
    scored = score(create("last_value", windows).eval(), windows)
    trained = [score(create("stid", windows, seed=seed, width=4).eval(), windows) for seed in (0, 1, 2)]
    return [
        Entry("stid", "trained", 10, [0, 1, 2], trained, 1.5),
        Entry("last_value", "baseline", 0, [0], [scored]),
        Entry("weekly_climatology", "baseline", 0, [0], [], note="two weeks are needed"),
    ]


@pytest.fixture(scope="module")
def windows() -> Windows:
    rules = {"scored_cells": "all cells; targets > 9 beside", "units": {"c0": "km/h"}}
    return Windows(tiny_readings(channels=2, targets=("c0", "c1"), **rules), 6, 12)


def test_written_and_read_again(windows: Windows, tmp_path: Path) -> None:
    mine = entries(windows)
    board = build_board("my town", windows, [0, 1, 2], mine)
    write_board(tmp_path, board, mine)
    assert read_board(tmp_path) == json.loads(json.dumps(board, allow_nan=False))
    assert board["units"] == {"c0": "km/h", "c1": ""} and board["protocol"]["part"] == "test"
    sample = np.load(tmp_path / "sample.npz", allow_pickle=False)
    assert sample["models"].tolist() == ["stid", "last_value"]
    assert sample["forecast"].shape == (2, len(sample["steps"]), len(sample["time"]), 3, 2)
    assert sample["truth"].shape == sample["forecast"].shape[2:]


def test_the_table(windows: Windows) -> None:
    table = board_table(build_board("my town", windows, [0, 1, 2], entries(windows)))
    lines = table.splitlines()
    assert lines[0].startswith("my town: 6 -> 12 steps") and "seeds 0, 1, 2 (mean ± sample sd)" in lines[0]
    headings = [line for line in lines if "scored on" in line]
    assert headings == [
        "c0 [km/h], scored on all cells", "c0 [km/h], scored on targets > 9", "c1, scored on all cells",
        "c1, scored on targets > 9",
    ]  # fmt: skip
    titles = next(line for line in lines if line.startswith("model"))
    for title in ("MAE@3", "MAE@6", "MAE@12", "MAE mean12", "RMSE mean12", "MAE pooled12"):
        assert title in titles
    assert sum(line.startswith("weekly_climatology  ") for line in lines) == 4, "named in every block, without figures"
    assert lines[-1] == "weekly_climatology: two weeks are needed"
    assert all("±" in line for line in lines if line.startswith("stid"))
    assert not any("±" in line for line in lines if line.startswith("last_value"))


def test_simulated_data_say_so(windows: Windows) -> None:
    readings = tiny_readings(role="a simulated city")
    simulated = Windows(readings, 6, 3)
    board = build_board("city", simulated, [0], entries(simulated))
    assert board["simulated"] and "city (simulated data)" in board_table(board)


def test_nothing_to_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match="give the folder of a finished run"):
        read_board(tmp_path)
    for text in ('{"models": [', "[]", "\x80"):
        (tmp_path / "scores.json").write_bytes(text.encode("latin1"))
        with pytest.raises(FieldcastError, match="is damaged"):
            read_board(tmp_path)
