"""The part of backbones.yaml that stands beside papers, tried on a week of METR-LA in the place of the four months."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fieldcast.core.backbone import Backbone
from fieldcast.core.registry import BACKBONES
from fieldcast.training.options import TrainingOptions
from fieldcast.workflows.experiment import lines_of, run_experiment
from fieldcast.workflows.experiment_file import read_experiment
from fieldcast.workflows.tables import as_markdown
from tests.datasets import dataset_path

FILE = Path(__file__).resolve().parents[1] / "experiments" / "backbones.yaml"
PUBLIC = ("metr_la", "pems_bay", "pems03", "pems04", "pems07", "pems08")


def test_every_public_dataset_has_every_backbone_with_five_seeds_and_a_recipe() -> None:
    experiment = read_experiment(FILE)
    table = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    entries = {each["name"]: each for each in table["datasets"]}
    for name in PUBLIC:
        assert set(entries[name]["backbones"]) == set(table["backbones"]) and len(table["backbones"]) == 7
        assert all(each["recipe"] for each in entries[name]["backbones"].values())
        for backbone in table["backbones"]:
            jobs = [job for job in experiment.jobs if (job.dataset, job.backbone) == (name, backbone)]
            cls = BACKBONES.get(backbone)
            assert issubclass(cls, Backbone)
            recipe = cls.recipe(entries[name]["backbones"][backbone]["recipe"])
            assert [job.seed for job in jobs] == [0, 1, 2, 3, 4]
            assert all(TrainingOptions(**job.training) == TrainingOptions(**recipe.training) for job in jobs)
            share = "7:1:2" if name in ("metr_la", "pems_bay") else "6:2:2"
            assert jobs[0].windows == {"lookback": 12, "horizon": 12, "split": f"windows-first {share}"}
        assert any(each.dataset == name for each in experiment.published)


@pytest.mark.slow
def test_published_stands_beside_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metr_la").symlink_to(dataset_path("los_loop_week"), target_is_directory=True)
    table: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    table["baselines"] = ["last_value", "window_mean"]
    table["datasets"] = [each for each in table["datasets"] if each["name"] in PUBLIC]
    for entry in table["datasets"]:
        chosen = entry["backbones"]["stgcn"]
        entry["backbones"] = {"stgcn": {**chosen, "seeds": [0], "training": {"max_epochs": 1}}}
    path = tmp_path / "backbones.yaml"
    path.write_text(yaml.safe_dump(table), encoding="utf-8")
    out = run_experiment(path, tmp_path / "results", tmp_path / "data", progress=False)
    said = capsys.readouterr().out
    assert [said.count(f"{name} is not in") for name in PUBLIC] == [0, 1, 1, 1, 1, 1]
    experiment = read_experiment(path)
    text = as_markdown(experiment, lines_of(experiment, out))
    assert "## metr_la" in text and "## pems" not in text
    first = text.split("Published,")[0].splitlines()  # the table of scores
    rows = [cells[1:] for line in first if len(cells := [cell.strip() for cell in line.split("|")]) > 1]
    header = rows[0]
    at, own, step = (header.index(title) for title in ("published MAE pooled12", "MAE pooled12", "published RMSE@6"))
    (measured,) = [row for row in rows if row[0] == "stgcn"]
    theirs = [(row[at], row[step], row[own]) for row in rows if row[0] == "STGCN"]
    assert theirs == [("3.110", "-", "-"), ("-", "7.240", "-")], "a row for each source"
    assert measured[at] == "-" and float(measured[header.index("RMSE@6")]) > 2
    assert 2 < float(measured[own]) < 20, "a speed in miles an hour after one epoch"
