"""An experiment writes one line a run, goes on where it stood, and says what it left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fieldcast.errors import Diverged, FieldcastError, Terminated
from fieldcast.forecaster import Forecaster, load
from fieldcast.training import fitting
from fieldcast.workflows import experiment
from fieldcast.workflows.experiment import lines_of, read_lines, run_experiment
from fieldcast.workflows.experiment_file import read_experiment
from fieldcast.workflows.tables import as_markdown, summary_markdown
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


# Arms: stages beside the backbones


ARMS: dict[str, Any] = {
    "name": "arms",
    "seeds": [0, 1],
    "datasets": [{"name": "a.csv"}],
    "windows": {"lookback": 4, "horizon": 2},
    "training": {"max_epochs": 1, "batch_size": 128, "accelerator": "cpu"},
    "backbones": {"stid": {"width": 4}, "lstm": {"width": 4}},
    "baselines": ["last_value"],
    "arms": {
        "base": None,
        "default": {"stages": {"st_lora": {"rank": 2}}},
        "finetune": {"stages": {"st_lora": {"rank": 2}}, "mode": "finetune", "training": {"max_epochs": 2}},
        "lite": {"stages": {"st_lora": {"recipe": "paper", "rank": 1}}, "backbones": ["lstm"]},
    },
}


def arms(place: Path, **changes: Any) -> Path:
    (place / "arms.yaml").write_text(yaml.safe_dump({**ARMS, **changes}, sort_keys=False))
    return place / "arms.yaml"


def test_arms_stand_beside_each_backbone(place: Path) -> None:
    jobs = read_experiment(arms(place)).jobs
    assert [(job.backbone, job.arm.name) for job in jobs if job.seed == 0] == [
        ("last_value", ""), ("stid", "base"), ("stid", "default"), ("stid", "finetune"), ("lstm", "base"),
        ("lstm", "default"), ("lstm", "finetune"), ("lstm", "lite"),
    ]  # fmt: skip
    (lite,) = [job for job in jobs if job.arm.name == "lite" and job.seed == 0]
    assert lite.training["schedule"] == "step" and lite.training["batch_size"] == 64, "the stage's recipe trains too"
    assert len({job.key for job in jobs}) == len(jobs)
    plain = read_experiment(arms(place, arms={"base": {}})).jobs
    assert {job.key for job in plain} < {job.key for job in jobs}, "an arm without stages is the backbone's own run"
    tuned = next(job for job in jobs if job.arm.name == "finetune")
    assert tuned.base is not None and tuned.base.key in {job.key for job in plain}
    assert tuned.training["max_epochs"] == 2 and tuned.base.training["max_epochs"] == 1


def test_an_arm_is_tuned_on_the_base_that_was_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept = arms(place), place / "kept"

    def lines(**chosen: Any) -> dict[tuple[str, int], dict[str, Any]]:
        out = run_experiment(path, place / "results", place / "data", progress=False, backbones=["stid"], **chosen)
        return {(line.get("mode", ""), line["seed"]): line for line in read_lines(out)}

    base = lines(arms=["base"], keep=kept)
    assert sorted(each.name for each in kept.iterdir()) == sorted(line["key"] for line in base.values())
    tuned = lines(arms=["finetune"], keep=kept)
    (place / "results" / "arms.jsonl").unlink()
    anew = lines(arms=["finetune"])  # its base is trained first
    for seed in (0, 1):
        line, other = tuned["finetune", seed], anew["finetune", seed]
        assert line["scores"] == other["scores"], "the same bits, whether the base was kept or trained again"
        assert line["parameters"] > line["base_parameters"] == base["", seed]["parameters"]
        assert line["scores"] != base["", seed]["scores"]


def test_what_was_kept_is_scored_and_not_trained_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept = arms(place), place / "kept"
    out = run_experiment(path, place / "results", place / "data", progress=False, keep=kept)
    lines = read_lines(out)
    fit = fitting.fit

    def solve(forecaster: Forecaster, *given: Any, **options: Any) -> fitting.History:
        assert not forecaster.backbone.trainable, "trained again"
        return fit(forecaster, *given, **options)

    monkeypatch.setattr(fitting, "fit", solve)
    out.unlink()
    again = read_lines(run_experiment(path, place / "results", place / "data", progress=False, keep=kept))
    assert again == lines, "with what training did"
    out.unlink()
    for each in kept.iterdir():
        (each / "metrics.json").unlink()
        sums = (each / "SHA256SUMS").read_text(encoding="utf-8").splitlines(keepends=True)
        (each / "SHA256SUMS").write_text("".join(line for line in sums if "metrics" not in line), encoding="utf-8")
    untold = read_lines(run_experiment(path, place / "results", place / "data", progress=False, keep=kept))
    assert [line.get("scores") for line in untold] == [line.get("scores") for line in lines]
    trained = [line for line in untold if line["training"]]
    assert trained and all(line["seconds"] is line["best_epoch"] is None for line in trained)
    told = as_markdown(read_experiment(path), lines_of(read_experiment(path), out))
    assert "best epochs 2 not kept" in told


def test_lines_of_the_same_settings_are_taken_from_other_files(place: Path) -> None:
    path = arms(place, name="first", arms={"base": {}}, backbones={"stid": {"width": 4}})
    first = run_experiment(path, place / "results", place / "data", progress=False)
    tuned = {"base": {}, "default": ARMS["arms"]["default"]}
    both = arms(place, paired_with=["results/first.jsonl"], arms=tuned, backbones={"stid": {"width": 4}})
    out = run_experiment(both, place / "results", place / "data", progress=False, arms=["default"])
    assert [line["stages"] for line in read_lines(out)] == [{"st_lora": {"rank": 2}}] * 2
    found = lines_of(read_experiment(both), out)
    assert [line["arm"] for line in found] == ["", "", "", "default", "default"]
    assert len(read_lines(first)) == 3


def test_factors_are_taken_to_another_dataset(place: Path) -> None:
    """What nodes share comes from the run that the arm names; in mode codes only the codes are learned anew."""
    write_csv(place / "data" / "b.csv", rows=500, nodes=4, seed=5)
    stages = {"st_lora": {"rank": 2}}
    chosen = {
        "base": {}, "finetune": {"stages": stages, "mode": "finetune"},
        "moved": {
            "stages": stages, "mode": "codes", "datasets": ["b.csv"],
            "factors": {"dataset": "a.csv", "arm": "finetune"},
        },
    }  # fmt: skip
    changes = {"arms": chosen, "datasets": [{"name": "a.csv"}, {"name": "b.csv"}], "backbones": {"stid": {"width": 4}}}
    path = arms(place, **changes, seeds=[0], baselines=[])
    jobs = {(job.dataset, job.arm.name): job for job in read_experiment(path).jobs}
    moved = jobs["b.csv", "moved"]
    assert moved.source is not None and moved.source.key == jobs["a.csv", "finetune"].key
    out = run_experiment(path, place / "results", place / "data", progress=False, keep=place / "kept")
    (line,) = [line for line in read_lines(out) if "factors" in line]
    assert line["key"] == moved.key and line["factors"]["key"] == moved.source.key
    here, there, own = (
        load(place / "kept" / job.key).after[0].state_dict()
        for job in (moved, moved.source, jobs["b.csv", "finetune"])
    )  # fmt: skip
    assert all(torch.equal(here[name], there[name]) for name in here if name != "lora_E")
    assert here["lora_E"].shape[1] == 4 and there["lora_E"].shape[1] == 3
    assert not torch.equal(here["lora_E"], own["lora_E"])
    assert not torch.equal(here["blocks.0.head.weight"], own["blocks.0.head.weight"])
    assert "those of finetune on a.csv" in as_markdown(read_experiment(path), lines_of(read_experiment(path), out))
    (place / "kept").rename(place / "lost")
    (place / "results" / "arms.jsonl").unlink()
    again = run_experiment(path, place / "results", place / "data", progress=False, arms=["moved"])
    assert [each["scores"] for each in read_lines(again)] == [line["scores"]], "trained again where nothing was kept"


def test_an_arm_on_fewer_windows(place: Path) -> None:
    chosen = {"base": {}, "a third": {"stages": {"st_lora": {"rank": 1}}, "mode": "finetune", "windows": {"stride": 3}}}
    path = arms(place, arms=chosen, backbones={"stid": {"width": 4}}, seeds=[0], baselines=[])
    out = run_experiment(path, place / "results", place / "data", progress=False)
    base, third = read_lines(out)
    assert third["protocol"]["windows"]["test"] == base["protocol"]["windows"]["test"]
    assert third["protocol"]["windows"]["train"] == -(-base["protocol"]["windows"]["train"] // 3)
    assert "stride in training 3" in as_markdown(read_experiment(path), lines_of(read_experiment(path), out))


def test_an_arm_on_the_last_tenth(place: Path) -> None:
    """The base knows the first nine tenths, the adapter sees the last one, in the base's own scale."""
    tenth = {"train_share": [0.9, 1]}
    chosen = {
        "base": {}, "fresh": {"stages": {"st_lora": {"rank": 1}}, "mode": "finetune", "windows": tenth},
        "scratch": {"windows": tenth},
    }  # fmt: skip
    windows = {**ARMS["windows"], "train_share": [0, 0.9]}
    path = arms(place, arms=chosen, windows=windows, backbones={"stid": {"width": 4}}, seeds=[0], baselines=[])
    out = run_experiment(path, place / "results", place / "data", progress=False, keep=place / "kept")
    base, fresh, scratch = read_lines(out)
    counts = [line["protocol"]["windows"]["train"] for line in (base, fresh, scratch)]
    assert counts[1] == counts[2] and 8 <= counts[0] / counts[1] <= 10
    scales = [load(place / "kept" / line["key"]).form.scaler.scale.tolist() for line in (base, fresh, scratch)]
    assert scales[0] == scales[1] != scales[2]
    assert "train_share in training [0.9, 1]" in as_markdown(
        read_experiment(path), lines_of(read_experiment(path), out)
    )


