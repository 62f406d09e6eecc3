"""Tables in Markdown from the lines of an experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fieldcast.core.registry import BACKBONES
from fieldcast.errors import FieldcastError
from fieldcast.evaluation import Difference, across_seeds, block_of, bootstrap_difference, holm, score_row
from fieldcast.evaluation.rules import mean_label, pooled_label
from fieldcast.workflows.experiment_file import Experiment, Published

Line = Mapping[str, Any]
Pair = tuple[str, str, list[Line]]
"""A model, the one it is compared with, and its runs."""
_WIDE = 16  # columns of a table that a page still shows


def as_markdown(experiment: Experiment, lines: Sequence[Line]) -> str:
    """Every dataset, rule and target of an experiment as a table, with protocol, settings and machine."""
    # Lines of the same settings may come from another experiment, by its command.
    own = (line["command"] for line in lines if experiment.file in line.get("command", "").split())
    command = next(own, f"python experiments/run.py {experiment.file}")
    parts = [
        f"# {experiment.name}",
        "",
        f"Made by `python experiments/table.py {experiment.file}` from the lines that",
        f"`{command}` wrote. Mean ± sample standard deviation over seeds.",
        "",
    ]
    several = len({line["dataset"] for line in lines}) < len(list(_groups(lines)))
    for dataset, horizon, mine in _groups(lines):
        finished = [line for line in mine if "scores" in line]
        parts += [f"## {dataset}{f', {horizon} steps ahead' if several else ''}", "", _protocol(finished), ""]
        published = [each for each in experiment.published if (each.dataset, each.horizon) == (dataset, horizon)]
        for which in range(-1, len(finished[0]["beside"])):
            for target in finished[0]["protocol"]["targets"]:
                steps = sorted({each.step for each in published if each.step is not None}) if which < 0 else []
                rows = [{"model": name, **_row(runs, which, target, steps)} for name, runs in _by_model(mine)]
                if which < 0:
                    rows += _published_rows(published)
                parts += [f"{target}, scored on {_rule(finished[0], which)}:", "", markdown_table(rows), ""]
        parts += [f"Published, on the same test windows unless said: {source}." for source in _sources(published)]
        parts += [""] if published else []
        for target in finished[0]["protocol"]["targets"]:
            parts += [_differences(mine, target), ""]
        parts += [f"- {line['backbone']}: {line['note']}" for line in mine if "note" in line] + [""]
    text = "\n".join(parts).rstrip() + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def summary_markdown(experiment: Experiment, lines: Sequence[Line]) -> str:
    """An experiment in one table, by the primary rule, best in bold.

    One row a model and one column a dataset with the MAE averaged over the horizon; or, where a dataset stands there
    with several horizons, one row a horizon and model with the pooled MAE and RMSE beside those published; or, where
    arms stand beside backbones, one row a dataset and backbone with what each arm changes.
    """
    groups = list(_groups(lines))
    if len({dataset for dataset, _, _ in groups}) < len(groups):
        return _by_horizon(experiment, groups)
    if any(line.get("arm") for line in lines):
        return _by_arm(groups)
    cells: dict[tuple[str, str], tuple[float, float | None]] = {}
    for dataset, _, mine in groups:
        for name, runs in _by_model(mine):
            row = _row(runs, -1, runs[0]["protocol"]["targets"][0])
            cells[name, dataset] = next(value for key, value in row.items() if key.startswith("MAE mean"))
    rows = []
    for name in sorted(dict.fromkeys(name for name, _ in cells), key=lambda name: not _trainable(name)):
        row: dict[str, Any] = {"MAE, mean over the horizon": name}
        for dataset, _, _ in groups:
            best = min(value[0] for (_, other), value in cells.items() if other == dataset)
            value = cells.get((name, dataset))
            row[dataset] = _bold(value, best)
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


def _groups(lines: Sequence[Line]) -> Iterator[tuple[str, int, list[Line]]]:
    """(dataset, horizon, lines) of what was scored alike, in the order of the lines; those without a score too."""
    places = list(dict.fromkeys((line["dataset"], line["windows"]["horizon"]) for line in lines))
    for dataset, horizon in places:
        mine = [line for line in lines if (line["dataset"], line["windows"]["horizon"]) == (dataset, horizon)]
        if any("scores" in line for line in mine):
            yield dataset, horizon, mine


def _by_model(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """The lines of each model, trained ones first; a model of which a seed has no score has no mean, but a note."""
    runs: dict[str, list[Line]] = {}
    for line in sorted(lines, key=lambda line: not _is_drawn(line)):
        runs.setdefault(name_of(line), []).append(line)
    return [(name, mine) for name, mine in runs.items() if all("scores" in line for line in mine)]


def name_of(line: Line) -> str:
    """A model as tables call it: its backbone, and its arm where it is not the backbone alone."""
    return line["backbone"] + (f" + {line['arm']}" if line.get("arm") else "")


def _is_drawn(line: Line) -> bool:
    """Whether a run has a draw to repeat: a trained backbone, or stages that are trained beside a solved one."""
    return bool(line.get("stages")) or _trainable(line["backbone"])


def _trainable(name: str) -> bool:
    return bool(getattr(BACKBONES.get(name), "trainable", True))


def _row(runs: Sequence[Line], which: int, target: str, steps: Sequence[int] = ()) -> dict[str, Any]:
    """The columns of a model's row; of ``steps``, for which figures are published, with RMSE and MAPE too."""
    summary = across_seeds([run["scores"] if which < 0 else run["beside"][which] for run in runs])
    each = [summary[part]["channels"][target]["per_horizon"] for part in ("mean", "sd")]
    more = {
        f"{measure.upper()}@{step}": tuple(part[measure][step - 1] if part[measure] else None for part in each)
        for step in steps
        for measure in ("mae", "rmse", "mape")
    }
    return {**score_row(summary, target), **more}


