"""The tables in the README, the docs and the results are those that their lines and figures make."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from fieldcast.workflows.experiment import lines_of, read_lines
from fieldcast.workflows.experiment_file import read_experiment
from fieldcast.workflows.tables import as_markdown, summary_markdown

ROOT = Path(__file__).resolve().parents[1]
RESULTS = sorted((ROOT / "experiments").rglob("results/*.jsonl"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_the_tables_follow_from_the_lines(path: Path) -> None:
    experiment = read_experiment(path.parents[1] / f"{path.stem}.yaml")
    lines = lines_of(experiment, path)
    keys = [line["key"] for line in read_lines(path)]
    assert len(set(keys)) == len(keys), "a run stands there twice"
    assert set(keys) <= {job.key for job in experiment.jobs}, "lines of settings that stand nowhere"
    assert path.with_suffix(".md").read_text(encoding="utf-8") == as_markdown(experiment, lines)
    summary = summary_markdown(experiment, lines)
    mark = f"<!-- scores {experiment.name} -->"
    pages = [page for page in PAGES if mark in page.read_text(encoding="utf-8")]
    assert pages, f"{path.stem} stands on no page"
    for page in pages:
        assert f"{mark}\n{summary}\n<!-- /scores {experiment.name} -->" in page.read_text(encoding="utf-8"), page


def test_the_tables_of_cost_follow_from_the_figures() -> None:
    made = runpy.run_path(str(ROOT / "benchmarks" / "table.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"]()
