"""The report of a run: one HTML file that opens anywhere, without a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from fieldcast.data.files import write_atomically
from fieldcast.errors import FieldcastError
from fieldcast.reporting.folder import RunFolder, read_run_folder, view
from fieldcast.reporting.payload import SHOWN_MEASURES, build_payload, script_json

STYLES = ("report.css", "charts.css")
SCRIPTS = ("base.js", "charts.js", "scores.js", "errors.js", "sensors.js", "series.js", "report.js")


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run folder as one HTML file and return its path.

    The file holds its data, style and scripts; it names no outside address and its content policy forbids any.

    Args:
        folder: a folder with ``scores.json`` and ``sample.npz``.
        out: the file to write; ``report.html`` in the folder when left out.

    Raises:
        FieldcastError: when a file or a key is missing or does not fit the others, or ``out`` is a folder.
    """
    run = read_run_folder(folder)
    out = run.path / "report.html" if out is None else Path(out)
    if out.is_dir():
        raise FieldcastError(f"{out} is a folder: name the file that the report is to be written to.")
    write_atomically(out, render(run))
    return out


def render(run: RunFolder) -> str:
    """Return the page of a run as text; everything that comes from the run is escaped."""
    assets = resources.files("fieldcast.reporting.assets")

    def joined(names: tuple[str, ...]) -> Markup:
        return Markup("\n".join((assets / name).read_text(encoding="utf-8") for name in names))

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((assets / "report.html.j2").read_text(encoding="utf-8"))
    scores = run.scores
    return template.render(
        title=scores["title"],
        simulated=scores["simulated"],
        protocol=scores["protocol"],
        targets=scores["targets"],
        has_map=bool(scores.get("coordinates")),
        has_edges=bool(scores.get("graph")),
        tables=score_tables(run),
        style=joined(STYLES),
        script=joined(SCRIPTS),
        payload=Markup(script_json(build_payload(run))),
    )


def score_tables(run: RunFolder) -> list[dict[str, Any]]:
    """Return the tables of all figures: one per target and rule, a block per measure, a row per model.

    A cell has the texts ``mean`` and ``sd``, and ``best`` where its mean is the lowest of the column. Models without
    scores have a note in the place of cells.
    """
    first = next(summary for model in run.scores["models"] for summary in view(model).values())["mean"]
    heads = [f"step {step}" for step in first["shown"]] + [first["labels"]["mean"], first["labels"]["pooled"]]
    return [
        {
            "target": target,
            "rule": rule,
            "heads": heads,
            "blocks": [_block(run, rule, target, measure, first["shown"]) for measure in SHOWN_MEASURES],
        }
        for target in run.scores["targets"]
        for rule in run.rules
    ]


def _block(run: RunFolder, rule: str, target: str, measure: str, shown: list[int]) -> dict[str, Any]:
    figures: dict[str, tuple[list[float | None], list[float | None]] | None] = {}
    for model in run.scores["models"]:
        summary = view(model).get(rule)
        figures[model["name"]] = None
        if summary is not None:
            mean, sd = (_columns(summary[part], target, measure, shown) for part in ("mean", "sd"))
            figures[model["name"]] = mean, sd
    means = [pair[0] for pair in figures.values() if pair is not None]
    places = decimals(max((abs(value) for row in means for value in row if value is not None), default=10.0))
    best = [min((value for value in column if value is not None), default=None) for column in zip(*means, strict=True)]
    rows = []
    for model in run.scores["models"]:
        pair, cells = figures[model["name"]], None
        if pair is not None:
            cells = [_cell(*figure, places) for figure in zip(*pair, best, strict=True)]
        rows.append({"name": model["name"], "note": model["note"] or "not scored by this rule", "cells": cells})
    unit = "%" if measure in ("mape", "wape") else run.scores["units"][target] or ""
    return {"title": measure.upper(), "unit": unit, "rows": rows}


def _columns(source: Mapping[str, Any], target: str, measure: str, shown: list[int]) -> list[float | None]:
    figures = source["channels"][target]
    found = [figures["per_horizon"][measure][step - 1] for step in shown]
    found += [figures["mean"][measure], figures["pooled"][measure]]
    return [None if value is None or not math.isfinite(value) else float(value) for value in found]


def _cell(mean: float | None, spread: float | None, best: float | None, places: int) -> dict[str, Any]:
    text = "–" if mean is None else f"{mean:.{places}f}"
    # What reads alike is best alike: nobody sees the digits behind the last one shown.
    is_best = mean is not None and best is not None and text == f"{best:.{places}f}"
    return {"mean": text, "sd": "" if spread is None else f"{spread:.{places}f}", "best": is_best}


def decimals(largest: float) -> int:
    """Return how many decimals a column of figures has whose largest is given; the page's script does the same."""
    return 1 if largest >= 1000 else 2 if largest >= 10 else 3 if largest >= 1 else 4
