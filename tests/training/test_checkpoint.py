"""Checkpoints hold the state of all generators and never run code."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldcast.errors import FieldcastError
from fieldcast.training.checkpoint import AtomicCheckpointIO, get_generators, set_generators


def draw() -> tuple[list[float], ...]:
    return (
        torch.rand(5).tolist() + torch.randn(3).tolist(),
        np.random.random(5).tolist() + np.random.normal(size=3).tolist(),  # noqa: NPY002
        [random.random() for _ in range(5)] + [random.gauss(0, 1) for _ in range(3)],
    )


@pytest.mark.parametrize("seed", [0, 123])
def test_generators_come_back_through_a_file(seed: int, tmp_path: Path) -> None:
    torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)  # noqa: NPY002
    random.gauss(0, 1), np.random.normal()  # both keep a second number back  # noqa: NPY002
    io = AtomicCheckpointIO()
    io.save_checkpoint({"generators": get_generators()}, tmp_path / "a.ckpt")
    first = draw()
    second = draw()
    assert first != second
    set_generators(io.load_checkpoint(tmp_path / "a.ckpt")["generators"])
    assert draw() == first and draw() == second


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io = AtomicCheckpointIO()
    io.save_checkpoint({"step": 1}, tmp_path / "a.ckpt")

    def full(content: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("fieldcast.training.checkpoint.torch.save", full)
    with pytest.raises(OSError, match="no space"):
        io.save_checkpoint({"step": 2}, tmp_path / "a.ckpt")
    assert io.load_checkpoint(tmp_path / "a.ckpt") == {"step": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["a.ckpt"]
    io.remove_checkpoint(tmp_path / "a.ckpt")
    io.remove_checkpoint(tmp_path / "a.ckpt")
    assert not list(tmp_path.iterdir())


class Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["EVIL"],)


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_a_checkpoint_cannot_run_code(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "ran"))
    path = tmp_path / "a.ckpt"
    if way == "torch":
        torch.save({"state": Evil()}, path)
    else:
        path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(FieldcastError, match="is damaged"):
        AtomicCheckpointIO().load_checkpoint(path)
    assert not (tmp_path / "ran").exists()
