"""The tables in the docs are made from the lines of an experiment, and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fieldcast.errors import FieldcastError
from fieldcast.workflows.experiment import lines_of, read_lines, run_experiment
from fieldcast.workflows.experiment_file import Experiment, Published, read_experiment
from fieldcast.workflows.tables import as_markdown, markdown_table, summary_markdown
from tests.tiny import write_csv

TINY = Experiment("tiny", ())


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
    text = as_markdown(TINY, lines)
    assert text.startswith("# tiny\n") and "## a.csv" in text and "## b.csv" in text
    rows = [line for line in text.splitlines() if line.startswith("| stid")]
    first, second = mae(lines, "a.csv", "stid")
    mean, spread = (first + second) / 2, abs(first - second) / 2**0.5
    assert f"{mean:.3f} ± {spread:.3f}" in rows[0]
    assert "windows 164 / 23 / 47" in text and "TSB-12v1" in text and "seeds 0, 1" in text
    assert "- weekly_climatology: weekly climatology needs two training weeks" in text


def test_the_summary_has_a_column_a_dataset_and_the_best_in_bold(lines: list[dict[str, Any]]) -> None:
    table = summary_markdown(TINY, lines).splitlines()
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


def at_horizon(lines: list[dict[str, Any]], horizon: int) -> list[dict[str, Any]]:
    """Lines as if they had been made with another horizon setting; the scores stay."""
    return [line | {"windows": line["windows"] | {"horizon": horizon}} for line in lines if line["dataset"] == "a.csv"]


def test_published_figures_stand_in_columns_of_their_own(lines: list[dict[str, Any]]) -> None:
    paper = Published("Theirs", "a.csv", 3, "pooled", {"MAE": 0.125, "RMSE": 0.25}, "a paper")
    text = as_markdown(Experiment("tiny", (), (paper,)), lines)
    header = next(line for line in text.splitlines() if line.startswith("| model"))
    theirs = next(line for line in text.splitlines() if line.startswith("| Theirs"))
    cells = dict(zip(*([cell.strip() for cell in line.split("|")[1:-1]] for line in (header, theirs)), strict=True))
    assert cells["published MAE pooled3"] == "0.125" and cells["published RMSE pooled3"] == "0.250"
    assert {cells[name] for name in cells if name not in ("model",) and "published" not in name} == {"-"}
    ours = next(line for line in text.splitlines() if line.startswith("| stid"))
    assert ours.rstrip(" |").endswith("-"), "no figure of ours under a published title"
    assert "Theirs: a paper" in text and "Theirs" not in text.split("## b.csv")[1]


def test_differences_are_paired_by_day(lines: list[dict[str, Any]]) -> None:
    text = as_markdown(TINY, lines)
    assert "paired by day and seed, fewer than 10 test days: sizes only, no significance" in text
    pooled = {
        name: [line["scores"]["channels"]["value"]["pooled"]["mae"] for line in lines
               if (line["dataset"], line["backbone"]) == ("a.csv", name)]
        for name in ("stid", "last_value")
    }  # fmt: skip
    size = pooled["last_value"][0] - sum(pooled["stid"]) / 2
    row = [line for line in text.splitlines() if line.startswith("| last_value")]
    assert any(f"{size:+.3f}" in line for line in row), (size, row)


def test_what_is_trained_is_set_beside_the_best_baseline(lines: list[dict[str, Any]]) -> None:
    mine = [line for line in lines if line["dataset"] == "a.csv" and "scores" in line]
    worse = [{**line, "backbone": "window_mean"} for line in mine if line["backbone"] == "last_value"]
    scores = worse[0]["scores"]
    figures = scores["channels"]["value"]
    more = figures | {"pooled": {**figures["pooled"], "mae": 2 * figures["pooled"]["mae"]}}
    worse[0]["scores"] = {**scores, "channels": {"value": more}}
    arm = [{**line, "arm": "longer"} for line in mine if line["backbone"] == "stid"]
    text = as_markdown(TINY, [*mine, *worse, *arm])
    tables = text.split("value: difference of the pooled MAE to ")[1:]
    assert [each.split(",")[0] for each in tables] == ["its base", "last_value"], "the one that errs least"
    rows = [line.split("|")[1:3] for line in tables[1].splitlines() if line.startswith("| stid")]
    assert [name.strip() for name, _ in rows] == ["stid", "stid + longer"]
    own, baseline = (mae_pooled(mine, name) for name in ("stid", "last_value"))
    assert all(f"{own - baseline:+.3f}" in figure for _, figure in rows)


def mae_pooled(lines: list[dict[str, Any]], backbone: str) -> float:
    mine = [line for line in lines if line["backbone"] == backbone]
    return sum(line["scores"]["channels"]["value"]["pooled"]["mae"] for line in mine) / len(mine)


def test_models_with_other_seeds_are_paired_over_those_that_both_have(lines: list[dict[str, Any]]) -> None:
    stid = [line for line in lines if (line["dataset"], line["backbone"]) == ("a.csv", "stid")]
    once = [{**line, "backbone": "lstm"} for line in stid[1:]]
    text = as_markdown(TINY, [*stid, *once]).split("difference of the pooled MAE")[1]
    row = next(line for line in text.splitlines() if line.startswith("| lstm"))
    assert "+0.000" in row, "the same run as the reference's of that seed"
    with pytest.raises(FieldcastError, match="other seeds"):
        as_markdown(TINY, [*stid[:1], *once])


def test_a_model_with_a_seed_that_failed_has_a_note_and_no_mean(lines: list[dict[str, Any]]) -> None:
    failed = [
        {key: value for key, value in line.items() if key != "scores"} | {"note": "the loss is not finite."}
        if (line["dataset"], line["backbone"], line["seed"]) == ("a.csv", "stid", 1)
        else line
        for line in lines
    ]
    text = as_markdown(TINY, failed).split("## b.csv")[0]
    assert "| stid" not in text and "- stid: the loss is not finite." in text


def test_lines_of_other_data_are_not_mixed(lines: list[dict[str, Any]]) -> None:
    mixed = [line | {"protocol": {**line["protocol"], "dataset_hash": "0"}} if line.get("seed") else line
             for line in lines]  # fmt: skip
    with pytest.raises(FieldcastError, match=r"the lines of a\.csv are of different data"):
        as_markdown(TINY, mixed)


def test_a_dataset_with_several_horizons_has_a_row_for_each(lines: list[dict[str, Any]]) -> None:
    two = [*at_horizon(lines, 3), *at_horizon(lines, 6)]
    paper = Published("Theirs", "a.csv", 3, "pooled", {"MAE": 0.125}, "a paper")
    experiment = Experiment("tiny", (), (paper,))
    with pytest.raises(KeyError):  # the scores are of three steps, so there is no pooled figure of six
        summary_markdown(experiment, two)
    for line in two[len(two) // 2 :]:
        if "scores" in line:
            line["scores"] = line["scores"] | {"horizon": 6, "shown": [3]}
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in
             summary_markdown(experiment, two).splitlines()]  # fmt: skip
    assert table[0] == ["steps ahead", "model", "MAE", "RMSE", "published MAE"]
    assert [row[:2] for row in table[2:]] == [
        ["3", "stid"], ["3", "last_value"], ["3", "Theirs"], ["6", "stid"], ["6", "last_value"],
    ]  # fmt: skip
    assert table[4][2:] == ["-", "-", "0.125"]
    assert "## a.csv, 6 steps ahead" in as_markdown(experiment, two)


def test_arms_are_compared_with_their_own_base(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", rows=1600)
    table = {
        "name": "arms", "seeds": [0, 1], "datasets": [{"name": "a.csv"}], "windows": {"lookback": 4, "horizon": 3},
        "training": {"max_epochs": 1, "batch_size": 128, "accelerator": "cpu"},
        "backbones": {"stid": {"width": 4}, "lstm": {"width": 4}}, "baselines": ["last_value"],
        "arms": {"base": {}} | {n: {"stages": {"st_lora": {"rank": r}}} for n, r in (("mine", 2), ("other", 1))}
        | {"longer": {"training": {"max_epochs": 2}}},
    }  # fmt: skip
    path = tmp_path / "arms.yaml"
    path.write_text(yaml.safe_dump(table, sort_keys=False))
    out = run_experiment(path, tmp_path / "results", tmp_path, progress=False)
    experiment = read_experiment(path)
    found = lines_of(experiment, out)
    text, summary = as_markdown(experiment, found), summary_markdown(experiment, found).splitlines()
    titles = [cell.strip() for cell in summary[0].split("|")[1:-1]]
    assert titles == ["dataset", "backbone", "MAE of the base", "mine", "other", "longer"]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in summary[2:]]
    assert [row[:2] for row in rows] == [["a.csv", "stid"], ["a.csv", "lstm"]]

    def pooled(backbone: str, arm: str) -> float:
        mine = [line for line in found if (line["backbone"], line["arm"]) == (backbone, arm)]
        return sum(line["scores"]["channels"]["value"]["pooled"]["mae"] for line in mine) / len(mine)

    for row in rows:
        for arm, cell in zip(("mine", "other", "longer"), row[3:], strict=True):
            change = 100 * (pooled(row[1], arm) / pooled(row[1], "") - 1)
            assert abs(float(cell.strip("*").removesuffix(" %")) - change) < 0.06
    assert (
        "stid + longer" in text
        and "stid + mine" in text
        and "lstm + other" in text
        and "difference to its base" in text
    )
    stid = next(line for line in found if line["backbone"] == "stid" and line["arm"] == "mine")
    more = 100 * (stid["parameters"] / stid["base_parameters"] - 1)
    assert f"| {more:.2f} %" in " ".join(text.split())
