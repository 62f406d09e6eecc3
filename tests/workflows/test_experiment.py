"""An experiment writes one line a run, goes on where it stood, and says what it left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fieldcast.errors import Diverged, FieldcastError, Terminated
from fieldcast.training import fitting
from fieldcast.workflows import experiment
from fieldcast.workflows.experiment import lines_of, read_lines, run_experiment
from fieldcast.workflows.experiment_file import read_experiment
from tests.tiny import write_csv

TABLE: dict[str, Any] = {
    "name": "tiny",
    "seeds": [0, 1],
    "datasets": [
        {"name": "a.csv", "windows": {"targets": ["value"], "channels": "all"} | {"horizon": 2}},
        {"name": "absent"},
    ],
    "windows": {"lookback": 4, "horizon": 3},
    "training": {"max_epochs": 1, "batch_size": 128, "accelerator": "cpu"},
    "backbones": {"stid": {"width": 4, "training": {"learning_rate": 0.01}}},
    "baselines": ["last_value", "weekly_climatology"],
}

PAPER = {"model": "A", "dataset": "a.csv", "horizon": 2, "average": "pooled", "MAE": 1.5, "source": "a paper"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_csv(tmp_path / "data" / "a.csv")
    table = {**TABLE, "datasets": [{"name": "a.csv", "windows": {"horizon": 2}}, {"name": "absent"}]}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(table))
    return tmp_path


def run(place: Path) -> Path:
    return run_experiment(place / "tiny.yaml", place / "results", place / "data", progress=False)


def test_the_jobs_of_a_file(place: Path) -> None:
    described = read_experiment(place / "tiny.yaml")
    jobs = described.jobs
    assert described.name == "tiny" and described.published == ()
    mine = [(job.dataset, job.backbone, job.seed) for job in jobs]
    assert mine[:4] == [
        ("a.csv", "last_value", 0),
        ("a.csv", "weekly_climatology", 0),
        ("a.csv", "stid", 0),
        ("a.csv", "stid", 1),
    ]
    assert len(mine) == 8 and len({job.key for job in jobs}) == 8
    stid = jobs[2]
    assert stid.windows == {"lookback": 4, "horizon": 2} and stid.hyper == {"width": 4}
    assert stid.training == {"max_epochs": 1, "batch_size": 128, "accelerator": "cpu", "learning_rate": 0.01}
    assert jobs[0].training == {}, "a baseline is not trained: its line holds for every training setting"


def test_every_run_is_a_line_with_its_protocol(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(place)
    lines = read_lines(out)
    assert out == place / "results" / "tiny.jsonl" and [line["backbone"] for line in lines] == [
        "last_value", "weekly_climatology", "stid", "stid",
    ]  # fmt: skip
    assert "absent is not in" in capsys.readouterr().out
    assert "needs two training weeks" in lines[1]["note"] and "scores" not in lines[1]
    stid = lines[2]
    assert stid["protocol"]["windows"] == {"train": 164, "validation": 24, "test": 47} and stid["protocol"][
        "seeds"
    ] == [0]
    assert (
        stid["scores"]["channels"]["value"]["mean"]["mae"] > 0 and "per_node" not in stid["scores"]["channels"]["value"]
    )
    assert stid["epochs"] == 1 and stid["parameters"] > 0 and stid["command"].startswith("python experiments/run.py")


@pytest.mark.parametrize(("error", "lines"), [(Terminated("told to stop."), 2), (Diverged("not finite."), 4)])
def test_being_told_to_stop_is_no_result_and_diverging_is_one(
    error: FieldcastError, lines: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fitting.fit

    def fit(forecaster: Any, *rest: Any, **named: Any) -> Any:
        if forecaster.backbone.trainable:
            raise error
        return original(forecaster, *rest, **named)

    monkeypatch.setattr(fitting, "fit", fit)
    if isinstance(error, Terminated):
        with pytest.raises(Terminated):
            run(place)
    else:
        run(place)
    found = read_lines(place / "results" / "tiny.jsonl")
    assert len(found) == lines and all("scores" in line or "note" in line for line in found)


def test_finished_lines_are_not_run_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = run(place)
    before = out.read_text()
    monkeypatch.setattr(experiment._Work, "line", lambda *_: pytest.fail("ran again"))
    run(place)
    assert out.read_text() == before


@pytest.mark.parametrize("cut", [1, 40, 2000])
def test_a_line_that_was_cut_is_run_again_and_no_other_is_lost(cut: int, place: Path) -> None:
    out = run(place)
    whole = out.read_text()
    lines = read_lines(out)
    out.write_text(whole[:-cut])
    assert len(read_lines(out)) == (4 if cut == 1 else 3)
    run(place)
    again = read_lines(out)
    assert [line["key"] for line in again] == [line["key"] for line in lines]
    assert [line.get("scores") for line in again] == [line.get("scores") for line in lines], (
        "the same run, the same scores"
    )
    assert all(json.loads(text) for text in out.read_text().splitlines()), "no half line is left"


def test_other_settings_are_other_runs(place: Path) -> None:
    out = run(place)
    table = yaml.safe_load((place / "tiny.yaml").read_text())
    table["training"]["max_epochs"] = 2
    (place / "tiny.yaml").write_text(yaml.safe_dump(table))
    run(place)
    lines = read_lines(out)
    assert [line["backbone"] for line in lines[4:]] == ["stid", "stid"], "the baselines stand"
    assert [line["epochs"] for line in lines if line["backbone"] == "stid"] == [1, 1, 2, 2]


def test_a_share_of_the_runs_and_their_order(place: Path) -> None:
    """Two processes may share a file: the lines come in any order, and the tables read them in the experiment's."""
    path, results, data = place / "tiny.yaml", place / "results", place / "data"
    out = run_experiment(path, results, data, progress=False, backbones=["stid"])
    assert [line["backbone"] for line in read_lines(out)] == ["stid", "stid"]
    assert run_experiment(path, results, data, progress=False, datasets=["absent"]) == out
    run(place)
    described = read_experiment(path)
    assert [line["backbone"] for line in read_lines(out)] == ["stid", "stid", "last_value", "weekly_climatology"]
    expected = ["last_value", "weekly_climatology", "stid", "stid"]
    assert [line["backbone"] for line in lines_of(described, out)] == expected
    whole = out.read_text().splitlines(keepends=True)
    out.write_text("".join(whole[1:]))  # one seed of stid is not run yet
    assert [line["backbone"] for line in lines_of(described, out)] == expected[:2], "no mean over fewer seeds"
    out.write_text("".join(whole))
    with pytest.raises(FieldcastError, match=r"no backbone 'sitd' .did you mean 'stid'"):
        run_experiment(path, results, data, progress=False, backbones=["sitd"])


