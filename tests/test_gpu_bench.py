"""The benchmark of GPUs, run on a CPU: it compares the CPU with itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import gpu, replay


def test_the_cpu_is_like_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--backbones",
        "stid",
        "--nodes",
        "4",
        "--rounds",
        "1",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "a.json"),
    ]
    gpu.main(words)
    (row,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["rows"]
    assert row["same"] == {"forecast": 0.0, "gradient": 0.0, "finite": True}
    assert set(row["costs"]["milliseconds"]) == {"inference", "step", "step in bf16"} and "mb" not in row["costs"]
    assert "stid" in capsys.readouterr().out


def test_what_fails_is_a_finding(tmp_path: Path) -> None:
    def fails() -> dict[str, float]:
        raise RuntimeError("out of\nmemory")

    assert gpu.tried(fails) == {"failed": "RuntimeError: out of memory"}


def test_without_a_gpu_nothing_is_replayed_and_nothing_differs(tmp_path: Path) -> None:
    told = ["--backbones", "stid", "--nodes", "3", "--steps", "2", "--epochs", "3", "--device", "cpu"]
    replay.main([*told, "--out", str(tmp_path / "a.json")])
    (row,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["rows"]
    assert row["same"] == {"graphs": 0.0, "plain again": 0.0}
    assert set(row["ms"]) == {"plain", "graphs", "plain again"} and all(each > 0 for each in row["ms"].values())


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["--backbones", "lstm"], "lstm does not say that it is capturable"), (["--epochs", "2"], "give 3 or more"),
        (["--plugin", "absent.py"], "absent.py"), (["--device", "tpu"], "there is no device 'tpu'"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_is_told(told: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        replay.main(["--device", "cpu", *told])
    assert left.value.code == 2 and said in capsys.readouterr().err
