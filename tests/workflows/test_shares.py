"""Shares of experiment files, by several processes at once: experiments/shares.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fieldcast.workflows.experiment import read_lines, run_experiment
from tests.tiny import write_csv

SCRIPT = Path(__file__).parents[2] / "experiments" / "shares.py"
TABLE = {
    "name": "tiny", "seeds": [0, 1], "datasets": [{"name": "a.csv"}], "windows": {"lookback": 4, "horizon": 2},
    "training": {"max_epochs": 1, "batch_size": 128, "accelerator": "cpu"}, "backbones": {"stid": {"width": 4}},
    "baselines": ["last_value", "weekly_climatology"],
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_csv(tmp_path / "data" / "a.csv")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TABLE))
    return tmp_path


def shares(place: Path, plan: bytes, processes: str = "2") -> subprocess.CompletedProcess[str]:
    (place / "plan.txt").write_bytes(plan)
    words = [sys.executable, str(SCRIPT), str(place / "plan.txt"), "--processes", processes]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_every_run_once_with_the_bits_of_one_process(place: Path) -> None:
    out = run_experiment(place / "tiny.yaml", place / "results", place / "data", progress=False)
    one = {line["key"]: line.get("scores") for line in read_lines(out)}
    done = shares(place, f"# both\n{place}/tiny.yaml --data {place}/data --results {place}/shared\n".encode())
    assert done.returncode == 0, done.stderr
    lines = read_lines(place / "shared" / "tiny.jsonl")
    assert len(lines) == len(one) and {line["key"]: line.get("scores") for line in lines} == one


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (b"absent.yaml", "absent.yaml"), (b"# nothing", "names no run"), (b"tiny.yaml 'open", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"PLACE/tiny.yaml --backbones sitd", "chooses nothing of the backbones 'sitd'"),
        (b"PLACE/tiny.yaml --data PLACE/data --arms nosuch", "4 of 4 shares failed"),
    ],
)  # fmt: skip
def test_a_plan_that_is_wrong_is_told(place: Path, plan: bytes, said: str) -> None:
    done = shares(place, plan.replace(b"PLACE", str(place).encode()))
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_no_process_does_nothing(place: Path) -> None:
    done = shares(place, b"a.yaml", processes="0")
    assert done.returncode == 1 and "give 1 or more" in done.stderr
