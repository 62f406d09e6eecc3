"""Adapting a finished run leaves it as it was, and gives a run of small adapters that needs it beside."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from fieldcast.data.files import sha256
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import load
from fieldcast.forecaster.adapters import CONFIG, WEIGHTS
from fieldcast.workflows.adapting import adapt, adapt_to_new_sensors
from fieldcast.workflows.comparing import compare
from fieldcast.workflows.evaluating import evaluate_run, read_run
from fieldcast.workflows.options import WindowOptions
from fieldcast.workflows.running import run
from tests.contracts import toys
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


def test_an_interrupted_one_goes_on(runs: tuple[Path, dict[str, Any], dict[str, str]]) -> None:
    place, board, _ = runs
    again = place / "again"  # beside the base
    shutil.copytree(place / "lora", again)
    (again / "seed1" / "training.json").unlink()
    (again / "scores.json").unlink()
    resumed = adapt(place / "base", SETTINGS, again, resume=True)
    assert resumed["models"][0]["summary"] == board["models"][0]["summary"]


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


def test_new_sensors_that_are_none(runs: tuple[Path, dict[str, Any], dict[str, str]], tmp_path: Path) -> None:
    place = runs[0]
    with pytest.raises(FieldcastError, match="has no sensor that the run does not have"):
        adapt_to_new_sensors(place / "lora", place / "tiny.csv", tmp_path / "out")
    fewer = pd.read_csv(place / "tiny.csv").drop(columns="s1")
    fewer.assign(new=1.0).to_csv(tmp_path / "fewer.csv", index=False)
    with pytest.raises(FieldcastError, match="lacks the run's sensor 's1'"):
        adapt_to_new_sensors(place / "lora", tmp_path / "fewer.csv", tmp_path / "out")
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
