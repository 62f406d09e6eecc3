"""SIGTERM: the present step is saved, training is left cleanly, and a resume gives the bits of a run undisturbed."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fieldcast.errors import Terminated
from fieldcast.training.fitting import CHECKPOINT
from tests.children import environment
from tests.tiny import write_csv
from tests.training.common import RUN, at_moment, same_bits, train, without_seconds

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGTERM is of POSIX systems")
RARELY = dataclasses.replace(RUN, save_every=0)  # checkpoints at the ends of epochs alone


def told_at(moment: str, folder: Path | None) -> Terminated:
    undo = at_moment(moment, lambda: signal.raise_signal(signal.SIGTERM))
    try:
        with pytest.raises(Terminated) as caught:
            train(folder, RARELY)
    finally:
        undo()
    return caught.value


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("setup:0", 1),
        ("step:0", 1),
        ("step:8", 9),
        ("step:11", 12),
        ("validation:1", 12),
        ("before_save:2", 18),
        ("after_save:0", 7),
    ],
)
def test_the_present_step_is_saved_and_the_resume_is_bit_equal(moment: str, step: int, tmp_path: Path) -> None:
    """Within the last step of an epoch, its validation and its save, the epoch is ended first."""
    before = signal.getsignal(signal.SIGTERM)
    error = told_at(moment, tmp_path)
    assert f"after step {step}, saved as {tmp_path / CHECKPOINT}" in str(error) and "\n" not in str(error)
    assert error.exit_code == 143
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["global_step"] == step
    assert signal.getsignal(signal.SIGTERM) is before, "the handler of the caller is back"
    forecaster, history = train(tmp_path, RARELY, resume=True)
    expected, rows = train(None, RARELY)
    assert same_bits(forecaster, expected) and without_seconds(history.rows) == without_seconds(rows.rows)


def test_without_a_folder_nothing_is_saved_and_that_is_said() -> None:
    assert "nothing is saved, for no folder was given" in str(told_at("step:3", None))


@pytest.mark.slow
def test_the_command_leaves_cleanly_and_goes_on(tmp_path: Path) -> None:
    """A scheduler's SIGTERM, from outside, at some moment of training: exit code 143, one sentence, then --resume."""
    write_csv(tmp_path / "readings.csv", rows=600, nodes=4)
    options = (
        "train --data readings.csv --horizon 3 --max-epochs 300 --patience 0 --batch-size 16 --baselines last_value"
    )

    def start(out: str, *rest: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "fieldcast.cli", *options.split(), "--out", out, *rest]
        return subprocess.Popen(words, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)

    process = start("told")
    log = tmp_path / "told" / "seed0" / "log.csv"
    deadline = time.monotonic() + 120
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert "told to stop (SIGTERM)" in said.splitlines()[-1] and "Traceback" not in said
    for out, rest in (("told", ("--resume",)), ("undisturbed", ())):
        process = start(out, *rest)
        assert process.communicate(timeout=300)[1] is not None and process.returncode == 0
    told, undisturbed = (
        (tmp_path / out / "seed0" / "model.safetensors").read_bytes() for out in ("told", "undisturbed")
    )
    assert told == undisturbed
