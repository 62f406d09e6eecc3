"""What the README tells a newcomer to type works as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fieldcast.cli.__main__ import main
from fieldcast.core.registry import BACKBONES
from tests.contracts import checks
from tests.contracts.cases import ODD, Subject
from tests.tiny import write_csv

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "readings.csv", rows=420, nodes=4)
    return tmp_path


def test_the_commands(workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BACKBONES, "_registered", dict(BACKBONES._registered))
    (workplace / "my_linear.py").write_text(next(block for block in blocks("python") if "my_linear.py" in block))
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("fieldcast ")]
    assert len(commands) >= 5
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, (command, capsys.readouterr().err)
    for made in ("runs/a/scores.json", "runs/a/report.html", "next.csv", "runs/linear/seed0/model.safetensors"):
        assert (workplace / made).exists(), made


def test_the_ten_lines_of_python(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = next(block for block in blocks("python") if "fc.evaluate" in block)
    exec(compile(script, "README.md", "exec"), {})
    assert "MAE mean12" in capsys.readouterr().out
    assert (workplace / "runs/mine/model.safetensors").exists()


def test_a_backbone_in_one_file_trains_from_python(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fieldcast as fc

    monkeypatch.setattr(BACKBONES, "_registered", dict(BACKBONES._registered))
    exec(
        compile(next(block for block in blocks("python") if "my_linear.py" in block), "my_linear.py", "exec"),
        {"__name__": "my_linear"},
    )
    windows = fc.Windows(fc.open_readings("readings.csv"), lookback=12, horizon=3)
    forecaster = fc.create("my_linear", windows, seed=0, width=8)
    history = fc.fit(forecaster, windows, fc.TrainingOptions(max_epochs=3, learning_rate=0.01))
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
    fc.save(forecaster, "runs/linear")
    assert fc.load("runs/linear").backbone.hyper == {"width": 8}


def test_the_backbone_in_one_file_keeps_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks that every built-in backbone passes, on the README's, without an edit anywhere."""
    monkeypatch.setattr(BACKBONES, "_registered", dict(BACKBONES._registered))
    source = next(block for block in blocks("python") if "my_linear.py" in block)
    exec(compile(source, "my_linear.py", "exec"), {"__name__": "my_linear"})
    for sizes in ODD:
        checks.takes_odd_sizes(Subject("my_linear"), sizes)
    for check in (
        checks.keeps_its_shortest_lookback, checks.names_its_node_tensors, checks.trains_every_parameter,
        checks.ignores_what_was_not_observed, checks.never_sees_the_targets, checks.keeps_samples_apart,
        checks.has_a_local_head, checks.follows_a_permutation, checks.compacts, checks.grows, checks.exports,
    ):  # fmt: skip
        check(Subject("my_linear"))