def _columns(published: Published) -> dict[str, Any]:
    """The columns of a published figure, apart from ours."""
    if published.step is not None:
        label = f"@{published.step}"
    else:
        label = f" {(mean_label if published.average == 'mean' else pooled_label)(published.horizon)}"
    return {f"published {measure}{label}": (value, None) for measure, value in published.figures.items()}


def _published_rows(published: Sequence[Published]) -> list[dict[str, Any]]:
    """A row for each model of each source, whatever steps and averages its figures are of."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for each in published:
        rows.setdefault((each.model, each.source), {"model": each.model}).update(_columns(each))
    return list(rows.values())


def _sources(published: Sequence[Published]) -> list[str]:
    names: dict[str, list[str]] = {}
    for each in published:
        names.setdefault(each.source + (f" ({each.differs})" if each.differs else ""), []).append(each.model)
    return [f"{', '.join(dict.fromkeys(models))}: {source}" for source, models in names.items()]


def _by_horizon(experiment: Experiment, groups: Sequence[tuple[str, int, list[Line]]]) -> str:
    rows = []
    for dataset, horizon, mine in groups:
        scored = [(name, _row(runs, -1, runs[0]["protocol"]["targets"][0])) for name, runs in _by_model(mine)]
        label = pooled_label(horizon)
        best = {measure: min(row[f"{measure} {label}"][0] for _, row in scored) for measure in ("MAE", "RMSE")}
        for name, row in scored:
            figures = {measure: _bold(row[f"{measure} {label}"], best[measure]) for measure in ("MAE", "RMSE")}
            rows.append({"steps ahead": str(horizon), "model": name, **figures})
        for each in experiment.published:
            if (each.dataset, each.horizon, each.average) == (dataset, horizon, "pooled"):
                figures = {f"published {measure}": (value, None) for measure, value in each.figures.items()}
                rows.append({"steps ahead": str(horizon), "model": each.model, **figures})
    return markdown_table(rows)


def _differences(lines: Sequence[Line], target: str) -> str:
    """Differences of the pooled MAE, paired by day and seed: to the first trained model, or of each arm to its base;
    and of all that are trained to the simple baseline that errs least."""
    own, with_baseline = _pairs(lines), _pairs_with_baseline(lines, target)
    arms = any(line.get("arm") for line in lines)
    tables = [_difference_table(lines, target, own, "its base" if arms else own[0][1], more=arms)] if own else []
    if with_baseline:
        tables.append(_difference_table(lines, target, with_baseline, with_baseline[0][1]))
    return "\n\n".join(tables)


def _difference_table(lines: Sequence[Line], target: str, pairs: Sequence[Pair], what: str, more: bool = False) -> str:
    """Differences of pairs to ``what``, with the parameters that each has ``more``."""
    found = _compared(lines, target, pairs)
    rows = []
    for name, _, runs, each, p in found:
        row = each.row(p)
        rows.append({"model": name, f"difference to {what}": row.pop("difference")})
        if more:
            base, extra = runs[0]["base_parameters"], runs[0]["parameters"] - runs[0]["base_parameters"]
            rows[-1]["more parameters"] = f"{100 * extra / base:.2f} %" if base else str(extra)
        rows[-1] |= row
    few = "" if found[0][3].p is None else ", Holm over the table"
    return (
        f"{target}: difference of the pooled MAE to {what}, paired by day and seed, {found[0][3].resampled}{few}:\n\n"
        f"{markdown_table(rows)}"
    )


def _pairs(lines: Sequence[Line]) -> list[Pair]:
    """Each arm with its base; without arms, each model with the first."""
    models = _by_model(lines)
    arms, names = any(line.get("arm") for line in lines), {name for name, _ in models}
    return [
        (name, runs[0]["backbone"] if arms else models[0][0], runs)
        for name, runs in models
        if (runs[0].get("arm") and runs[0]["backbone"] in names if arms else name != models[0][0])
    ]


def _pairs_with_baseline(lines: Sequence[Line], target: str) -> list[Pair]:
    """Each trained model with the baseline that has the lowest pooled MAE on these test windows."""
    models = _by_model(lines)
    solved = {
        name: runs[0]["scores"]["channels"][target]["pooled"]["mae"] for name, runs in models if not _is_drawn(runs[0])
    }
    if not solved:
        return []
    best = min(solved, key=lambda name: solved[name])
    return [(name, best, runs) for name, runs in models if name not in solved]


def _compared(
    lines: Sequence[Line], target: str, pairs: Sequence[Pair]
) -> list[tuple[str, str, list[Line], Difference, float | None]]:
    """(model, reference, its runs, difference, p by Holm) of pairs."""
    if not pairs:
        return []
    models = _by_model(lines)
    by_name = dict(models)
    protocol = models[0][1][0]["protocol"]
    days = len(models[0][1][0]["scores"]["channels"][target]["per_day"]["day"])
    block = block_of(protocol["horizon"], protocol["windows"]["test"], days)
    found = [bootstrap_difference(*_daily(runs, by_name[other], target), block=block) for _, other, runs in pairs]
    adjusted = holm([each.p for each in found])
    return [(*pair, each, p) for pair, each, p in zip(pairs, found, adjusted, strict=True)]


def _by_arm(groups: Sequence[tuple[str, int, list[Line]]]) -> str:
    """A row a dataset and backbone: the MAE of the base, and by how many per cent each arm changes it."""
    rows = []
    for dataset, _, mine in groups:
        if not any(line.get("arm") for line in mine):
            continue
        target = next(line["protocol"]["targets"][0] for line in mine if "scores" in line)
        by_name = dict(_by_model(mine))
        found = _compared(mine, target, _pairs(mine))
        for backbone in dict.fromkeys(reference for _, reference, _, _, _ in found):
            base = _row(by_name[backbone], -1, target)
            value = next(value for key, value in base.items() if key.startswith("MAE pooled"))
            row: dict[str, Any] = {"dataset": dataset, "backbone": backbone, "MAE of the base": value}
            for _, reference, runs, each, p in found:
                if reference == backbone:
                    row[runs[0]["arm"]] = _percent(each, p)
            rows.append(row)
    return markdown_table(_turned(rows) if max(map(len, rows)) > _WIDE else rows)


def _turned(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same with a row an arm, and a column for each dataset and backbone."""
    titles = list(dict.fromkeys(title for row in rows for title in row))[2:]  # behind dataset and backbone
    columns = {f"{row['backbone']}, {row['dataset']}": row for row in rows}
    return [{"arm": title, **{name: row.get(title) for name, row in columns.items()}} for title in titles]


