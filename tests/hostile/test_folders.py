"""Saved forecasters and run folders: damage is noticed, an edit that was sealed again is refused or harmless,
no code is run."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fieldcast.data.files import SUMS, write_sums
from fieldcast.errors import FieldcastError
from fieldcast.evaluation import ScoreSums
from fieldcast.forecaster import load, predict
from fieldcast.reporting.folder import read_run_folder
from fieldcast.workflows.board import read_board
from fieldcast.workflows.evaluating import read_run
from fieldcast.workflows.running import read_sums_file
from tests.hostile.common import ODD, Canary, attempt, harmed, sentence, some
from tests.hostile.test_settings import change
from tests.reporting.run_folder import write_run_folder
from tests.tiny import tiny_readings

GOLDEN = Path(__file__).parents[1] / "forecaster" / "format_1"
FILES = ("config.json", "scaler.json", "nodes.csv", "model.safetensors", "graph.npz", "protocol.json")
JSON = ODD.filter(lambda value: json.dumps(value) is not None)


def seal(folder: Path) -> None:
    """Make the sums agree with what an attacker wrote."""
    write_sums(folder, [name for name in FILES if (folder / name).exists()])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "canary.py").write_text("from pathlib import Path\nPath('sung').touch()\ndef sing(*_, **__): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Path(shutil.copytree(GOLDEN, tmp_path / "model", ignore=shutil.ignore_patterns("forecast.npy")))


def whole(folder: Path, name: str) -> bytes:
    """The file as it was saved, which one example after the other is harmed from."""
    for each in FILES:
        shutil.copyfile(GOLDEN / each, folder / each)
    return (GOLDEN / name).read_bytes()


def opened(folder: Path) -> None:
    """Loading refuses and names the folder, or gives what forecasts tiny readings in their shape, or refuses those."""
    forecaster = attempt(lambda: load(folder), "model")
    assert not Path("sung").exists() and "canary" not in sys.modules
    if forecaster is not None:
        form = forecaster.form
        assert (
            set(form.targets) <= set(form.channels)
            and (form.scaler.scale > 0).all()
            and np.isfinite(form.scaler.mean).all()
        )
        forecast = attempt(lambda: predict(forecaster, tiny_readings()))
        assert forecast is None or forecast.values.shape[1:3] == (form.horizon, len(form.nodes))


@some(25)
@given(st.sampled_from(FILES), st.data())
def test_harm_that_was_not_sealed_is_always_noticed(folder: Path, name: str, data: st.DataObject) -> None:
    before = whole(folder, name)
    shutil.copyfile(GOLDEN / SUMS, folder / SUMS)
    after = data.draw(harmed(before))
    (folder / name).write_bytes(after)
    loaded = attempt(lambda: load(folder), "model")
    assert (loaded is None) == (after != before)


@some(25)
@given(st.sampled_from(FILES), st.data())
def test_harm_that_was_sealed_is_never_a_traceback(folder: Path, name: str, data: st.DataObject) -> None:
    (folder / name).write_bytes(data.draw(harmed(whole(folder, name))))
    seal(folder)
    opened(folder)


def leaves(table: Any, path: tuple[Any, ...] = ()) -> list[list[Any]]:
    """The paths of all parts of plain data."""
    inner = table.items() if isinstance(table, dict) else enumerate(table[:2]) if isinstance(table, list) else ()
    return [list(path)] * bool(path) + [each for key, value in inner for each in leaves(value, (*path, key))]


CONFIG = json.loads((GOLDEN / "config.json").read_text())
SCALER = json.loads((GOLDEN / "scaler.json").read_text())


@some(40)
@given(
    st.sampled_from(
        [("config.json", path) for path in leaves(CONFIG)] + [("scaler.json", path) for path in leaves(SCALER)]
    ),
    JSON,
)
@example(("config.json", ["form", "lookback"]), 6.7)  # was cut off to 6
@example(("config.json", ["form", "lookback"]), 10**30)
@example(("config.json", ["form", "grid"]), [-1, -3])
@example(("config.json", ["format_version"]), True)
@example(("config.json", ["inputs"]), [0, -1, 1])  # the last node
@example(("config.json", ["form", "targets"]), ["x"])
@example(("config.json", ["form", "calendar", "seen"]), [[-1], [0], [0]])
@example(("scaler.json", ["scale", 0, 0]), 0.0)
@example(("scaler.json", ["scale", 0, 0]), float("nan"))
@example(("scaler.json", ["mean", 0, 0]), 1e308)
@example(("scaler.json", ["kind"]), "x")
def test_an_edited_value_that_was_sealed_is_refused_or_harmless(
    folder: Path, where: tuple[str, list[Any]], value: Any
) -> None:
    name, path = where
    table = json.loads(whole(folder, name))
    (folder / name).write_text(json.dumps(change(table, path, value)))
    seal(folder)
    opened(folder)


def test_weights_in_a_pickle_or_of_a_forged_length_are_not_opened(folder: Path) -> None:
    for content in (
        pickle.dumps(Canary(Path("sung"))), struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 10) + b"[" * 10, b"",
    ):  # fmt: skip
        (folder / "model.safetensors").write_bytes(content)
        seal(folder)
        with pytest.raises(FieldcastError) as caught:
            load(folder)
        sentence(caught.value, "model")
    assert not Path("sung").exists()


def test_the_folder_above_is_read(folder: Path) -> None:
    forecast = predict(load(folder), tiny_readings()).values
    np.testing.assert_allclose(forecast, np.load(GOLDEN / "forecast.npy"), rtol=1e-5, atol=1e-6)


# Folders of runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run_folder(tmp_path_factory.mktemp("hostile") / "run", nodes=3, days=4, sample_rows=20, seeds=(0,))


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def read_all(folder: Path) -> Any:
    attempt(lambda: read_board(folder), "run")
    return attempt(lambda: read_run_folder(folder), "run")


@some(30)
@given(st.data(), JSON)
def test_scores_with_an_odd_value(run: Path, copy: Path, data: st.DataObject, value: Any) -> None:
    table = json.loads((run / "scores.json").read_text())
    path = data.draw(st.sampled_from(leaves(table)))
    (copy / "scores.json").write_text(json.dumps(change(table, path, value)))
    found = read_all(copy)
    if found is not None:
        assert all(isinstance(name, str) for name in (*found.scores["nodes"], *found.scores["targets"]))
        assert found.rules is not None


@some(25)
@given(st.sampled_from(["scores.json", "sample.npz"]), st.data())
def test_harmed_files_of_a_run(run: Path, copy: Path, name: str, data: st.DataObject) -> None:
    for each in ("scores.json", "sample.npz"):
        shutil.copyfile(run / each, copy / each)
    (copy / name).write_bytes(data.draw(harmed((run / name).read_bytes())))
    read_all(copy)


ARRAYS = [
    np.array(1.0),
    np.zeros(0),
    np.zeros((2, 2)),
    np.array(["x"]),
    np.array(["NaT"], "M8[s]"),
    np.ones(3) * 1j,
    np.zeros(3, "M8[s]"),
]


@some(25)
@given(
    st.sampled_from(["time", "truth", "steps", "models", "forecast", "nodes", "targets"]),
    st.sampled_from(range(len(ARRAYS))),
)
@example("time", 0)
@example("truth", 3)
def test_a_sample_with_an_odd_array(run: Path, copy: Path, name: str, position: int) -> None:
    with np.load(run / "sample.npz") as arrays:
        np.savez(copy / "sample.npz", **{**arrays, name: ARRAYS[position]})
    assert read_all(copy) is None


@some(25)
@given(
    st.sampled_from(["header", "by_node", "by_hour", "by_day", "days"]), st.sampled_from(range(len(ARRAYS))), st.data()
)
def test_sums_of_scores_that_are_odd(tmp_path: Path, name: str, position: int, data: st.DataObject) -> None:
    arrays = ScoreSums(2, ["a", "b"], ["x"]).to_arrays()
    np.savez(tmp_path / "sums.npz", **{**arrays, name: ARRAYS[position]})
    attempt(lambda: read_sums_file(tmp_path / "sums.npz"))
    np.savez(tmp_path / "sums.npz", **arrays)
    (tmp_path / "sums.npz").write_bytes(data.draw(harmed((tmp_path / "sums.npz").read_bytes())))
    attempt(lambda: read_sums_file(tmp_path / "sums.npz"))


@some(25)
@given(
    st.sampled_from(
        ["lookback", "seeds", "baselines", "milestones", "optimizer", "backbone", "data", "targets", "scaler", "x"]
    ),
    ODD,
)
@example("lookback", "x")
def test_the_settings_of_a_run_that_are_odd(tmp_path: Path, name: str, value: Any) -> None:
    import yaml

    table = {"data": "tiny.csv", "backbone": {"name": "stid"}, name: value}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(table, allow_unicode=True))
    options = attempt(lambda: read_run(tmp_path))
    assert options is None or (isinstance(options.windows.lookback, int) and isinstance(options.readings.data, str))
