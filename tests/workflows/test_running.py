"""A run leaves a folder that says it all; an interrupted one goes on; a mistaken one leaves nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fieldcast.data.formats import open_readings
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import load, predict
from fieldcast.workflows import running
from fieldcast.workflows.board import board_table, read_board
from fieldcast.workflows.evaluating import evaluate_run, read_run
from fieldcast.workflows.options import ReadingsOptions, RunOptions
from fieldcast.workflows.running import count_parameters, readings_as_trained, run, run_hash
from tests.tiny import write_csv
from tests.workflows.common import tiny_run, with_training, with_windows


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunOptions, dict[str, Any], list[str]]:
    base = tmp_path_factory.mktemp("finished")
    said: list[str] = []
    options = tiny_run(base)
    board = run(options, base / "run", say=said.append)
    return base / "run", options, board, said


def model(board: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in board["models"] if each["name"] == name)


def test_the_folder(finished: tuple[Path, RunOptions, dict[str, Any], list[str]]) -> None:
    folder, options, board, said = finished
    assert sorted(each.name for each in folder.iterdir()) == [
        "SHA256SUMS", "baselines", "config.yaml", "run.json", "sample.npz", "scores.json", "seed0", "seed1",
    ]  # fmt: skip
    assert {
        "config.json",
        "model.safetensors",
        "metrics.json",
        "protocol.json",
        "log.csv",
        "sums.npz",
        "training.json",
    } <= {each.name for each in (folder / "seed0").iterdir()}
    assert read_run(folder) == options and read_board(folder) == json.loads(json.dumps(board))
    assert json.loads((folder / "run.json").read_text())["best"] in ("seed0", "seed1")
    assert len(said) == 3 and "336 rows x 3 nodes" in said[0] and "stid seed 0: 2 epochs (best" in said[1]


def test_the_board(finished: tuple[Path, RunOptions, dict[str, Any], list[str]]) -> None:
    board = finished[2]
    assert [each["name"] for each in board["models"]] == ["stid", "last_value", "weekly_climatology"]
    stid = model(board, "stid")
    assert stid["seeds"] == [0, 1] and stid["summary"]["seeds"] == 2 and stid["kind"] == "trained"
    assert stid["parameters"] == count_parameters(load(finished[0])) > 0
    assert model(board, "last_value")["kind"] == "baseline" and model(board, "last_value")["parameters"] == 0
    protocol = board["protocol"]
    assert protocol["windows"] == {"train": 230, "validation": 33, "test": 65} and protocol["seeds"] == [0, 1]
    assert protocol["dataset_hash"] == open_readings(finished[1].readings.data).hash
    assert board["simulated"] is False


def test_a_baseline_that_the_data_do_not_allow_stands_with_the_reason(finished: Any) -> None:
    weekly = model(finished[2], "weekly_climatology")
    assert weekly["summary"] is None and "needs two training weeks" in weekly["note"]
    table = board_table(finished[2])
    assert "weekly_climatology: weekly climatology needs two training weeks" in table


def test_the_table_has_seeds_and_protocol(finished: Any) -> None:
    table = board_table(finished[2])
    assert "6 -> 3 steps, split windows-first 7:1:2, 65 test windows, protocol TSB-12v1, seeds 0, 1" in table
    row = next(line for line in table.splitlines() if line.startswith("stid"))
    assert "±" in row and "MAE mean3" in table


def test_the_scores_are_those_of_the_saved_forecasters(finished: Any) -> None:
    folder, options, board, _ = finished
    from fieldcast.workflows.scoring import evaluate

    windows = options.windows.windows(options.readings.open())
    each = [evaluate(load(folder / f"seed{seed}"), windows).scores["channels"] for seed in (0, 1)]
    mae = [next(iter(scores.values()))["mean"]["mae"] for scores in each]
    (channel,) = model(board, "stid")["summary"]["mean"]["channels"].values()
    (spread,) = model(board, "stid")["summary"]["sd"]["channels"].values()
    assert channel["mean"]["mae"] == pytest.approx(np.mean(mae))
    assert spread["mean"]["mae"] == pytest.approx(np.std(mae, ddof=1))


def test_the_best_seed_predicts(finished: Any) -> None:
    folder, options = finished[:2]
    best = json.loads((folder / "run.json").read_text())["best"]
    records = {seed: json.loads((folder / f"seed{seed}" / "training.json").read_text()) for seed in (0, 1)}
    assert best == f"seed{min(records, key=lambda seed: records[seed]['selection'])}"
    readings = options.readings.open()
    first, second = predict(load(folder), readings), predict(load(folder / best), readings)
    assert np.array_equal(first.values, second.values)


def test_the_sample_shows_what_was_forecast(finished: Any) -> None:
    folder, options = finished[:2]
    sample = np.load(folder / "sample.npz", allow_pickle=False)
    readings = options.readings.open()
    rows = len(sample["time"])
    assert sample["models"].tolist() == ["stid", "last_value"] and sample["steps"].tolist() == [3]
    np.testing.assert_array_equal(sample["truth"][..., 0], readings.values[-rows:, :, 0])
    assert sample["time"][-1] == readings.time[-1]
    # the last value three steps ahead is the truth three rows before
    np.testing.assert_allclose(sample["forecast"][1, 0, 3:, :, 0], sample["truth"][:-3, :, 0], rtol=1e-5)


def comparable(board: dict[str, Any]) -> dict[str, Any]:
    """A board without what is measured by the clock."""
    board = json.loads(json.dumps(board))
    for each in board["models"]:
        each.pop("train_seconds")
    return board


@pytest.mark.parametrize("moment", ["before seed 0", "within seed 0", "after seed 0", "before the board", "finished"])
def test_an_interrupted_run_goes_on_to_the_same_end(
    moment: str, tmp_path: Path, finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, folder = finished[1], tmp_path / "run"
    from fieldcast.training import fitting
    from tests.training.common import at_moment

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    calls: list[int] = []

    def counted(original: Any, *given: Any, **named: Any) -> Any:
        calls.append(named["seed"])
        if moment == "after seed 0" and len(calls) == 2:
            stop()
        return original(*given, **named)

    with monkeypatch.context() as patch:
        undo = lambda: None  # noqa: E731
        if moment == "before seed 0":
            patch.setattr(fitting, "fit", stop)
        elif moment == "within seed 0":
            undo = at_moment("step:3", stop)
        elif moment == "after seed 0":
            patch.setattr(fitting, "fit", partial(counted, fitting.fit))
        elif moment == "before the board":
            patch.setattr(running, "build_board", stop)
        try:
            if moment == "finished":
                run(options, folder)
            else:
                with pytest.raises(KeyboardInterrupt):
                    run(options, folder)
        finally:
            undo()
    begun = json.loads((folder / "run.json").read_text())
    assert begun["finished"] is (moment == "finished") and begun["data_hash"] == options.readings.open().hash
    trained: list[int] = []

    def record(original: Any, *given: Any, **named: Any) -> Any:
        if "seed" in named:
            trained.append(named["seed"])
        return original(*given, **named)

    monkeypatch.setattr(fitting, "fit", partial(record, fitting.fit))
    board = run(options, folder, resume=True)
    expected = {"after seed 0": [1], "before the board": [], "finished": []}.get(moment, [0, 1])
    assert trained == expected, "finished seeds are not trained again"
    assert comparable(board) == comparable(finished[2])
    for seed in (0, 1):
        name = f"seed{seed}/model.safetensors"
        assert (folder / name).read_bytes() == (finished[0] / name).read_bytes(), "to the bit"


def test_two_runs_do_not_mix(finished: Any, tmp_path: Path) -> None:
    folder, options = finished[:2]
    with pytest.raises(FieldcastError, match="already holds a run: remove it, give another --out, or go on with it"):
        run(options, folder)
    with pytest.raises(FieldcastError, match=r"was begun with another 'learning_rate' \(0\.001, now 0\.5\)"):
        run(with_training(options, learning_rate=0.5), folder, resume=True)
    with pytest.raises(FieldcastError, match="resume with the same settings, remove the folder, or give another --out"):
        run(with_training(options, max_epochs=9), folder, resume=True)
    with pytest.raises(FieldcastError, match="another 'backbone'"):
        run(tiny_run(folder.parent, hyper={"width": 8}), folder, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(FieldcastError, match="is not empty and holds no run"):
        run(options, tmp_path / "other")
    (tmp_path / "file").write_text("")
    with pytest.raises(FieldcastError, match="is a file"):
        run(options, tmp_path / "file")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o: with_windows(o, targets=["speed"]), "has no channel 'speed'"),
        (lambda o: with_windows(o, lookback=5000), "shorten look-back"),
        (lambda o: replace(o, backbone="stidd"), "did you mean 'stid'"),
        (lambda o: replace(o, hyper={"widht": 4}), "widht"),
        (lambda o: replace(o, baselines=("last_valu",)), "did you mean 'last_value'"),
        (lambda o: replace(o, baselines=("lstm",)), "has to be trained"),
        (lambda o: replace(o, backbone="weekly_climatology", hyper={}), "two training weeks"),
    ],
    ids=["target", "look-back", "backbone", "hyper", "baseline", "trained baseline", "refused backbone"],
)  # fmt: skip
def test_a_mistake_leaves_nothing_behind(change: Any, said: str, tmp_path: Path) -> None:
    options = change(tiny_run(tmp_path))
    with pytest.raises(FieldcastError, match=said) as caught:
        run(options, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_other_readings_do_not_mix_into_a_run(tmp_path: Path) -> None:
    options, folder = tiny_run(tmp_path, seeds=(0,)), tmp_path / "run"
    run(options, folder)
    assert run_hash(folder) == options.readings.open().hash and run_hash(tmp_path) is None
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_csv(tmp_path / "tiny.csv", rows=24 * 14, seed=7)
    with pytest.raises(FieldcastError, match=r"tiny\.csv are not those that .*run was begun with") as caught:
        run(options, folder, resume=True)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (folder / "run.json").write_text("[]")
    with pytest.raises(FieldcastError, match=r"run\.json is damaged"):
        run(options, folder, resume=True)


def test_a_run_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tiny_run(tmp_path, seeds=(0,), baselines=())
    relative = replace(options, readings=replace(options.readings, data="tiny.csv"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run(relative, "run")
    run(relative, "run", resume=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "run").rename("moved")
    assert read_run("moved").readings.data == str(tmp_path / "tiny.csv")
    assert evaluate_run("moved")["models"][0]["name"] == "stid"


def test_new_data_are_read_as_the_run_read_its_own(tmp_path: Path, finished: Any) -> None:
    folder, trained = tmp_path / "run", ReadingsOptions("a.csv", start="2020", fill_gap=3, null_rule="zero is missing")
    trained = replace(trained, timezone="America/New_York", scored_cells="observed")
    (folder / "seed0").mkdir(parents=True)
    given = ReadingsOptions("b.csv", fill_gap=0)
    assert readings_as_trained(folder, given) == given, "of a forecaster that was saved on its own nothing is known"
    (folder / "config.yaml").write_text(yaml.safe_dump(replace(finished[1], readings=trained).to_json()))
    assert readings_as_trained(folder, given) == given, "a file of this name makes no run"
    (folder / "run.json").write_text("{}")
    expected = replace(given, null_rule="zero is missing", timezone="America/New_York")
    assert readings_as_trained(folder, given) == readings_as_trained(folder / "seed0", given) == expected


def test_a_solved_backbone_runs_once(tmp_path: Path) -> None:
    board = run(
        tiny_run(tmp_path, backbone="ridge_var", hyper={"order": 2}, baselines=("last_value", "ridge_var")),
        tmp_path / "run",
    )
    assert [each["name"] for each in board["models"]] == ["ridge_var", "last_value"]
    ridge = board["models"][0]
    assert ridge["seeds"] == [0] and ridge["kind"] == "baseline" and ridge["parameters"] == 2 * 3 * 3 + 3
    assert not (tmp_path / "run" / "seed1").exists()
    again = run(
        tiny_run(tmp_path, backbone="ridge_var", hyper={"order": 2}, baselines=("last_value", "ridge_var")),
        tmp_path / "run", resume=True,
    )  # fmt: skip
    assert comparable(again) == comparable(board)


def test_a_damaged_config_is_told(finished: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for text in ("a: [1", "", "- 1\n- 2", "data: x.csv\n"):
        (folder / "config.yaml").write_text(text)
        with pytest.raises(FieldcastError):
            run(finished[1], folder, resume=True)
        with pytest.raises(FieldcastError):
            read_run(folder)


def test_the_config_is_the_run_again(finished: Any) -> None:
    table = yaml.safe_load((finished[0] / "config.yaml").read_text())
    assert table["backbone"] == {"name": "stid", "width": 4, "layers": 1}
    assert table["lookback"] == 6 and table["max_epochs"] == 2 and table["seeds"] == [0, 1]
