"""The tables in the README and in the experiments' results are those that their lines make."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldcast.workflows.experiment import read_jobs, read_lines
from fieldcast.workflows.tables import as_markdown, summary_markdown

ROOT = Path(__file__).resolve().parents[1]
RESULTS = sorted((ROOT / "experiments" / "results").glob("*.jsonl"))


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_the_tables_follow_from_the_lines(path: Path) -> None:
    lines = read_lines(path)
    assert path.with_suffix(".md").read_text(encoding="utf-8") == as_markdown(path.stem, lines)
    _, jobs = read_jobs(ROOT / "experiments" / f"{path.stem}.yaml")
    assert {line["key"] for line in lines} <= {job.key for job in jobs}, "lines of settings that stand nowhere"


def test_the_readme_shows_the_scores_as_they_are() -> None:
    lines = read_lines(ROOT / "experiments" / "results" / "ground_floor.jsonl")
    assert summary_markdown(lines) in (ROOT / "README.md").read_text(encoding="utf-8")
