"""The tables in the docs are made from the lines of an experiment, and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fieldcast.workflows.experiment import read_lines, run_experiment
from fieldcast.workflows.tables import as_markdown, markdown_table, summary_markdown
from tests.tiny import write_csv


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    place = tmp_path_factory.mktemp("tables")
    for name in ("a", "b"):
        write_csv(place / f"{name}.csv", seed=ord(name))
    table = {
        "name": "tiny", "seeds": [0, 1], "datasets": [{"name": "a.csv"}, {"name": "b.csv"}],
        "windows": {"lookback": 4, "horizon": 3},
        "training": {"max_epochs": 1, "batch_size": 128, "accelerator": "cpu"},
        "backbones": {"stid": {"width": 4}}, "baselines": ["last_value", "weekly_climatology"],
    }  # fmt: skip
    (place / "tiny.yaml").write_text(yaml.safe_dump(table))
    return read_lines(run_experiment(place / "tiny.yaml", Path(place) / "results", place, progress=False))


def mae(lines: list[dict[str, Any]], dataset: str, backbone: str) -> list[float]:
    mine = [line for line in lines if (line["dataset"], line["backbone"]) == (dataset, backbone)]
    return [line["scores"]["channels"]["value"]["mean"]["mae"] for line in mine]


def test_every_figure_comes_from_the_lines(lines: list[dict[str, Any]]) -> None:
    text = as_markdown("tiny", lines)
    assert text.startswith("# tiny\n") and "## a.csv" in text and "## b.csv" in text
    rows = [line for line in text.splitlines() if line.startswith("| stid")]
    first, second = mae(lines, "a.csv", "stid")
    mean, spread = (first + second) / 2, abs(first - second) / 2**0.5
    assert f"{mean:.3f} ± {spread:.3f}" in rows[0]
    assert "windows 164 / 23 / 47" in text and "TSB-12v1" in text and "seeds 0, 1" in text
    assert "- weekly_climatology: weekly climatology needs two training weeks" in text


def test_the_summary_has_a_column_a_dataset_and_the_best_in_bold(lines: list[dict[str, Any]]) -> None:
    table = summary_markdown(lines).splitlines()
    assert [cell.strip() for cell in table[0].split("|")[2:-1]] == ["a.csv", "b.csv"]
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in table[2:]}
    assert list(rows) == ["stid", "last_value"]
    for column, dataset in enumerate(("a.csv", "b.csv")):
        stid, last = sum(mae(lines, dataset, "stid")) / 2, mae(lines, dataset, "last_value")[0]
        best = "stid" if stid < last else "last_value"
        assert [name for name in rows if rows[name][column].startswith("**")] == [best]
        assert f"{last:.3f}" in rows["last_value"][column]


def test_columns_line_up() -> None:
    table = markdown_table(
        [{"model": "a", "MAE": (1.5, None)}, {"model": "longer", "MAE": (12.25, 0.5)}, {"model": "none"}]
    )
    assert table.splitlines() == [
        "| model  |          MAE |",
        "| ------ | -----------: |",
        "| a      |        1.500 |",
        "| longer | 12.25 ± 0.50 |",
        "| none   |            - |",
    ]
