"""One still picture of a run for a README or a paper: error by step ahead, and forecasts beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldcast.data.files import write_atomically
from fieldcast.errors import FieldcastError
from fieldcast.reporting.folder import RunFolder, read_run_folder, view

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fieldcast.workflows.comparing import Comparison

TRAINED = (("#1b68b3", "-", "o"), ("#c2510c", "--", "s"), ("#11805a", ":", "^"), ("#8a43a8", "-.", "D"))
BASELINES = (("#4f5964", ":", "o"), ("#77818c", "--", "s"), ("#5f7183", "-.", "^"), ("#8a8078", (0, (1, 3)), "D"))
INK, SOFT, LINE = "#171b21", "#5a6470", "#dfe3e8"
STYLE = {
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
}


def score_picture(folder: str | Path, out_png: str | Path, target: str | None = None) -> Path:
    """Draw the error by step ahead of all models, and one day of forecasts of a sensor of middling error.

    Args:
        folder: a folder with ``scores.json`` and ``sample.npz``.
        out_png: the picture to write.
        target: which target; the first when left out.

    Raises:
        FieldcastError: when the folder is not whole, or the target is not among its targets.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    run = read_run_folder(folder)
    targets = run.scores["targets"]
    shown: str = targets[0] if target is None else target
    if shown not in targets:
        raise FieldcastError(f"there is no target '{shown}' in {run.path}: choose one of {', '.join(targets)}.")
    with rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(11, 4), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
        looks = _looks(run.scores["models"])
        _draw_horizon(left, run, shown, looks)
        _draw_forecast(right, run, shown, looks)
        protocol = run.scores["protocol"]
        line = f"{protocol['dataset']}, split {protocol['split']}, scored cells: {run.rules[0]}, {protocol['protocol']}"
        figure.suptitle(f"SIMULATED DATA · {line}" if run.scores["simulated"] else line, fontsize=9, color=SOFT)
        out = Path(out_png)
        write_atomically(out, lambda path: figure.savefig(path, dpi=150, format="png"))
    return out