def test_a_dataset_may_have_its_own_backbones_and_a_backbone_its_own_seeds(place: Path) -> None:
    datasets = [
        {"name": "a.csv", "backbones": {"lstm": {"width": 5, "seeds": [1], "training": {"max_epochs": 7}}}},
        {"name": "b.csv", "backbones": ["stid"]},
        {"name": "c.csv"},
    ]
    table = {**TABLE, "datasets": datasets, "baselines": []}
    table["backbones"] = {"stid": {}, "lstm": {"width": 4, "training": {"learning_rate": 0.5}}}
    (place / "own.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    jobs = read_experiment(place / "own.yaml").jobs
    assert (jobs[0].training["max_epochs"], jobs[0].training["learning_rate"]) == (7, 0.5)
    found = [(job.dataset, job.backbone, job.seed, dict(job.hyper)) for job in jobs]
    assert found == [
        ("a.csv", "lstm", 1, {"width": 5}), ("b.csv", "stid", 0, {}), ("b.csv", "stid", 1, {}),
        ("c.csv", "stid", 0, {}), ("c.csv", "stid", 1, {}), ("c.csv", "lstm", 0, {"width": 4}),
        ("c.csv", "lstm", 1, {"width": 4}),
    ]  # fmt: skip


def test_a_recipe_stands_in_the_place_of_the_shared_training_and_under_its_own(place: Path) -> None:
    given = {"recipe": "official", "training": {"batch_size": 2}, "width": 3}
    (place / "own.yaml").write_text(yaml.safe_dump({**TABLE, "backbones": {"agcrn": given}, "baselines": []}))
    job = read_experiment(place / "own.yaml").jobs[0]
    assert job.hyper == {"calendar_inputs": False, "width": 3}
    assert (job.training["learning_rate"], job.training["patience"], job.training["batch_size"]) == (3e-3, 15, 2)
    assert job.training["max_epochs"] == 100 and "accelerator" not in job.training, "the file's training is left out"


def test_a_graph_is_a_setting_of_the_backbones_that_need_one(place: Path) -> None:
    table = yaml.safe_load((place / "tiny.yaml").read_text())
    table["datasets"] = [{"name": "a.csv", "windows": {"graph": "correlation:2"}}]
    table["backbones"] = {"stid": {"width": 4}, "gcn_gru": {"width": 4}}
    (place / "tiny.yaml").write_text(yaml.safe_dump(table))
    graphs = {job.backbone: job.windows.get("graph") for job in read_experiment(place / "tiny.yaml").jobs}
    assert graphs == {"last_value": None, "weekly_climatology": None, "stid": None, "gcn_gru": "correlation:2"}
    lines = read_lines(run(place))
    assert {line["backbone"] for line in lines if "scores" in line} == {"last_value", "stid", "gcn_gru"}


def test_all_channels(place: Path) -> None:
    table = yaml.safe_load((place / "tiny.yaml").read_text())
    table |= {
        "datasets": [{"name": "a.csv", "windows": {"channels": "all"}}],
        "backbones": {},
        "baselines": ["last_value"],
    }
    (place / "tiny.yaml").write_text(yaml.safe_dump(table))
    assert read_lines(run(place))[0]["protocol"]["channels"] == ["value"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sedes": [1]}, "unknown key 'sedes'"),
        ({"seeds": None}, "lacks 'seeds'"),
        ({"datasets": None}, "lacks 'datasets'"),
        ({"backbones": {"stdi": {}}}, "did you mean 'stid'"),
        ({"datasets": [{"name": "a.csv", "backbones": ["stdi"]}]}, r"did you mean 'stid'.*none of its backbones"),
        ({"backbones": {"stid": {"seeds": [-1]}}}, "gives 'stid' the seeds"),
        ({"baselines": ["lastvalue"]}, "did you mean 'last_value'"),
        ({"published": [{"model": "a"}]}, "lacks 'dataset'"),
        ({"published": [{**PAPER, "mae": 1}]}, "unknown key 'mae'"),
        ({"published": [{**PAPER, "average": "both"}]}, "the average 'both'"),
        ({"published": [{**PAPER, "average": "step 0"}]}, "the average 'step 0'"),
        ({"published": [{**PAPER, "average": "step 99"}]}, "give a step within the horizon"),
        ({"published": [{**PAPER, "dataset": ["a.csv"]}]}, "give its name"),
        ({"published": [{**PAPER, "horizon": 9}]}, "no run like that"),
    ],
)
def test_a_mistake_in_the_file_is_told(change: dict[str, Any], said: str, place: Path) -> None:
    table = {key: value for key, value in {**TABLE, **change}.items() if value is not None}
    (place / "tiny.yaml").write_text(yaml.safe_dump(table))
    with pytest.raises(FieldcastError, match=said):
        run(place)


@pytest.mark.parametrize("text", ["a: [", "- 1", ""])
def test_a_file_that_is_no_experiment_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(FieldcastError, match=r"x\.yaml"):
        read_experiment(tmp_path / "x.yaml")
    with pytest.raises(FieldcastError, match=r"absent\.yaml"):
        read_experiment(tmp_path / "absent.yaml")


def test_a_share_of_the_seeds(place: Path) -> None:
    path = place / "tiny.yaml"
    out = run_experiment(path, place / "results", place / "data", progress=False, backbones=["stid"], seeds=[1])
    assert [line["seed"] for line in read_lines(out)] == [1]
    with pytest.raises(FieldcastError, match="has no seed '7'"):
        run_experiment(path, place / "results", place / "data", progress=False, seeds=[7])
