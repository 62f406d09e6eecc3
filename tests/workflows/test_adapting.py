"""Adapting a finished run leaves it as it was, and gives a run of small adapters that needs it beside."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fieldcast.data.files import sha256
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import load
from fieldcast.forecaster.adapters import CONFIG, WEIGHTS
from fieldcast.training.module import TrainingModule
from fieldcast.workflows.adapting import adapt, adapt_to_new_sensors
from fieldcast.workflows.comparing import compare
from fieldcast.workflows.evaluating import evaluate_run, read_run
from fieldcast.workflows.options import ReadingsOptions, WindowOptions
from fieldcast.workflows.running import run
from tests.contracts import toys
from tests.tiny import tiny_values
from tests.workflows.common import TRAINING, tiny_run

assert toys  # importing it registers the toys

SETTINGS = {"st_lora": {"rank": 2, "layers": 1}}


def everything(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, str]]:
    """A folder with a finished run ``base`` and its adapters ``lora``, the board of these, and the base as it was."""
    place = tmp_path_factory.mktemp("adapted")
    run(tiny_run(place), place / "base")
    before = everything(place / "base")
    return place, adapt(place / "base", SETTINGS, place / "lora"), before


def test_the_base_is_left_as_it_was(runs: tuple[Path, dict[str, Any], dict[str, str]]) -> None:
    assert everything(runs[0] / "base") == runs[2]


def test_the_folder_holds_an_adapter_a_seed_and_the_best(runs: tuple[Path, dict[str, Any], dict[str, str]]) -> None:
    lora = runs[0] / "lora"
    for place in (lora, lora / "seed0", lora / "seed1"):
        assert (place / CONFIG).exists() and (place / WEIGHTS).stat().st_size < 10_000
        assert not (place / "model.safetensors").exists()
    best = json.loads((lora / "run.json").read_text())["best"]
    assert sha256(lora / WEIGHTS) == sha256(lora / best / WEIGHTS)
    whole, one = load(lora).state_dict(), load(lora / best).state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in one.items())


def test_the_board_has_the_base_beside_it(runs: tuple[Path, dict[str, Any], dict[str, str]]) -> None:
    place, board, _ = runs
    assert [model["name"] for model in board["models"]] == [
        "stid + st_lora", "stid", "last_value", "weekly_climatology",
    ]  # fmt: skip
    adapted, base = board["models"][:2]
    assert adapted["seeds"] == base["seeds"] == [0, 1] and adapted["parameters"] > base["parameters"]
    assert base["summary"] == json.loads((place / "base" / "scores.json").read_text())["models"][0]["summary"]
    assert adapted["summary"] != base["summary"]


def test_it_is_a_run_like_any_other(runs: tuple[Path, dict[str, Any], dict[str, str]]) -> None:
    place, board, _ = runs
    again = evaluate_run(place / "lora")
    assert again["models"][0]["name"] == "stid + st_lora"
    assert again["models"][0]["summary"] == board["models"][0]["summary"]
    compared = compare([place / "base", place / "lora"], baselines=False)
    assert [model.name for model in compared.models] == ["base (stid)", "lora (stid + st_lora)"]
    assert compared.models[1].difference is not None and compared.models[1].difference.seeds == 2
    assert read_run(place / "lora").stages == SETTINGS


def test_an_interrupted_one_goes_on(
    runs: tuple[Path, dict[str, Any], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between two checkpoints of its second seed, it ends with the same bits: its folder says what it is."""
    place, board, _ = runs
    again = place / "again"  # beside the base
    steps = []

    def stopped(self: TrainingModule, *words: Any) -> Any:
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return step(self, *words)

    step = TrainingModule.training_step
    monkeypatch.setattr(TrainingModule, "training_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        adapt(place / "base", SETTINGS, again)
    assert (again / "seed0" / "training.json").exists() and (again / "seed1" / "last.ckpt").exists()
    assert not (again / "seed1" / WEIGHTS).exists()
    monkeypatch.undo()
    resumed = run(read_run(again), again, resume=True)
    assert resumed["models"][0]["summary"] == board["models"][0]["summary"]
    assert sha256(again / "seed1" / WEIGHTS) == sha256(place / "lora" / "seed1" / WEIGHTS)


def test_an_adapter_no_better_than_its_base_changes_nothing(
    runs: tuple[Path, dict[str, Any], dict[str, str]], tmp_path: Path
) -> None:
    place, worse = runs[0], dataclasses.replace(TRAINING, clip_norm=0.0)
    said: list[str] = []
    settings = {"st_lora": {"rank": 2, "learning_rate": 0.5}}
    board = adapt(place / "base", settings, tmp_path / "worse", training=worse, say=said.append)
    adapted, base = board["models"][:2]
    assert adapted["summary"] == base["summary"]
    assert any("none better than the start, kept" in line for line in said)
    record = json.loads((tmp_path / "worse" / "seed0" / "training.json").read_text())
    assert record["selection"] == record["selection_before"] and record["best_epoch"] == -1


def test_readings_that_changed_are_refused(tmp_path: Path) -> None:
    run(tiny_run(tmp_path, seeds=(0,)), tmp_path / "base")
    table = pd.read_csv(tmp_path / "tiny.csv")
    table["s0"] += 1
    table.to_csv(tmp_path / "tiny.csv", index=False)
    with pytest.raises(FieldcastError, match=r"no longer those that .* was trained on"):
        adapt(tmp_path / "base", SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_modes(runs: tuple[Path, dict[str, Any], dict[str, str]], tmp_path: Path) -> None:
    place = runs[0]
    adapt(place / "base", SETTINGS, tmp_path / "head", mode="predictor")
    head = load(tmp_path / "head")
    assert head.after[0].hyper["tune_head"] and not (tmp_path / "head" / "seed0" / "model.safetensors").exists()
    base = load(place / "base" / "seed0")
    assert torch.equal(load(tmp_path / "head" / "seed0").backbone.output.weight, base.backbone.output.weight)  # type: ignore[union-attr]
    adapt(place / "base", SETTINGS, tmp_path / "all", mode="joint")
    whole = load(tmp_path / "all" / "seed0")
    assert (tmp_path / "all" / "seed0" / "model.safetensors").exists()
    assert not torch.equal(whole.backbone.output.weight, base.backbone.output.weight)  # type: ignore[union-attr]


def test_what_cannot_be_adapted(runs: tuple[Path, dict[str, Any], dict[str, str]], tmp_path: Path) -> None:
    place = runs[0]
    for base, stages, said in (
        (place / "none", SETTINGS, "holds no run"),
        (place / "lora", SETTINGS, "holds adapters of"),
        (place / "base", {"st_lra": {}}, "no stage 'st_lra'"),
        (place / "base", {"st_lora": {"rank": "x"}}, "takes no rank 'x'"),
        (place / "base", {}, "one adapter is tuned at a time"),
        (place / "base", {"sensor_gate": {}}, "does not stand behind the head"),
    ):
        with pytest.raises(FieldcastError, match=said):
            adapt(base, stages, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(FieldcastError, match="already holds a run"):
        adapt(place / "base", SETTINGS, place / "lora")


def test_a_run_with_stages_from_the_start(tmp_path: Path) -> None:
    options = tiny_run(tmp_path, stages={"st_lora": {"rank": 2}}, seeds=(0,))
    board = run(options, tmp_path / "joint")
    assert board["models"][0]["name"] == "stid + st_lora"
    assert read_run(tmp_path / "joint") == options
    assert load(tmp_path / "joint").after[0].rank == 2
    adapt(tmp_path / "joint", {"st_lora": {"rank": 1}}, tmp_path / "more")
    assert len(load(tmp_path / "more").after) == 2
    again = adapt(tmp_path / "joint", {"st_lora": {"rank": 1}}, tmp_path / "whole", mode="joint")
    assert [model["name"] for model in again["models"][:2]] == ["stid + st_lora + st_lora", "stid + st_lora"]
    third = adapt(tmp_path / "whole", {"st_lora": {"rank": 1}}, tmp_path / "third")
    assert third["models"][0]["name"] == "stid + st_lora + st_lora + st_lora"
    assert len(load(tmp_path / "third").after) == 3
    before = load(tmp_path / "whole").after[1].state_dict()
    assert all(torch.equal(each, load(tmp_path / "third").after[1].state_dict()[name]) for name, each in before.items())


def test_new_sensors_get_codes_of_their_own(runs: tuple[Path, dict[str, Any], dict[str, str]], tmp_path: Path) -> None:
    place, more = runs[0], tmp_path / "more.csv"
    table = pd.read_csv(place / "tiny.csv")
    table.insert(1, "new", 3 * table["s0"] - 20)  # in front of the others
    table.to_csv(more, index=False)
    training = dataclasses.replace(TRAINING, max_epochs=4, weight_decay=0.1, optimizer="adamw")
    board = adapt_to_new_sensors(place / "lora", more, tmp_path / "grown", training=training)
    before, after = load(place / "lora" / "seed1"), load(tmp_path / "grown" / "seed1")
    assert board["nodes"] == list(after.form.nodes) == [*before.form.nodes, "new"]
    old, grown = before.state_dict(), after.state_dict()
    codes = grown.pop("after.0.lora_E")
    assert torch.equal(codes[:, :3], old.pop("after.0.lora_E")), "the codes of the run's sensors stay to the bit"
    assert not torch.allclose(codes[:, 3], codes[:, :3].mean(dim=1)), "the new one's began as their mean and moved"
    embedding = grown.pop("backbone.node_embedding")
    assert torch.equal(embedding[:3], old["backbone.node_embedding"])
    assert torch.allclose(embedding[3], old.pop("backbone.node_embedding").mean(dim=0))
    assert all(torch.equal(tensor, old[name]) for name, tensor in grown.items())
    assert evaluate_run(tmp_path / "grown")["models"][0]["summary"] == board["models"][0]["summary"]
    grown_again = read_run(tmp_path / "grown")
    assert (grown_again.mode, grown_again.base, board["models"][0]["name"]) == (
        "codes", str(place / "lora"), "stid + st_lora",
    )  # fmt: skip
    (tmp_path / "grown" / "seed1" / "training.json").unlink()
    resumed = run(grown_again, tmp_path / "grown", resume=True)
    assert resumed["models"][0]["summary"] == board["models"][0]["summary"], "its folder says what it is"


def test_new_sensors_that_are_none(runs: tuple[Path, dict[str, Any], dict[str, str]], tmp_path: Path) -> None:
    place = runs[0]
    with pytest.raises(FieldcastError, match="has no sensor that the run does not have"):
        adapt_to_new_sensors(place / "lora", place / "tiny.csv", tmp_path / "out")
    fewer = pd.read_csv(place / "tiny.csv").drop(columns="s1")
    fewer.assign(new=1.0).to_csv(tmp_path / "fewer.csv", index=False)
    with pytest.raises(FieldcastError, match="lacks the run's sensor 's1'"):
        adapt_to_new_sensors(place / "lora", tmp_path / "fewer.csv", tmp_path / "out")
    silent = pd.read_csv(place / "tiny.csv").assign(new=1.0, other=np.nan)
    silent.to_csv(tmp_path / "silent.csv", index=False)
    with pytest.raises(FieldcastError, match="hold no reading of the new sensor 'other'"):
        adapt_to_new_sensors(place / "lora", tmp_path / "silent.csv", tmp_path / "out")
    more = pd.read_csv(place / "tiny.csv").assign(new=1.0)
    more.to_csv(tmp_path / "more.csv", index=False)
    with pytest.raises(FieldcastError, match="nothing is left to train"):
        adapt_to_new_sensors(place / "base", tmp_path / "more.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_new_sensors_take_the_graph_of_their_data(tmp_path: Path) -> None:
    windows = WindowOptions(lookback=6, horizon=3, graph="correlation:1")
    beside = {"st_lora": {"rank": 1}}
    options = tiny_run(
        tmp_path, backbone="gcn_gru", hyper={"width": 4}, seeds=(0,), stages=beside, windows=windows
    )  # fmt: skip
    run(options, tmp_path / "run")
    table = pd.read_csv(tmp_path / "tiny.csv")
    table.insert(1, "new", 3 * table["s2"] - 20)
    table.to_csv(tmp_path / "more.csv", index=False)
    adapt_to_new_sensors(tmp_path / "run", tmp_path / "more.csv", tmp_path / "grown", training=TRAINING)
    graph = load(tmp_path / "grown").graph
    assert graph is not None and graph.nodes == 4
    assert 2 in graph.adjacency().toarray()[3].nonzero()[0], "the new one is most alike to s2, which stays third"


def test_new_sensors_are_not_left_without_edges(tmp_path: Path) -> None:
    """The base found its graph beside its data; where the new data have none, it has to be given."""
    np.savez(tmp_path / "graph.npz", edge_index=np.array([[0, 1, 2], [1, 2, 0]]), edge_weight=np.ones(3, np.float32))
    options = tiny_run(
        tmp_path, backbone="gcn_gru", hyper={"width": 4}, seeds=(0,), stages={"st_lora": {"rank": 1}}
    )  # fmt: skip
    run(options, tmp_path / "run")
    (tmp_path / "new").mkdir()
    table = pd.read_csv(tmp_path / "tiny.csv").assign(new=lambda rows: 3 * rows["s2"] - 20)
    table.to_csv(tmp_path / "new" / "more.csv", index=False)
    table.to_csv(tmp_path / "beside.csv", index=False)  # the graph there is that of the three
    for more in (tmp_path / "new" / "more.csv", tmp_path / "beside.csv"):
        with pytest.raises(FieldcastError, match=r"no new sensor in .* has an edge"):
            adapt_to_new_sensors(tmp_path / "run", more, tmp_path / "grown")
        assert not (tmp_path / "grown").exists()
    with pytest.raises(FieldcastError, match=r"no new sensor in .* has an edge"):
        adapt_to_new_sensors(
            tmp_path / "run", tmp_path / "new" / "more.csv", tmp_path / "grown", graph=str(tmp_path / "graph.npz")
        )
    adapt_to_new_sensors(
        tmp_path / "run", tmp_path / "new" / "more.csv", tmp_path / "grown", graph="correlation:1", training=TRAINING
    )
    graph = load(tmp_path / "grown").graph
    assert graph is not None and graph.nodes == 4 and 2 in graph.adjacency().toarray()[3].nonzero()[0]


def test_a_file_of_a_graph_is_of_the_sensors_that_it_was_given_for(tmp_path: Path) -> None:
    """The run was told of a graph by name: over more sensors, in another order, it says nothing."""
    pd.DataFrame({"from": ["s0"], "to": ["s1"], "cost": [1.0]}).to_csv(tmp_path / "edges.csv", index=False)
    windows = WindowOptions(lookback=6, horizon=3, graph=str(tmp_path / "edges.csv"))
    options = tiny_run(
        tmp_path, backbone="gcn_gru", hyper={"width": 4}, seeds=(0,), stages={"st_lora": {"rank": 1}}, windows=windows
    )  # fmt: skip
    run(options, tmp_path / "run")
    table = pd.read_csv(tmp_path / "tiny.csv")
    table.insert(1, "new", 3 * table["s2"] - 20)
    table.to_csv(tmp_path / "more.csv", index=False)
    with pytest.raises(FieldcastError, match=r"no new sensor in .* has an edge"):
        adapt_to_new_sensors(tmp_path / "run", tmp_path / "more.csv", tmp_path / "grown")
    edges = pd.DataFrame({"from": ["s0", "new"], "to": ["s1", "s2"], "cost": [1.0, 1.0]})
    edges.to_csv(tmp_path / "all.csv", index=False)
    adapt_to_new_sensors(
        tmp_path / "run", tmp_path / "more.csv", tmp_path / "grown", graph=str(tmp_path / "all.csv"), training=TRAINING
    )
    graph = load(tmp_path / "grown").graph
    assert graph is not None
    assert sorted(zip(*graph.edge_index.tolist(), strict=True)) == [(0, 1), (3, 2)], "s0 to s1, and the fourth to s2"
    adapted = adapt(tmp_path / "grown", {"st_lora": {"rank": 1}}, tmp_path / "more", training=TRAINING)
    assert adapted["nodes"] == ["s0", "s1", "s2", "new"], "whatever the order in the file"


def test_a_run_on_another_has_the_settings_of_that(
    runs: tuple[Path, dict[str, Any], dict[str, str]], tmp_path: Path
) -> None:
    """What the base was trained with cannot be another here: it would not act, or leak test rows."""
    options = read_run(runs[0] / "lora")
    for changes in (
        {"windows": dataclasses.replace(options.windows, split="windows-first 2:1:7")}, {"hyper": {"width": 64}},
        {"windows": dataclasses.replace(options.windows, scaler="node")}, {"backbone": "lstm"},
    ):  # fmt: skip
        with pytest.raises(FieldcastError, match="which has another"):
            run(dataclasses.replace(options, **changes), tmp_path / "out")
    with pytest.raises(FieldcastError, match="is not there: bring it back"):
        run(dataclasses.replace(options, base=str(tmp_path / "gone")), tmp_path / "out")
    with pytest.raises(FieldcastError, match="name that as its base"):
        dataclasses.replace(options, base=None)
    assert not (tmp_path / "out").exists()


def test_new_sensors_have_their_places(tmp_path: Path) -> None:
    def dataset(nodes: int) -> Path:
        folder = tmp_path / f"of{nodes}"
        folder.mkdir()
        np.savez(
            folder / "data.npz", values=tiny_values(24 * 14, nodes), channels=np.array(["c0"]),
            timestamps=np.datetime64("2024-01-01", "s") + np.arange(24 * 14) * np.timedelta64(3600, "s"),
            node_ids=np.array([f"n{i}" for i in range(nodes)]), coords=np.arange(2.0 * nodes).reshape(nodes, 2),
        )  # fmt: skip
        return folder

    options = tiny_run(tmp_path, readings=ReadingsOptions(str(dataset(3))), seeds=(0,), stages={"st_lora": {"rank": 1}})
    run(options, tmp_path / "run")
    adapt_to_new_sensors(tmp_path / "run", dataset(4), tmp_path / "grown", training=TRAINING)
    board = evaluate_run(tmp_path / "grown", out=tmp_path / "evaluated")
    assert np.array_equal(board["coordinates"], np.arange(8.0).reshape(4, 2))
    assert board["coordinates"] == json.loads((tmp_path / "evaluated" / "scores.json").read_text())["coordinates"]
