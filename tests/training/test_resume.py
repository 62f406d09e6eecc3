"""A run that was killed and resumed is the run that was never interrupted, to the bit."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create
from fieldcast.training.fitting import CHECKPOINT, LOG, History, fit
from tests.children import ROOT, environment
from tests.training.common import RUN, Curious, at_moment, same_bits, train, windows, without_seconds

MOMENTS = (
    "step:1", "step:2", "step:3", "step:5", "step:6", "step:9", "step:12", "step:17", "step:23",
    "validation:0", "validation:1", "validation:3", "before_save:0", "before_save:2", "after_save:0", "after_save:1",
    "after_save:3", "write:1", "write:2", "write:3", "write:6", "rename:1", "rename:3", "rename:9",
)  # fmt: skip


@cache
def uninterrupted() -> tuple[Forecaster, History]:
    return train(None)


def logged(folder: Path) -> list[dict[str, str]]:
    with open(folder / LOG, encoding="utf-8") as handle:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(handle)]


def assert_the_same(forecaster: Forecaster, history: History, folder: Path) -> None:
    expected, rows = uninterrupted()
    assert without_seconds(history.rows) == without_seconds(rows.rows)
    assert (history.best_epoch, history.best_score) == (rows.best_epoch, rows.best_score)
    assert same_bits(forecaster, expected)
    assert logged(folder) == [{key: str(value) for key, value in row.items()} for row in without_seconds(rows.rows)]


def test_two_runs_from_one_seed_are_one(tmp_path: Path) -> None:
    assert_the_same(*train(tmp_path), tmp_path)


@pytest.mark.parametrize("moment", MOMENTS)
def test_resumed_from_the_disk_as_it_stood(moment: str, tmp_path: Path) -> None:
    """What a kill leaves is what lies on disk at that moment: a copy of the folder, taken then, is resumed."""
    copy = tmp_path / "copy"
    undo = at_moment(moment, lambda: shutil.copytree(tmp_path / "run", copy) if (tmp_path / "run").exists() else None)
    try:
        train(tmp_path / "run")
    finally:
        undo()
    assert_the_same(*train(copy, resume=True), copy)


STOPPED = dataclasses.replace(RUN, patience=2, max_epochs=30, learning_rate=0.2, schedule="constant")


@pytest.mark.parametrize("moment", ["step:9", "after_save:1", "last"])
def test_early_stopping_is_resumed_too(moment: str, tmp_path: Path) -> None:
    forecaster, history = train(None, STOPPED)
    epochs = len(history.rows)
    assert 3 <= epochs < 30 and epochs == history.best_epoch + 3
    copy = tmp_path / "copy"
    when = f"after_save:{epochs - 1}" if moment == "last" else moment
    undo = at_moment(when, lambda: shutil.copytree(tmp_path / "run", copy))  # type: ignore[arg-type,return-value]
    try:
        train(tmp_path / "run", STOPPED)
    finally:
        undo()
    again, rows = train(copy, STOPPED, resume=True)
    assert without_seconds(rows.rows) == without_seconds(history.rows) and same_bits(again, forecaster)


def killed(folder: Path, moment: str) -> None:
    command = [sys.executable, "-m", "tests.training.child", str(folder), moment]
    result = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert result.returncode == -signal.SIGKILL, result.stderr[-2000:]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")
def test_a_run_killed_three_times(tmp_path: Path) -> None:
    """Each life goes on from where the one before was killed; the last is this process."""
    for moment in ("step:9", "validation:2", "write:2"):
        killed(tmp_path, moment)
    assert_the_same(*train(tmp_path, resume=True), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")
@pytest.mark.parametrize(
    "moment",
    [
        "step:1",
        "step:9",
        "step:17",
        "validation:0",
        "validation:2",
        "before_save:1",
        "after_save:3",
        "write:1",
        "rename:4",
    ],
)
def test_killed_once_and_resumed_once(moment: str, tmp_path: Path) -> None:
    killed(tmp_path, moment)
    assert_the_same(*train(tmp_path, resume=True), tmp_path)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    train(tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    assert_the_same(*train(tmp_path, resume=True), tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_resuming_what_never_began_starts_it(tmp_path: Path) -> None:
    assert_the_same(*train(tmp_path, resume=True), tmp_path)


def test_resuming_without_a_folder_is_told() -> None:
    with pytest.raises(FieldcastError, match="give folder"):
        train(None, resume=True)


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    train(tmp_path, dataclasses.replace(RUN, max_epochs=1))
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FieldcastError, match="is damaged: remove it and train again"):
        train(tmp_path, resume=True)


def test_a_checkpoint_of_another_model_is_told(tmp_path: Path) -> None:
    train(tmp_path, dataclasses.replace(RUN, max_epochs=1))
    with pytest.raises(FieldcastError, match="another model") as caught:
        fit(create(Curious, windows(), width=9), windows(), RUN, folder=tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_fresh_run_does_not_take_up_an_old_checkpoint(tmp_path: Path) -> None:
    train(tmp_path, dataclasses.replace(RUN, learning_rate=0.5))
    assert_the_same(*train(tmp_path), tmp_path)


def test_training_leaves_the_generator_of_the_caller_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(None, dataclasses.replace(RUN, max_epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("moment", ["step:3", "after_save:1"])
def test_what_stood_before_the_first_step_is_resumed_too(moment: str, tmp_path: Path) -> None:
    worse = dataclasses.replace(RUN, learning_rate=5.0, clip_norm=0.0, schedule="constant")
    forecaster, history = train(None, worse, tune=True)
    assert history.best_epoch == -1
    copy = tmp_path / "copy"
    undo = at_moment(moment, lambda: shutil.copytree(tmp_path / "run", copy))  # type: ignore[arg-type,return-value]
    try:
        train(tmp_path / "run", worse, tune=True)
    finally:
        undo()
    again, rows = train(copy, worse, resume=True, tune=True)
    assert (rows.best_epoch, rows.start_score) == (-1, history.start_score)
    assert same_bits(again, forecaster)
