"""When something goes wrong: edits and damage are told, good weights stay, a full disk loses nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fieldcast.core.task import Forecasting
from fieldcast.data.files import SUMS
from fieldcast.errors import Diverged, FieldcastError
from fieldcast.forecaster import load
from fieldcast.reporting.folder import read_run_folder
from fieldcast.workflows.comparing import compare
from fieldcast.workflows.evaluating import evaluate_run
from fieldcast.workflows.running import run
from tests.children import environment
from tests.workflows.common import tiny_run, with_training


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finished")
    run(tiny_run(place), place / "run")
    return place / "run"


def flip(path: Path) -> None:
    """One bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def better_scores(path: Path) -> None:
    board = json.loads(path.read_text())
    board["models"][0]["summary"]["mean"]["channels"]["value"]["mean"]["mae"] = 0.001
    path.write_text(json.dumps(board) + "\n")


def other_setting(path: Path) -> None:
    table = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**table, "lookback": 5}))


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("scores.json", better_scores), ("scores.json", flip), ("sample.npz", flip), ("config.yaml", other_setting),
        ("seed0/sums.npz", flip), ("seed1/training.json", flip), ("baselines/last_value.npz", Path.unlink),
    ],
)  # fmt: skip
def test_a_run_that_was_edited_or_damaged_is_told(name: str, harm: Any, finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    read_run_folder(folder), evaluate_run(folder)
    harm(folder / name)
    for read in (read_run_folder, evaluate_run, lambda path: compare([path, finished])):
        with pytest.raises(FieldcastError) as caught:
            read(folder)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_run_of_a_version_that_kept_no_sums_is_read(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    (folder / SUMS).unlink()
    assert read_run_folder(folder).scores == read_run_folder(finished).scores


def test_the_best_weights_of_a_run_that_diverges_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = Forecasting.errors

    def explode(self: Any, model: Any, x: Any, ctx: Any, y: Any, observed: Any) -> Any:
        total, count = errors(self, model, x, ctx, y, observed)
        return (total * float("nan") if ctx.progress.step >= 5 else total), count

    monkeypatch.setattr(Forecasting, "errors", explode)
    options = with_training(tiny_run(tmp_path), max_epochs=4)  # two steps an epoch
    with pytest.raises(Diverged, match=r"stid seed 0: .*is not finite at step 5 .*kept in") as caught:
        run(dataclasses.replace(options, seeds=(0,)), tmp_path / "run")
    assert "\n" not in str(caught.value)
    kept = load(tmp_path / "run" / "seed0")
    assert all(tensor.isfinite().all() for tensor in kept.state_dict().values())
    with pytest.raises(FieldcastError, match="not finished"):
        load(tmp_path / "run")


FULL = """
import resource, sys
from pathlib import Path
import torch
from fieldcast.cli.__main__ import main
from fieldcast.training.callbacks import SaveAtEnd

torch.set_num_threads(1)
save = SaveAtEnd.on_train_epoch_end

def then_full(self, trainer, module):
    save(self, trainer, module)
    if trainer.current_epoch == 1:  # from here on no file may grow beyond a kilobyte
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))

if sys.argv[1] == "full":
    SaveAtEnd.on_train_epoch_end = then_full
code = main(sys.argv[2:])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))  # room for coverage's file
sys.exit(code)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are of POSIX systems")
def test_a_full_disk_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    """A limit on the size of files fails the writer as a full disk does; with room again the run goes on, bit equal."""
    options = tiny_run(tmp_path)
    words = (
        f"train --data {options.readings.data} --lookback 6 --horizon 3 --backbone.width 4 --max-epochs 4 "
        "--batch-size 64 --accelerator cpu --baselines last_value --quiet --out"
    ).split()

    def command(disk: str, out: str, *rest: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", FULL, disk, *words, out, *rest], cwd=tmp_path, env=environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    stopped = command("full", "a")
    assert stopped.returncode == 2, stopped.stderr
    (said,) = stopped.stderr.splitlines()
    assert "last.ckpt" in said and "make room" in said
    assert [path.name for path in (tmp_path / "a" / "seed0").iterdir() if "partial" in path.name] == []
    for disk, out, rest in (("room", "a", ("--resume",)), ("room", "b", ())):
        assert command(disk, out, *rest).returncode == 0
    first, second = ((tmp_path / out / "seed0" / "model.safetensors").read_bytes() for out in "ab")
    assert first == second
