"""Settings as plain data and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fieldcast.errors import FieldcastError
from fieldcast.training import TrainingOptions
from fieldcast.workflows.options import ReadingsOptions, RunOptions, WindowOptions, find_graph
from tests.tiny import tiny_readings, write_csv

FULL = RunOptions(
    ReadingsOptions("a.csv", frequency="1h", fill_gap=3, repeated="mean", scored_cells="targets > 0"),
    WindowOptions(
        channels=["x", "y"],
        targets=["y"],
        lookback=6,
        horizon=3,
        split="rows 0:5 5:7 7:9",
        scaler="node",
        stride=2,
        train_share=(0.5, 1.0),
    ),
    "lstm",
    {"width": 8, "dropout": 0.0},
    TrainingOptions(max_epochs=3, milestones=(1, 2), schedule="multistep", precision="bf16"),
    (3, 1),
    ("last_value",),
)


@pytest.mark.parametrize(
    "options", [FULL, RunOptions(ReadingsOptions("b"), WindowOptions(), "stid", {}, TrainingOptions())]
)
def test_round_trip(options: RunOptions) -> None:
    assert RunOptions.from_json(options.to_json()) == options
    assert RunOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert RunOptions.from_json(yaml.safe_load(yaml.safe_dump(options.to_json()))) == options


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lookbak": 3}, r"no setting 'lookbak'.*did you mean 'lookback'"),
        ({"class_path": "os.system"}, "no setting 'class_path'"),
        ({"seeds": []}, "give at least one"),
        ({"seeds": [1, 1]}, "each once"),
        ({"seeds": [-1]}, "none negative"),
        ({"optimizer": "sgd"}, "choose adam, adamw"),
        ({"backbone": "stid"}, "backbone"),
        ({"backbone": {"width": 3}}, "backbone"),
        ({"backbone": None}, "backbone"),
        ({"data": None}, "data"),
    ],
)
def test_what_is_not_understood_is_told(change: dict[str, Any], said: str) -> None:
    table = {**FULL.to_json(), **change}
    if change.get("data", 0) is None:
        del table["data"]
    with pytest.raises(FieldcastError, match=said) as caught:
        RunOptions.from_json(table)
    assert "\n" not in str(caught.value)


def test_readings_are_opened_as_told(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows=50)
    assert ReadingsOptions(str(path), scored_cells="targets > 5").open().meta.scored_cells == "targets > 5"
    with pytest.raises(FieldcastError, match=r"did you mean 'a\.csv'"):
        ReadingsOptions(str(tmp_path / "b.csv")).open()


def test_windows_are_made_as_told() -> None:
    windows = WindowOptions(channels=["c1", "c0"], targets=["c0"], lookback=4, horizon=2, stride=3, purge=1).windows(
        tiny_readings(channels=2)
    )
    assert windows.form.channels == ("c1", "c0") and windows.form.targets == ("c0",)
    assert (windows.form.lookback, windows.form.horizon, windows.stride) == (4, 2, 3)


def test_the_graph_beside_the_data_is_found(tmp_path: Path) -> None:
    readings = tiny_readings()
    assert find_graph(tmp_path, readings) is None
    np.savez(tmp_path / "graph.npz", edge_index=np.array([[0, 1], [1, 2]]), edge_weight=np.ones(2, np.float32))
    for place in (tmp_path, tmp_path / "data.npz"):
        graph = find_graph(place, readings)
        assert graph is not None and graph.nodes == 3 and graph.edge_index.shape == (2, 2)
