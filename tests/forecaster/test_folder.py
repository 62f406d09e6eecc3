"""A saved forecaster is complete, runs no code, and notices any damage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fieldcast.data.files import SUMS, write_sums
from fieldcast.data.form import Form
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create, load, migration, predict, save
from fieldcast.forecaster import folder as saving
from tests.contracts.cases import Sizes, Subject, tiny_windows
from tests.contracts.checks import refused
from tests.tiny import tiny_readings

FILES = (
    "config.json", "model.safetensors", "scaler.json", "nodes.csv", "graph.npz", "protocol.json", "metrics.json",
    "SHA256SUMS",
)  # fmt: skip


def seal(folder: Path) -> None:
    """Make an altered folder whole again."""
    write_sums(folder, [name for name in FILES[:-1] if (folder / name).exists()])


@pytest.fixture(scope="module")
def made() -> Forecaster:
    return Subject("stid", ("sensor_gate", "node_adapter")).build()


@pytest.fixture(scope="module")
def original(made: Forecaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(made, tmp_path_factory.mktemp("saved") / "a", protocol={"split": "tail"}, metrics={"mae": 1.5})


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], Any], name: str = "config.json") -> None:
    """Change a JSON file and make the sums agree with it, as an attacker would."""
    content = json.loads((folder / name).read_text())
    changed = change(content)
    (folder / name).write_text(json.dumps(content if changed is None else changed))
    seal(folder)


def test_it_holds_what_the_design_says(original: Path) -> None:
    assert {path.name for path in original.iterdir()} == {*FILES}
    config = json.loads((original / "config.json").read_text())
    assert config["format_version"] == 1 and config["backbone"]["name"] == "stid"
    assert config["backbone"]["hyper"]["width"] == 32 and config["form"]["lookback"] == 6
    assert {"python", "torch", "fieldcast"} <= set(config["versions"]) | {"fieldcast"}
    assert [stage["name"] for stage in config["stages"]] == ["sensor_gate", "node_adapter"]


def test_no_file_is_a_pickle(original: Path) -> None:
    for path in original.iterdir():
        assert not path.read_bytes().startswith((b"\x80", b"PK\x03\x04")) or path.name == "graph.npz"
    with np.load(original / "graph.npz", allow_pickle=False) as arrays:
        assert all(arrays[key].dtype != object for key in arrays)
    assert load_file(original / "model.safetensors")


def test_sums_are_those_of_sha256sum(original: Path) -> None:
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("no sha256sum on this machine")
    assert subprocess.run([tool, "-c", SUMS], cwd=original, capture_output=True, check=False).returncode == 0


def test_what_is_loaded_is_what_was_saved(made: Forecaster, original: Path) -> None:
    loaded = load(original)
    batch = Subject("stid").batch()
    assert not loaded.training and torch.equal(loaded.forecast(batch), made.forecast(batch))
    assert loaded.form.nodes == made.form.nodes and loaded.form.calendar == made.form.calendar
    assert loaded.form.units == made.form.units and loaded.form.frequency == made.form.frequency
    np.testing.assert_array_equal(loaded.form.coordinates, made.form.coordinates)  # type: ignore[arg-type]
    np.testing.assert_array_equal(loaded.form.scaler.mean, made.form.scaler.mean)
    assert loaded.graph is not None and made.graph is not None
    np.testing.assert_array_equal(loaded.graph.edge_weight, made.graph.edge_weight)


def test_names_with_commas_quotes_and_other_letters(tmp_path: Path) -> None:
    forecaster = Subject("stid").build()
    names = ["A,1", 'say "x"', "two\nlines\u2028or three", "a'b", " Zürich, Süd "]
    forecaster = forecaster.renode([-1] * 5, names=names)
    assert load(save(forecaster, tmp_path / "a")).form.nodes == tuple(names)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_or_a_missing_file_is_noticed(folder: Path, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    for position in {0, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
        for bit in (1, 32, 128):
            damaged = bytearray(whole)
            damaged[position] ^= bit
            path.write_bytes(damaged)
            assert str(folder) in refused(load, folder)
    path.write_bytes(whole[:-1])
    refused(load, folder)
    path.unlink()
    assert name in refused(load, folder)


def test_an_edited_file_is_noticed(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"lookback": 6', '"lookback": 5'))
    assert "config.json is damaged or was edited" in refused(load, folder)


def test_a_newer_format_asks_for_an_update(folder: Path) -> None:
    edit(folder, lambda config: config.update(format_version=99))
    assert "update fieldcast" in refused(load, folder, match="format 99, this fieldcast reads up to 1")


@pytest.mark.parametrize("found", [None, "1", 0, -1, 1.5])
def test_a_format_that_is_none(folder: Path, found: object) -> None:
    edit(folder, lambda config: config.update(format_version=found))
    refused(load, folder, match="no format version")


def test_a_folder_whose_saving_was_cut_short(made: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while its files take the places of those before: the folder is no forecaster, and says so."""
    saved = save(made, tmp_path / "a")
    rename, renamed = os.replace, []

    def killed(source: Any, target: Any) -> None:
        if Path(target).parent == saved:
            renamed.append(target)
            if len(renamed) == 3:
                raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(made, saved)
    monkeypatch.undo()
    refused(load, saved, match=f"no complete forecaster \\({SUMS} is absent or empty\\)")
    monkeypatch.undo()
    save(made, saved)
    assert load(saved).form.nodes == made.form.nodes, "the next save mends it"
    refused(load, tmp_path / "never", match="there is no saved forecaster")
    (tmp_path / "empty").mkdir()
    refused(load, tmp_path / "empty", match="no complete forecaster")
    refused(load, saved / "config.json", match="there is no saved forecaster")


