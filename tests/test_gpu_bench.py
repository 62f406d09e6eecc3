"""The benchmark of GPUs, run on a CPU: it compares the CPU with itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import gpu


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
