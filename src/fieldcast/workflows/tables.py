"""Tables in Markdown from the lines of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fieldcast.core.registry import BACKBONES
from fieldcast.evaluation import across_seeds, score_row

Line = Mapping[str, Any]


def as_markdown(name: str, lines: Sequence[Line]) -> str:
    """Every dataset, rule and target of an experiment as a table, with protocol, settings and machine."""
    parts = [
        f"# {name}",
        "",
        f"Made by `python experiments/table.py experiments/results/{name}.jsonl` from the lines that",
    ]
    parts += [
        f"`{lines[0].get('command', 'python experiments/run.py')}` wrote. Mean ± sample standard deviation over seeds.",
        "",
    ]
    for dataset in dict.fromkeys(line["dataset"] for line in lines):
        mine = [line for line in lines if line["dataset"] == dataset]
        finished = [line for line in mine if "scores" in line]
        if not finished:
            continue
        parts += [f"## {dataset}", "", _protocol(finished), ""]
        for which in range(-1, len(finished[0]["beside"])):
            for target in finished[0]["protocol"]["targets"]:
                rows = [{"model": name, **_row(runs, which, target)} for name, runs in _by_model(finished)]
                parts += [f"{target}, scored on {_rule(finished[0], which)}:", "", markdown_table(rows), ""]
        parts += [f"- {line['backbone']}: {line['note']}" for line in mine if "note" in line] + [""]
    return "\n".join(parts).rstrip() + "\n"


def summary_markdown(lines: Sequence[Line]) -> str:
    """One row a model, one column a dataset: MAE averaged over the horizon, by its primary rule; best in bold."""
    finished = [line for line in lines if "scores" in line]
    datasets = list(dict.fromkeys(line["dataset"] for line in finished))
    cells: dict[tuple[str, str], tuple[float, float | None]] = {}
    for dataset in datasets:
        for name, runs in _by_model([line for line in finished if line["dataset"] == dataset]):
            row = _row(runs, -1, runs[0]["protocol"]["targets"][0])
            cells[name, dataset] = next(value for key, value in row.items() if key.startswith("MAE mean"))
    rows = []
    for name in dict.fromkeys(name for name, _ in cells):
        row: dict[str, Any] = {"MAE, mean over the horizon": name}
        for dataset in datasets:
            best = min(value[0] for (_, other), value in cells.items() if other == dataset)
            value = cells.get((name, dataset))
            text = "-" if value is None else _cell(value)
            row[dataset] = f"**{text}**" if value is not None and value[0] == best else text
        rows.append(row)
    return markdown_table(rows)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as a Markdown table; pairs are mean ± sample sd."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    body = [[_cell(row.get(title)) for title in titles] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(titles, *body, strict=True)]
    lines = [titles, ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)], *body]
    return "\n".join(
        "| "
        + " | ".join(t.ljust(w) if i == 0 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True)))
        + " |"
        for line in lines
    )


def _by_model(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """The lines of each model, trained ones first."""
    names = list(dict.fromkeys(line["backbone"] for line in lines))
    names.sort(key=lambda name: not getattr(BACKBONES.get(name), "trainable", True))
    return [(name, [line for line in lines if line["backbone"] == name]) for name in names]


def _row(runs: Sequence[Line], which: int, target: str) -> dict[str, Any]:
    summary = across_seeds([run["scores"] if which < 0 else run["beside"][which] for run in runs])
    return score_row(summary, target)


def _rule(line: Line, which: int) -> str:
    return (line["scores"] if which < 0 else line["beside"][which])["rule"]


def _protocol(lines: Sequence[Line]) -> str:
    first = lines[0]
    protocol = first["protocol"]
    seeds = sorted({line["seed"] for line in lines})
    settings = {line["backbone"]: {**line["training"], **line["hyper"]} for line in lines if line["training"]}
    counts = protocol["windows"]
    text = (
        f"Protocol {protocol['protocol']}: {protocol['lookback']} -> {protocol['horizon']} steps, split "
        f"{protocol['split']}, "
        f"windows {counts['train']} / {counts['validation']} / {counts['test']}, channels "
        f"{', '.join(protocol['channels'])}, "
        f"null rule '{protocol['null_rule']}', seeds {', '.join(map(str, seeds))}, data "
        f"{protocol['dataset_hash'][:16]}."
    )
    for name, setting in settings.items():
        text += f"\n{name}: " + ", ".join(f"{key} {value}" for key, value in setting.items()) + "."
    machine, versions = protocol.get("machine", {}), protocol.get("versions", {})
    text += "\nMachine: " + ", ".join(f"{key} {value}" for key, value in machine.items() if value is not None)
    return text + "; " + ", ".join(f"{key} {value}" for key, value in versions.items() if value) + "."


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        mean, spread = value
        if mean is None:
            return "-"
        places = 3 if abs(mean) < 10 else 2
        return f"{mean:.{places}f}" if spread is None else f"{mean:.{places}f} ± {spread:.{places}f}"
    return str(value)