def test_arms_of_a_solved_backbone(place: Path) -> None:
    """It is solved once for all seeds, and each seed of an arm stands against it."""
    tuned = {"stages": {"st_lora": {"rank": 1}}}
    chosen = {"base": {}, "default": tuned, "finetune": {**tuned, "mode": "finetune"}}
    path = arms(place, arms=chosen, backbones={"ridge_var": {}}, baselines=[])
    out = run_experiment(path, place / "results", place / "data", progress=False, keep=place / "kept")
    found = lines_of(read_experiment(path), out)
    assert [(line["arm"], line["seed"]) for line in found] == [
        ("", 0), ("default", 0), ("default", 1), ("finetune", 0), ("finetune", 1),
    ]  # fmt: skip
    assert {line["base_parameters"] for line in found} == {0}
    table = summary_markdown(read_experiment(path), found)
    assert "ridge_var" in table and "finetune" in table and table.count("%") == 2
    assert "ridge_var + default" in as_markdown(read_experiment(path), found)


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"stages": {"st_lora": {}}, "modes": "joint"}, "gives the arm 'x'"),
        ({"stages": ["st_lora"]}, "gives the arm"),
        ({"stages": {"st_lora": {}}, "mode": "lora"}, "no mode 'lora'"),
        ({"mode": "finetune"}, "no mode 'finetune'"),
        ({"stages": {"st_lro": {}}}, "no stage 'st_lro'"),
        ({"stages": {"st_lora": {"rank": "x"}}}, "takes no rank 'x'"),
        ({"stages": {"st_lora": {}}, "mode": "codes"}, "no mode 'codes'"),
        ({"windows": {"horizon": 3}}, "only their stride, 1 or more, and their train_share"),
        ({"windows": {"stride": 0}}, "only their stride, 1 or more, and their train_share"),
        ([], "gives the arm 'x'"),
        ({}, "'base' and 'x' of stid on a.csv are one run"),
        ({"stages": {"st_lora": {}}, "mode": "codes", "factors": {"dataset": "a.csv", "arm": ["x"]}}, "takes factors"),
        ({"stages": {"st_lora": {}}, "mode": "codes", "factors": {"dataset": "a.csv"}}, "takes factors from"),
        (
            {"stages": {"st_lora": {}}, "mode": "codes", "factors": {"dataset": "a.csv", "arm": "base"}},
            "the same stages are not trained",
        ),
        ({"stages": {"st_lora": {}}, "backbones": ["stidd"]}, r"is for 'stidd' \(did you mean 'stid'"),
        ({"stages": {"st_lora": {}}, "datasets": ["b.csv"]}, "is for 'b.csv'.* none of its datasets"),
    ],
)
def test_an_arm_that_cannot_be_is_refused_before_the_first_run(place: Path, arm: dict[str, Any], said: str) -> None:
    path = arms(place, arms={"base": {}, "x": arm})
    with pytest.raises(FieldcastError, match=said):
        run_experiment(path, place / "results", place / "data", progress=False)
    assert not (place / "results").exists()


def test_a_share_of_the_seeds(place: Path) -> None:
    path = place / "tiny.yaml"
    out = run_experiment(path, place / "results", place / "data", progress=False, backbones=["stid"], seeds=[1])
    assert [line["seed"] for line in read_lines(out)] == [1]
    with pytest.raises(FieldcastError, match="has no seed '7'"):
        run_experiment(path, place / "results", place / "data", progress=False, seeds=[7])


@pytest.mark.slow
def test_shares_of_a_plan_by_several_processes(place: Path) -> None:
    """Every run once, with the bits of one process."""
    one = {line["key"]: line.get("scores") for line in read_lines(run(place))}
    (place / "plan.txt").write_text(f"# both\n{place}/tiny.yaml --data {place}/data --results {place}/shared\n")
    script = Path(__file__).parents[2] / "experiments" / "shares.py"
    words = [sys.executable, str(script), str(place / "plan.txt"), "--processes", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = read_lines(place / "shared" / "tiny.jsonl")
    assert len(lines) == len(one) and {line["key"]: line.get("scores") for line in lines} == one
    (place / "plan.txt").write_text("absent.yaml")
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "absent.yaml" in done.stderr and "Traceback" not in done.stderr
