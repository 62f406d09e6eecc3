"""Two processes under torchrun give what one gives: scores to 1e-10, weights to 1e-5, and files from one of them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fieldcast.core import processes
from fieldcast.data.loader import WindowLoader
from fieldcast.errors import FieldcastError
from tests.children import ROOT, environment
from tests.tiny import write_csv
from tests.training.common import windows

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def python(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment("RANK", "WORLD_SIZE"),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of the same training by one process and by two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for folder, launcher in ((one, ()), (two, TORCHRUN)):
        done = python(*launcher, "-m", "tests.training.shared", str(folder))
        assert done.returncode == 0, done.stderr[-3000:]
    return one, two


@cache
def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def numbers(value: Any) -> list[float]:
    """Every number of nested plain data, in order."""
    if isinstance(value, dict):
        return [each for part in value.values() for each in numbers(part)]
    if isinstance(value, list):
        return [each for part in value for each in numbers(part)]
    return [float("nan") if value is None else float(value)] if not isinstance(value, str) else []


def test_the_scores_of_one_model_are_the_same_to_ten_places(both: tuple[Path, Path]) -> None:
    one, two = (result(folder) for folder in both)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert len(numbers(one["exact"])) > 100
    np.testing.assert_allclose(numbers(two["exact"]), numbers(one["exact"]), rtol=1e-10, atol=1e-12)


def test_training_with_the_same_mini_batches_gives_the_same_weights(both: tuple[Path, Path]) -> None:
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in both)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, rtol=0, atol=1e-5, err_msg=name)
    rows = [result(folder)["rows"] for folder in both]
    assert len(rows[0]) == len(rows[1]) == 3
    np.testing.assert_allclose(numbers(rows[1]), numbers(rows[0]), rtol=1e-4)
    np.testing.assert_allclose(numbers(result(both[1])["after"]), numbers(result(both[0])["after"]), rtol=1e-4)


@pytest.mark.slow
def test_one_process_is_told_to_stop_and_the_resume_of_all_is_bit_equal(
    both: tuple[Path, Path], tmp_path: Path
) -> None:
    told = python(*TORCHRUN, "-m", "tests.training.shared", str(tmp_path), "--told")
    assert told.returncode != 0 and "told to stop (SIGTERM) and did so after step 9" in told.stderr
    again = python(*TORCHRUN, "-m", "tests.training.shared", str(tmp_path), "--resume")
    assert again.returncode == 0, again.stderr[-3000:]
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (both[1], tmp_path))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert result(tmp_path)["rows"] == result(both[1])["rows"]


def test_the_sample_of_forecasts_is_whole(both: tuple[Path, Path]) -> None:
    one, two = (np.array(numbers(result(folder)["sample"])) for folder in both)
    assert np.isfinite(one).any()
    np.testing.assert_array_equal(np.isnan(two), np.isnan(one))
    np.testing.assert_allclose(two, one, rtol=1e-3)


@pytest.mark.slow
def test_the_command_under_torchrun(tmp_path: Path) -> None:
    """One of the processes writes and speaks; a finished run is whole; what cannot be shared is refused."""
    write_csv(tmp_path / "readings.csv", rows=400, nodes=4)
    words = (
        "train --data readings.csv --horizon 3 --max-epochs 2 --batch-size 16 --baselines last_value --accelerator cpu"
    )
    command = (*TORCHRUN, "-m", "fieldcast.cli", *words.split(), "--out")
    done = python(*command, "run", folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("saved in run") == 1
    alone = python("-m", "fieldcast.cli", *words.split(), "--out", "alone", folder=tmp_path)
    assert alone.returncode == 0
    scores = [json.loads((tmp_path / out / "scores.json").read_text())["models"] for out in ("run", "alone")]
    assert [model["name"] for model in scores[0]] == ["stid", "last_value"]
    np.testing.assert_allclose(numbers(scores[0][1]["summary"]), numbers(scores[1][1]["summary"]), rtol=1e-10)
    words = ("-m", "fieldcast.cli", "evaluate", "run", "--json")
    evaluated = [python(*launcher, *words, folder=tmp_path) for launcher in ((), TORCHRUN)]
    assert [each.returncode for each in evaluated] == [0, 0]
    found = [numbers(json.loads(each.stdout)["models"][1]["summary"]) for each in evaluated]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10)
    words = ("-m", "fieldcast.cli", "adapt", "run", "--st-lora.rank", "1", "--learning-rate", "0.001", "--out")
    tuned = [python(*launcher, *words, out, folder=tmp_path) for launcher, out in ((TORCHRUN, "two"), ((), "one"))]
    assert [each.returncode for each in tuned] == [0, 0], tuned[0].stderr[-3000:]
    adapters = [load_file(tmp_path / out / "adapter_model.safetensors") for out in ("two", "one")]
    assert adapters[0].keys() == adapters[1].keys()
    boards = [json.loads((tmp_path / out / "scores.json").read_text())["models"] for out in ("two", "one")]
    assert [model["name"] for model in boards[0]] == ["stid + st_lora", "stid", "last_value"]
    np.testing.assert_allclose(numbers(boards[0][1]["summary"]), numbers(boards[1][1]["summary"]), rtol=1e-10)
    errors = [board[0]["summary"]["mean"]["channels"]["value"]["mean"]["mae"] for board in boards]
    assert errors[0] == pytest.approx(errors[1], rel=0.1), "dropout draws other numbers in each process"
    odd = python(*command, "odd", "--batch-size", "15", folder=tmp_path)
    assert odd.returncode != 0 and "cannot be shared evenly by 2 processes" in odd.stderr


def test_the_shares_of_an_epoch_are_the_mini_batches_of_one_process() -> None:
    data = windows()
    whole = WindowLoader(data, "train", 32, shuffle=True, seed=3)
    shares = [WindowLoader(data, "train", 16, shuffle=True, seed=3, rank=rank, world=2, even=True) for rank in range(2)]
    assert [len(each) for each in shares] == [len(whole)] * 2
    for batch, first, second in zip(whole, *shares, strict=True):
        together = np.concatenate([first.start, second.start])
        assert sorted(together) == sorted(batch.start)


def test_a_process_without_windows_weighs_nothing() -> None:
    data = windows()
    starts = len(data.starts("train"))
    loader = WindowLoader(data, "train", 1, rank=starts, world=starts + 1, even=True)
    (batch,) = list(loader)
    assert batch.y_observed is not None and not batch.y_observed.any()
    assert list(WindowLoader(data, "train", 1, rank=starts, world=starts + 1)) == []


def test_one_process_alone_needs_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (processes.rank(), processes.world(), processes.first()) == (0, 1, True)
    processes.begin(), processes.wait()
    (same,) = processes.gathered({"a": np.arange(3)})
    assert same["a"].tolist() == [0, 1, 2]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(FieldcastError, match="start them with torchrun"):
        processes.begin()
