"""The experiments about ST-LoRA: what they name exists, and what was published stands beside what is measured."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fieldcast.core.registry import STAGES
from fieldcast.data.formats import open_readings
from fieldcast.forecaster import make_stage
from fieldcast.workflows.experiment import lines_of, run_experiment
from fieldcast.workflows.experiment_file import read_experiment
from fieldcast.workflows.plugins import load_plugin
from fieldcast.workflows.tables import as_markdown
from tests.datasets import dataset_path

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "st_lora"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.fixture(autouse=True)
def controls() -> None:
    if "twice" not in STAGES.names():
        load_plugin(FOLDER / "controls.py")


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_arm_can_be_made(path: Path) -> None:
    jobs = read_experiment(path).jobs
    assert len({job.key for job in jobs}) == len(jobs)
    for stages in {str(job.arm.stages): job.arm.stages for job in jobs}.values():
        for name, told in stages.items():
            make_stage(name, told)


def test_what_the_paper_published() -> None:
    """Some cells of each table by hand, and how many there are."""
    published = read_experiment(FOLDER / "paper.yaml").published
    figures = {(each.model, each.dataset, each.average): tuple(each.figures.values()) for each in published}
    assert len(figures) == len(published) == 30 + 20 + 60
    assert figures["STGCN", "pems04", "step 12"] == (22.34, 34.89, 15.87)
    assert figures["D2STGNN +", "pems04", "mean"] == (20.62, 32.16, 14.95)
    assert figures["STGCN +", "pems_bay", "step 12"] == (1.99, 4.53, 4.73)
    assert figures["STGCN", "pems07", "mean"] == (24.26, 37.33, 11.14)
    assert figures["LSTM, poster", "pems04", "step 3"] == (21.94, 33.37, 15.32)
    assert figures["GWNet, poster", "pems04", "mean"] == (25.45, 39.70, 17.29)


@pytest.mark.slow
def test_published_steps_stand_beside_measured_ones(tmp_path: Path) -> None:
    """The file itself, on a week of METR-LA in the place of the four months."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metr_la").symlink_to(dataset_path("los_loop_week"), target_is_directory=True)
    table: dict[str, Any] = yaml.safe_load((FOLDER / "paper.yaml").read_text(encoding="utf-8"))
    table |= {"seeds": [0], "baselines": ["historical_inertia"]}
    table["training"] |= {"max_epochs": 1, "batch_size": 256}
    table["arms"] = {name: table["arms"][name] for name in ("base", "+")}
    table["arms"]["+"]["training"] = {"max_epochs": 1, "batch_size": 256}
    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")
    out = run_experiment(path, tmp_path / "results", tmp_path / "data", progress=False)
    experiment = read_experiment(path)
    text = as_markdown(experiment, lines_of(experiment, out)).split("Published,")[0]
    rows = {cells[1]: cells for line in text.splitlines() if len(cells := [c.strip() for c in line.split("|")]) > 1}
    header = rows["model"]
    for measure, value in (("MAE", "3.580"), ("RMSE", "7.470"), ("MAPE", "10.46")):
        theirs, ours = header.index(f"published {measure}@12"), header.index(f"{measure}@12")
        assert (rows["STGCN"][theirs], rows["STGCN"][ours]) == (value, "-")
        assert rows["stgcn"][theirs] == "-" and float(rows["stgcn"][ours]) > 0
    assert rows["STGCN +"][header.index("published MAE mean12")] == "3.100"
    assert "stgcn + +" in rows, "our reading of its settings stands beside its base"


def test_nothing_before_a_simulated_reading_tells_its_node(tmp_path: Path) -> None:
    made = runpy.run_path(str(FOLDER / "simulate.py"))
    readings = open_readings(made["write"](tmp_path))
    y, x = readings.values[..., 0], readings.values[..., 1]
    assert np.isnan(y[::2]).all() and np.isnan(x[1::2]).all() and "simulated" in readings.meta.role
    gain = np.resize(made["GAINS"], made["NODES"])
    rest = y[1::2] - gain * x[::2]
    assert abs(rest.std() / made["NOISE"] - 1) < 0.02
    best = min(np.abs(y[1::2] - a * x[::2]).mean() for a in np.linspace(0, 1.5, 151))
    assert abs(best - 0.4 * np.sqrt(2 / np.pi)) < 0.005, "the error of one gain for all"