def comparison_picture(comparison: Comparison, out_png: str | Path) -> Path:
    """Draw each model's difference to the reference with its 95 % interval; left of zero is better.

    Args:
        comparison: what :func:`fieldcast.workflows.comparing.compare` returned.
        out_png: the picture to write.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = [each for each in comparison.models if each.difference is not None]
    if not rows:
        raise FieldcastError("there is nothing to draw: compare at least two models.")
    with rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(8, 1.2 + 0.36 * len(rows)), layout="constrained", facecolor="white")
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for place, each in enumerate(rows):
            found = each.difference
            assert found is not None
            color, _, marker = TRAINED[0] if each.kind == "trained" else BASELINES[0]
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [place, place], color=color, linewidth=2, solid_capstyle="butt")
            axes.plot([found.difference], [place], marker=marker, color=color, linestyle="none")
        axes.set_yticks(range(len(rows)), [each.name for each in rows])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        unit = f", {comparison.unit}" if comparison.unit else ""
        few = [each.difference.too_few for each in rows if each.difference and each.difference.low is None]
        said = f"{few[0]}: no interval" if few else "bars: 95 % interval"
        axes.set_xlabel(f"MAE minus that of {comparison.reference}{unit} (left: better; {said})")
        axes.set_title(f"{comparison.protocol['dataset']}: {comparison.target}")
        out = Path(out_png)
        write_atomically(out, lambda path: figure.savefig(path, dpi=150, format="png"))
    return out


def _looks(models: list[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    looks: dict[str, dict[str, Any]] = {}
    counts = {True: 0, False: 0}
    for model in models:
        trained = model["kind"] == "trained"
        kinds = TRAINED if trained else BASELINES
        color, dash, marker = kinds[counts[trained] % len(kinds)]
        counts[trained] += 1
        looks[model["name"]] = {
            "color": color,
            "linestyle": dash,
            "marker": marker,
            "linewidth": 1.8 if trained else 1.2,
            "markerfacecolor": color if trained else "white",
            "markersize": 4,
        }
    return looks


def _draw_horizon(axes: Axes, run: RunFolder, target: str, looks: Mapping[str, dict[str, Any]]) -> None:
    from matplotlib.ticker import MaxNLocator

    steps = np.arange(1, run.scores["protocol"]["horizon"] + 1)
    for model in run.scores["models"]:
        summary = view(model).get(run.rules[0])
        if summary is None:
            continue
        mean, spread = (
            np.array(summary[part]["channels"][target]["per_horizon"]["mae"], dtype=float) for part in ("mean", "sd")
        )
        axes.plot(steps, mean, label=model["name"], **looks[model["name"]])
        if summary["seeds"] > 1:
            color = looks[model["name"]]["color"]
            axes.fill_between(steps, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0)
    axes.set(title="Error by step ahead", xlabel="steps ahead", ylabel=_with_unit("MAE", run, target))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8, ncols=2, handlelength=3)


def _draw_forecast(axes: Axes, run: RunFolder, target: str, looks: Mapping[str, dict[str, Any]]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    sample = run.sample
    if target not in sample.targets:
        raise FieldcastError(f"the sample in {run.path} has no target '{target}': choose {', '.join(sample.targets)}.")
    channel, step = sample.targets.index(target), int(np.argmax(sample.steps))
    order = _ranked(run, target)
    node = _middling(run, order[0], target)
    rows = _fullest_day(sample.time, np.isfinite(sample.truth[:, node, channel]))
    times = sample.time[rows]
    axes.plot(times, sample.truth[rows, node, channel], color=INK, linewidth=2.2, label="measured")
    trained = [name for name in order if _kind(run, name) == "trained" and name in sample.models]
    baselines = [name for name in order if _kind(run, name) != "trained" and name in sample.models]
    for name in trained[:2] + baselines[:1]:
        forecast = sample.forecast[sample.models.index(name), step, rows, node, channel]
        look: dict[str, Any] = {**looks[name], "marker": "None"}
        axes.plot(times, forecast, label=name, **look)
    locator = AutoDateLocator(maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    day = np.datetime_as_string(times[0], unit="D")
    title = f"Sensor {sample.nodes[node]}, {day}: forecasts made {sample.steps[step]} steps before"
    axes.margins(x=0.01)
    axes.set(title=title, xlabel="local time", ylabel=_with_unit(target, run, target))
    axes.legend(frameon=False, fontsize=8, handlelength=3)


def _with_unit(text: str, run: RunFolder, target: str) -> str:
    unit = run.scores["units"][target]
    return f"{text}, {unit}" if unit else text


def _kind(run: RunFolder, name: str) -> str:
    return next(model["kind"] for model in run.scores["models"] if model["name"] == name)


def _ranked(run: RunFolder, target: str) -> list[str]:
    """Names of the scored models, the lowest headline MAE first."""
    headlines = {}
    for model in run.scores["models"]:
        summary = view(model).get(run.rules[0])
        if summary is not None:
            value = summary["mean"]["channels"][target][summary["mean"]["headline"]]["mae"]
            headlines[model["name"]] = float("inf") if value is None else value
    return sorted(headlines, key=headlines.__getitem__)


def _middling(run: RunFolder, name: str, target: str) -> int:
    """Position in the sample of the sensor whose error is the median: a fair one to show."""
    model = next(model for model in run.scores["models"] if model["name"] == name)
    errors = np.array(view(model)[run.rules[0]]["mean"]["channels"][target]["per_node"]["mae"], dtype=float)
    place = {str(node): index for index, node in enumerate(run.scores["nodes"])}
    of_sample = np.array([errors[place[node]] for node in run.sample.nodes])
    scored = np.flatnonzero(np.isfinite(of_sample))
    return int(scored[np.argsort(of_sample[scored])[(len(scored) - 1) // 2]]) if len(scored) else 0


def _fullest_day(time: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Rows of the day with the most readings; of 60 rows when a day has fewer than eight."""
    days, counts = np.unique(time.astype("datetime64[D]")[measured], return_counts=True)
    if not len(days) or counts.max() < 8:
        return np.arange(min(60, len(time)))
    return np.flatnonzero(time.astype("datetime64[D]") == days[np.argmax(counts)])
