"""The log and the bar."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldcast.core.context import Batch
from fieldcast.forecaster import create
from fieldcast.training.fitting import fit
from fieldcast.training.module import TrainingModule
from tests.training.common import RUN, Curious, train, windows

PLAIN = dataclasses.replace(RUN, schedule="constant")


def test_the_log_and_the_columns(tmp_path: Path) -> None:
    train(tmp_path, PLAIN)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,step,train_loss,selection,validation_mae_c0,learning_rate,seconds"
    assert len(lines) == 1 + PLAIN.max_epochs
    assert [line.split(",")[:2] for line in lines[1:]] == [[str(e), str(6 * (e + 1))] for e in range(4)]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["last.ckpt", "log.csv"]


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(None, dataclasses.replace(PLAIN, max_epochs=1))
    assert not list(tmp_path.iterdir())


def test_the_train_loss_of_the_log_is_the_mean_of_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []
    original = TrainingModule.training_step

    def step(self: TrainingModule, batch: Batch, index: int) -> torch.Tensor:
        loss = original(self, batch, index)
        losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(TrainingModule, "training_step", step)
    history = train(None, PLAIN)[1]
    means = [np.mean(losses[6 * epoch : 6 * epoch + 6]) for epoch in range(4)]
    assert [row["train_loss"] for row in history.rows] == pytest.approx(means)


def test_a_bar_on_stderr_and_nothing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    data = windows()
    fit(create(Curious, data, seed=0), data, PLAIN, progress=True, label="my run")
    shown = capsys.readouterr()
    assert "my run" in shown.err and "24/24" in shown.err and shown.out == ""
    fit(create(Curious, data, seed=0), data, PLAIN)
    shown = capsys.readouterr()
    assert shown.err == shown.out == ""