EVIL = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()"


@pytest.mark.parametrize(
    "name", ["evil.Evil", "evil", "os.path", "evil:Evil", "fieldcast.backbones.stid.STID", "../evil"]
)
@pytest.mark.parametrize("place", ["backbone", "stage"])
def test_a_configuration_runs_no_code(
    folder: Path, name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "evil.py").write_text(EVIL)
    monkeypatch.syspath_prepend(tmp_path / "code")

    def change(config: dict[str, Any]) -> None:
        if place == "backbone":
            config["backbone"]["name"] = name
        else:
            config["stages"][0]["name"] = name

    edit(folder, change)
    assert f"there is no {place} '{name}'" in refused(load, folder)
    assert "evil" not in sys.modules and not (tmp_path / "code" / "ran").exists()


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda config: [config],
    "no form": lambda config: {key: value for key, value in config.items() if key != "form"},
    "no backbone": lambda config: config.update(backbone="stid"),
    "hyper": lambda config: config["backbone"]["hyper"].update(widht=1),
    "hyper of a stage": lambda config: config["stages"][0]["hyper"].update(rank=1),
    "other sizes": lambda config: config["backbone"]["hyper"].update(width=7),
    "text for a number": lambda config: config["form"].update(lookback="many"),
    "target": lambda config: config["form"].update(targets=["speed"]),
    "frequency": lambda config: config["form"]["calendar"].update(frequency="fortnightly"),
    "inputs": lambda config: config.update(inputs=[0, 99]),
    "stages": lambda config: config.update(stages=3),
    "name": lambda config: config["backbone"].update(name=["stid"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_configuration_that_does_not_fit_is_refused_in_a_sentence(folder: Path, what: str) -> None:
    edit(folder, CHANGES[what])
    refused(load, folder)


def test_other_files_that_do_not_fit(folder: Path) -> None:
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, content in {
        "config.json": b"{", "scaler.json": b"[]", "nodes.csv": b"", "model.safetensors": b"no tensors",
        "graph.npz": b"no arrays",
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
        seal(folder)
        refused(load, folder)
        (folder / name).write_bytes(whole[name])
    (folder / "nodes.csv").write_text("id\na\nb\n")
    seal(folder)
    refused(load, folder)


def test_a_scale_for_each_node_needs_as_many_nodes(tmp_path: Path) -> None:
    windows = Windows(tiny_readings(), 6, 3, scaler="node")
    folder = save(create("lstm", windows, seed=0, width=2), tmp_path / "a")
    (folder / "nodes.csv").write_text("id\ns0\ns1\n")
    seal(folder)
    refused(load, folder, match="scales 3 nodes and names 2")


def test_a_graph_that_is_not_in_the_sums_is_not_read(tmp_path: Path) -> None:
    form = tiny_windows(Sizes()).form
    saved = save(create("stid", form, seed=0), tmp_path / "a")
    np.savez(saved / "graph.npz", edge_index=np.zeros((2, 1), np.int64))
    assert load(saved).graph is None


def test_saving_over_an_older_one_leaves_nothing_of_it(folder: Path) -> None:
    save(create("stid", tiny_windows(Sizes()).form, seed=0), folder)
    assert not {"graph.npz", "protocol.json", "metrics.json"} & {path.name for path in folder.iterdir()}
    assert load(folder).graph is None


def test_saving_leaves_the_files_of_others(made: Forecaster, folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    save(made, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    for number, name in enumerate(FILES):
        mine = tmp_path / str(number) / name
        mine.parent.mkdir()
        mine.write_text("mine")
        assert name in refused(save, made, mine.parent, match="give another folder")
        assert mine.read_text() == "mine" and len(list(mine.parent.iterdir())) == 1
    save(create("stid", tiny_windows(Sizes()).form, seed=0), folder)
    (folder / "metrics.json").write_text("mine")
    refused(save, made, folder, match="metrics.json that is no forecaster's")
    assert (folder / "metrics.json").read_text() == "mine" and load(folder).graph is None


def test_a_folder_in_which_training_was_at_work_is_saved_to(made: Forecaster, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_text("")
    (tmp_path / "config.json").write_text("cut sho")
    assert load(save(made, tmp_path)).form.nodes == made.form.nodes


def test_an_unfinished_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"data_hash": "0", "finished": false}')
    refused(load, tmp_path, match="is not finished: go on with it")


def test_sums_name_no_file_outside(folder: Path) -> None:
    sums = folder / SUMS
    sums.write_text(sums.read_text() + f"{'0' * 64}  ../outside\n")
    refused(load, folder, match="lacks")


def test_weights_of_another_kind_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    state.pop(next(iter(state)))
    save_file(state, path)
    seal(folder)
    refused(load, folder, match="does not fit together")


def test_a_class_nobody_can_find_again_is_refused(tmp_path: Path) -> None:
    class Nowhere(type(Subject("stid").build().backbone)):  # type: ignore[misc]
        pass

    with pytest.raises(FieldcastError, match="Nowhere is not registered"):
        save(create(Nowhere, tiny_windows(Sizes()), seed=0), tmp_path / "a")


def test_frozen_parameters_stay_frozen(tmp_path: Path) -> None:
    forecaster = Subject("stid").build()
    for parameter in forecaster.backbone.blocks.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    frozen = {name for name, each in forecaster.named_parameters() if not each.requires_grad}
    again = load(save(forecaster, tmp_path / "model"))
    assert {name for name, each in again.named_parameters() if not each.requires_grad} == frozen != set()


def test_an_older_format_migrates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this version wrote is read by a next one, in whose format the look-back has another name."""
    read = Form.from_json

    def renamed(config: dict[str, Any]) -> dict[str, Any]:
        form = config["form"]
        form["steps_back"] = form.pop("lookback")
        return config

    def of_the_next_version(content: dict[str, Any], *rest: Any) -> Form:
        return read({**content, "lookback": content["steps_back"]}, *rest)

    for module in (migration, saving):
        monkeypatch.setattr(module, "FORMAT_VERSION", 2)
    monkeypatch.setitem(migration.STEPS, 1, renamed)
    monkeypatch.setattr(saving.Form, "from_json", of_the_next_version)
    before = (folder / "config.json").read_bytes()
    assert load(folder).form.lookback == 6
    assert (folder / "config.json").read_bytes() == before, "a folder is read, not rewritten"


def test_every_format_before_todays_has_its_step() -> None:
    assert set(migration.STEPS) == set(range(1, migration.FORMAT_VERSION))


def test_a_folder_of_the_first_format_still_predicts() -> None:
    """``tests/forecaster/format_1`` was written by version 0.1.0 and must be readable for good."""
    golden = Path(__file__).parent / "format_1"
    forecaster = load(golden)
    assert json.loads((golden / "config.json").read_text())["format_version"] == 1
    found = predict(forecaster, tiny_readings()).values
    np.testing.assert_allclose(found, np.load(golden / "forecast.npy"), rtol=1e-5, atol=1e-6)


def test_a_save_that_fails_leaves_the_forecaster_of_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = load(folder)

    def full(state: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(saving, "save_file", full)
    refused(save, other, folder, match="No space left on device .*: make room on the disk")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
