"""Arms of an experiment: what stands beside its backbones, what is tuned on what, and what was kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, load
from fieldcast.training import fitting
from fieldcast.workflows.experiment import lines_of, read_lines, run_experiment
from fieldcast.workflows.experiment_file import read_experiment
from fieldcast.workflows.tables import as_markdown, summary_markdown
from tests.tiny import write_csv


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_csv(tmp_path / "data" / "a.csv")
    return tmp_path


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
        ({"windows": {"train_share": [0.9]}}, "where it begins and ends"),
        ({"windows": {"train_share": "all"}}, "where it begins and ends"),
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
