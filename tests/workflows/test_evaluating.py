"""Evaluating a saved run gives its own scores again, and others on other readings of the same sensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldcast.data.files import SUMS
from fieldcast.errors import FieldcastError
from fieldcast.workflows.board import read_board
from fieldcast.workflows.evaluating import evaluate_run
from fieldcast.workflows.options import ReadingsOptions, RunOptions, WindowOptions
from fieldcast.workflows.running import run
from tests.tiny import tiny_values
from tests.workflows.common import TRAINING


def write_data(folder: Path, nodes: list[str], shift: float = 0.0) -> str:
    """Readings in the common form with a graph beside them: node n of ``nodes`` has always the same series."""
    folder.mkdir()
    values = tiny_values(300, 4)[:, [int(name[1:]) for name in nodes]] + np.float32(shift)
    time = np.datetime64("2024-01-01", "s") + np.arange(300) * np.timedelta64(3600, "s")
    np.savez(folder / "data.npz", values=values, timestamps=time, node_ids=np.array(nodes), channels=np.array(["c0"]))
    ring = np.arange(len(nodes))
    np.savez(
        folder / "graph.npz",
        edge_index=np.stack([ring, np.roll(ring, -1)]),
        edge_weight=np.ones(len(nodes), np.float32),
    )
    return str(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    base = tmp_path_factory.mktemp("trained")
    options = RunOptions(
        ReadingsOptions(write_data(base / "data", ["n0", "n1", "n2", "n3"])), WindowOptions(lookback=6, horizon=3),
        "stid", {"width": 4}, TRAINING, (0, 1), ("last_value", "daily_climatology"),
    )  # fmt: skip
    board = run(options, base / "run")
    return base / "run", json.loads(json.dumps(board))


def models(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The models of a board without the seconds, which evaluating does not measure."""
    return [
        {key: value for key, value in each.items() if key != "train_seconds"}
        for each in json.loads(json.dumps(board))["models"]
    ]


def mae(board: dict[str, Any], name: str) -> float:
    model = next(each for each in board["models"] if each["name"] == name)
    return model["summary"]["mean"]["channels"]["c0"]["mean"]["mae"]


def test_its_own_scores_again(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    board = evaluate_run(trained[0], out=tmp_path / "again")
    assert models(board) == models(trained[1])
    assert board["protocol"] == trained[1]["protocol"]
    assert read_board(tmp_path / "again") == json.loads(json.dumps(board))


def test_another_part_and_split(trained: tuple[Path, dict[str, Any]]) -> None:
    board = evaluate_run(trained[0], part="validation")
    assert board["protocol"]["part"] == "validation" and mae(board, "stid") != mae(trained[1], "stid")
    board = evaluate_run(trained[0], split="rows 0:100 100:150 150:300")
    assert board["protocol"]["split"] == "rows 0:100 100:150 150:300" and board["protocol"]["windows"]["test"] == 142


def test_other_readings_in_another_order(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    data = ReadingsOptions(write_data(tmp_path / "other", ["n2", "n0", "n3", "n1"]))
    board = evaluate_run(trained[0], readings=data, split="windows-first 7:1:2")
    assert models(board) == models(trained[1]), "the same readings, whatever their order"
    assert board["nodes"] == ["n0", "n1", "n2", "n3"]
    assert board["graph"] == trained[1]["graph"], "the edges of the trained order"


def test_the_scaler_stays_that_of_training(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    shifted = evaluate_run(
        trained[0], readings=ReadingsOptions(write_data(tmp_path / "other", ["n0", "n1", "n2", "n3"], 50.0)),
        split="windows-first 7:1:2",
    )  # fmt: skip
    assert mae(shifted, "last_value") == pytest.approx(mae(trained[1], "last_value"), rel=1e-4)
    assert mae(shifted, "stid") > 5 * mae(trained[1], "stid"), "fifty above what it knows, and it shows"


def test_other_readings_are_scored_whole_and_nothing_is_fitted_to_them(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    board = evaluate_run(
        trained[0], readings=ReadingsOptions(write_data(tmp_path / "other", ["n0", "n1", "n2", "n3"], 50.0))
    )
    assert board["protocol"]["split"] == "all windows" and board["protocol"]["windows"]["test"] == 300 - 9 + 1
    # A climatology fitted to the other readings would know them; the run's own is fifty too low.
    assert mae(board, "daily_climatology") == pytest.approx(50, abs=2)


def test_readings_that_changed_since_training_are_refused(tmp_path: Path) -> None:
    options = RunOptions(
        ReadingsOptions(write_data(tmp_path / "data", ["n0", "n1"])), WindowOptions(lookback=6, horizon=3),
        "stid", {"width": 4}, TRAINING, (0,), ("last_value",),
    )  # fmt: skip
    run(options, tmp_path / "run")
    shutil.rmtree(tmp_path / "data")
    write_data(tmp_path / "data", ["n0", "n1"], 1.0)
    with pytest.raises(FieldcastError, match="no longer those"):
        evaluate_run(tmp_path / "run")


def test_missing_sensors_count_as_unobserved(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="lacks 1 of 4 sensors, first 'n1'"):
        board = evaluate_run(trained[0], readings=ReadingsOptions(write_data(tmp_path / "other", ["n0", "n2", "n3"])))
    per_node = board["models"][0]["summary"]["mean"]["channels"]["c0"]["per_node"]
    assert per_node["mae"][1] is None and all(per_node["mae"][i] is not None for i in (0, 2, 3))


def test_what_does_not_fit_is_told(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match="does not know, first 'n5'"):
        write = tiny_values(300, 6)
        folder = tmp_path / "more"
        folder.mkdir()
        time = np.datetime64("2024-01-01", "s") + np.arange(300) * np.timedelta64(3600, "s")
        names = np.array([f"n{i}" for i in (0, 1, 2, 3, 5, 6)])
        np.savez(folder / "data.npz", values=write, timestamps=time, node_ids=names, channels=np.array(["c0"]))
        evaluate_run(trained[0], readings=ReadingsOptions(str(folder)))
    with pytest.raises(FieldcastError, match="no split 'tail'"):
        evaluate_run(trained[0], split="tail")
    with pytest.raises(FieldcastError, match="holds no run"):
        evaluate_run(tmp_path)


def test_an_unfinished_run_is_told(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "run" / SUMS).unlink()  # written when a run is finished
    for seed in (0, 1):
        shutil.rmtree(tmp_path / "run" / f"seed{seed}")
    with pytest.raises(FieldcastError, match=r"holds no trained seed yet: finish the run first \(train --resume\)"):
        evaluate_run(tmp_path / "run")


def test_only_the_seeds_that_are_there_are_named(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "run" / SUMS).unlink()
    shutil.rmtree(tmp_path / "run" / "seed0")
    board = evaluate_run(tmp_path / "run")
    assert board["models"][0]["seeds"] == [1] and board["models"][0]["summary"]["seeds"] == 1
    assert board["protocol"]["seeds"] == [1]
