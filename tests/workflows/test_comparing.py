"""compare: one table over finished runs, refused where they are not comparable."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fieldcast.cli.__main__ import main
from fieldcast.errors import FieldcastError
from fieldcast.reporting.pictures import comparison_picture
from fieldcast.workflows.comparing import compare
from fieldcast.workflows.running import run
from tests.workflows.common import tiny_run, with_training, with_windows


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in training alone, and one over another horizon."""
    place = tmp_path_factory.mktemp("compare")
    options = tiny_run(place)
    run(options, place / "a")
    run(with_training(options, max_epochs=1), place / "b")
    run(with_windows(options, horizon=2), place / "other")
    return [place / "a", place / "b", place / "other"]


def test_the_first_run_is_the_reference_and_baselines_stand_beside(folders: list[Path]) -> None:
    comparison = compare(folders[:2])
    assert [each.name for each in comparison.models] == ["a (stid)", "b (stid)", "last_value"]
    reference, other, _ = comparison.models
    assert reference.difference is None
    mean = {each.name: each.summary["mean"]["channels"][comparison.target]["mean"]["mae"] for each in comparison.models}
    assert other.difference is not None
    assert other.difference.difference == pytest.approx(mean["b (stid)"] - mean["a (stid)"], abs=1e-9)
    assert other.difference.days < 10 and other.difference.p is None
    text = str(comparison)
    assert "fewer than 10 test days" in text and "reference" in text


def test_runs_that_are_not_alike_are_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match="differ in 'horizon'"):
        compare([folders[0], folders[2]])
    with pytest.raises(FieldcastError, match="there are no scores"):
        compare([folders[0], tmp_path])
    with pytest.raises(FieldcastError, match="each once"):
        compare([folders[0], folders[0]])
    with pytest.raises(FieldcastError, match="no target 'x'"):
        compare(folders[:2], target="x")


def test_trained_runs_are_paired_over_the_seeds_that_both_have(folders: list[Path], tmp_path: Path) -> None:
    options = tiny_run(folders[0].parent)
    last = options.seeds[-1]
    run(dataclasses.replace(options, seeds=(last, 77)), tmp_path / "more")
    run(dataclasses.replace(options, seeds=(78,)), tmp_path / "other")
    found = compare([folders[0], tmp_path / "more"], baselines=False).models[1].difference
    assert found is not None and found.difference == 0, "the same seed gave the same run"
    with pytest.raises(FieldcastError, match=r"no seed in common: train one of them with the other's --seeds"):
        compare([folders[0], tmp_path / "other"])


def test_the_command(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "c.png"
    assert main(["compare", str(folders[0]), str(folders[1]), "--json", "--picture", str(picture)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["reference"] == "a (stid)" and len(printed["models"]) == 3
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_picture_shows_every_difference(folders: list[Path], tmp_path: Path) -> None:
    assert comparison_picture(compare(folders[:2]), tmp_path / "p.png").exists()
    with pytest.raises(FieldcastError, match="nothing to draw"):
        comparison_picture(compare(folders[:1], baselines=False), tmp_path / "q.png")