def _percent(difference: Difference, p: float | None) -> str:
    text = f"{100 * difference.relative:+.1f} %"
    return f"**{text}**" if p is not None and p < 0.05 else text


def _daily(runs: Sequence[Line], reference: Sequence[Line], target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of errors of both by day and their counts, float64 [S, D, 1] each, seed beside the same seed.

    A baseline, which is solved and has no seeds, stands against every seed of the other; of two that were run with
    other seeds those count that both have.
    """
    both = []
    for lines, other in ((runs, reference), (reference, runs)):
        by_seed = {line["seed"]: line["scores"]["channels"][target]["per_day"] for line in lines}
        seeds = [line["seed"] for line in (lines if _is_drawn(lines[0]) else other)]
        both.append({seed: by_seed.get(seed, next(iter(by_seed.values()))) for seed in seeds})
    mine, theirs = ({seed: part[seed] for seed in sorted(both[0].keys() & both[1].keys())} for part in both)
    first = next(iter(mine.values()), None)
    alike = first is not None and all(
        each["day"] == first["day"] and each["count"] == first["count"]
        for part in (mine, theirs)
        for each in part.values()
    )
    if not alike:
        raise FieldcastError(
            f"{runs[0]['backbone']} and {reference[0]['backbone']} on {runs[0]['dataset']} were scored on other seeds, "
            "days or cells: run both anew on the same data."
        )

    def table(part: Mapping[int, Any], measure: str) -> np.ndarray:
        rows = [[value or 0.0 for value in part[seed][measure]] for seed in sorted(part)]
        return np.array(rows, dtype=np.float64)[..., None]

    count = table(mine, "count")
    return table(mine, "mae") * count, table(theirs, "mae") * count, count


def _rule(line: Line, which: int) -> str:
    return (line["scores"] if which < 0 else line["beside"][which])["rule"]


def _protocol(lines: Sequence[Line]) -> str:
    first = lines[0]
    protocol = first["protocol"]
    if len({line["protocol"]["dataset_hash"] for line in lines}) > 1:
        raise FieldcastError(f"the lines of {first['dataset']} are of different data: run the older ones anew.")
    seeds = sorted({line["seed"] for line in lines})
    settings = {
        name_of(line): {**line["training"], **line["hyper"], **_beside(line), **_own_windows(line, protocol)}
        for line in lines
        if line["training"]
    }
    graphs = {name_of(line): line["windows"]["graph"] for line in lines if "graph" in line["windows"]}
    counts = protocol["windows"]
    text = (
        f"Protocol {protocol['protocol']}: {protocol['lookback']} -> {protocol['horizon']} steps, split "
        f"{protocol['split']}, "
        f"windows {counts['train']} / {counts['validation']} / {counts['test']}{_thinned(protocol)}, channels "
        f"{', '.join(protocol['channels'])}, "
        f"null rule '{protocol['null_rule']}', seeds {', '.join(map(str, seeds))}, data "
        f"{protocol['dataset_hash'][:16]}."
    )
    for name, setting in settings.items():
        graph = f", graph {graphs[name]}" if name in graphs else ""
        mine = [line for line in lines if name_of(line) == name]
        known = [line for line in mine if line["best_epoch"] is not None]
        best = ", ".join(f"{line['best_epoch'] + 1} of {line['epochs']}" for line in known)
        best += f"{', ' if known else ''}{len(mine) - len(known)} not kept" if len(known) < len(mine) else ""
        text += f"\n{name}: " + ", ".join(f"{key} {value}" for key, value in setting.items()) + f"{graph}; "
        text += f"best epochs {best}."
    machines = dict.fromkeys(_machine(line["protocol"]) for line in lines)
    return text + "\nMachine: " + " Also: ".join(machines)


def _beside(line: Line) -> dict[str, Any]:
    """The stages of a run with their settings, and its mode, as settings of the run."""
    if not line.get("stages"):
        return {}
    own = {f"{stage}.{key}": value for stage, told in line["stages"].items() for key, value in told.items()}
    told = {"stages": " and ".join(line["stages"]), **own, "mode": line["mode"]}
    if "factors" in line:
        told["factors"] = f"those of {line['factors']['arm']} on {line['factors']['dataset']}"
    return told


def _own_windows(line: Line, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The stride and the share of an arm that trains on other windows than the first."""
    found = {}
    for key, usual in (("stride", 1), ("train_share", [0, 1])):
        own = line["protocol"].get(key, usual)
        if own != protocol.get(key, usual):
            found[f"{key} in training"] = own
    return found


def _thinned(protocol: Mapping[str, Any]) -> str:
    stride = protocol.get("stride", 1)
    return f" (in training every {stride}th)" if stride > 1 else ""


def _machine(protocol: Mapping[str, Any]) -> str:
    machine, versions = protocol.get("machine", {}), protocol.get("versions", {})
    text = ", ".join(f"{key} {value}" for key, value in machine.items() if value is not None)
    return text + "; " + ", ".join(f"{key} {value}" for key, value in versions.items() if value) + "."


def _bold(value: tuple[float, float | None] | None, best: float) -> str:
    text = _cell(value)
    return f"**{text}**" if value is not None and value[0] == best else text


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
