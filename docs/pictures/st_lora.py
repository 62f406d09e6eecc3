"""Draw what the experiments about ST-LoRA found: layers x rank, what an adapter costs, and nodes before and after it.

python docs/pictures/st_lora.py [--kept FOLDER] [--data FOLDER]

Grid and cost are drawn from the JSON in experiments/st_lora/results and benchmarks/results. With --kept, the folder in
which run.py kept the forecasters of gain.yaml (arms base and finetune of the LSTM on nycbike_drop, seed 0), the nodes
are drawn too; their figures go into st_lora.json beside the pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from fieldcast.core.context import Batch
from fieldcast.data.files import write_atomically
from fieldcast.data.formats import open_readings
from fieldcast.data.loader import WindowLoader
from fieldcast.data.windows import Windows
from fieldcast.evaluation.protocol import machine_record, version_record
from fieldcast.forecaster import Forecaster, load
from fieldcast.reporting.pictures import INK, SOFT, STYLE, TRAINED
from fieldcast.workflows.experiment import lines_of
from fieldcast.workflows.experiment_file import read_experiment

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXPERIMENTS = ROOT / "experiments" / "st_lora"
COST = ROOT / "benchmarks" / "results" / "adapters.json"
DATASET, BACKBONE, NEIGHBOURS = "nycbike_drop", "lstm", 5


def lines(name: str) -> list[dict[str, Any]]:
    """The finished runs of an experiment, none where it was not run."""
    path = EXPERIMENTS / "results" / f"{name}.jsonl"
    return lines_of(read_experiment(EXPERIMENTS / f"{name}.yaml"), path) if path.is_file() else []


def pooled(line: dict[str, Any]) -> float:
    return next(iter(line["scores"]["channels"].values()))["pooled"]["mae"]


def saved(figure: Figure, name: str) -> None:
    write_atomically(HERE / name, lambda path: figure.savefig(path, dpi=150, format="png"))
    print(HERE / name)


# Layers and rank


def draw_grid(found: list[dict[str, Any]]) -> Figure:
    errors: dict[str, list[float]] = {}
    for line in found:
        if line["backbone"] == BACKBONE:
            errors.setdefault(line["arm"], []).append(pooled(line))
    base, seeds = np.mean(errors.pop("")), len({line["seed"] for line in found if line["arm"]})
    cells = {
        tuple(int(number) for number in re.findall(r"\d+", arm)): 100 * (np.mean(each) / base - 1)
        for arm, each in errors.items()
    }
    layers, ranks = (sorted({cell[part] for cell in cells}) for part in (0, 1))
    table = np.array([[cells.get((layer, rank), np.nan) for rank in ranks] for layer in layers])
    figure = Figure(figsize=(6, 3.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    image = axes.imshow(table, cmap="cividis", aspect="auto")
    for i, j in np.ndindex(*table.shape):
        value = table[i, j]
        light = value < np.nanmean(table)
        axes.text(j, i, f"{value:+.1f}", ha="center", va="center", color="white" if light else INK, fontsize=8)
    axes.set_xticks(range(len(ranks)), [str(rank) for rank in ranks])
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    axes.set_xlabel("rank r")
    axes.set_ylabel("low-rank layers L")
    axes.grid(visible=False)
    axes.set_title("Pooled MAE to the trained LSTM, %")
    figure.colorbar(image, ax=axes, label="%")
    figure.suptitle(
        f"{DATASET}, test part, mean of {seeds} seeds, adapter tuned on the frozen base", fontsize=9, color=SOFT
    )
    return figure


# What an adapter costs


def draw_cost(rows: list[dict[str, Any]], gains: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(10.5, 3.8), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    names = [row["backbone"] for row in rows]
    place = np.arange(len(rows))
    more = [100 * row["extra_parameters"] / row["parameters"] for row in rows]
    left.barh(place + 0.2, more, 0.36, color=TRAINED[0][0], label="parameters")
    spent = [100 * (row["step"]["joint_over_alone"] - 1) for row in rows]
    left.barh(place - 0.2, spent, 0.36, color=TRAINED[1][0], label="time of a training step")
    left.axvline(4, color=SOFT, linewidth=0.8, linestyle=":")
    left.set_yticks(place, names)
    left.invert_yaxis()
    left.set_xlabel("more than the backbone alone, % (dotted: 4 %)")
    left.set_title("What it adds")
    left.legend(frameon=False, fontsize=8, loc="lower right")
    draw_gains(right, gains)
    batches = ", ".join(f"{row['backbone']} {row['batch_size']}" for row in rows if row["batch_size"] != 64)
    said = f"left: N = {rows[0]['nodes']}, batches of 64{f' ({batches})' if batches else ''}"
    figure.suptitle(said, fontsize=9, color=SOFT)
    return figure


def draw_gains(axes: Axes, gains: list[dict[str, Any]]) -> None:
    """The change of the error by each arm, a row for each dataset and backbone, with how many parameters more."""
    means: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for line in gains:
        means.setdefault((line["dataset"], line["backbone"]), {}).setdefault(line["arm"], []).append(line)
    arms = ("default", "finetune")
    rows = {key: mine for key, mine in means.items() if "" in mine and any(arm in mine for arm in arms)}
    labels = []
    for place, ((dataset, backbone), mine) in enumerate(rows.items()):
        base = np.mean([pooled(line) for line in mine[""]])
        changes = {arm: 100 * (np.mean([pooled(each) for each in mine[arm]]) / base - 1) for arm in arms if arm in mine}
        axes.plot(list(changes.values()), [place] * len(changes), color=SOFT, linewidth=0.8, zorder=1)
        for arm, change in changes.items():
            color, _, marker = TRAINED[arms.index(arm)]
            axes.plot(change, place, marker=marker, color=color, linestyle="none", label=arm if place == 0 else None)
        one = next(mine[arm][0] for arm in arms if arm in mine)
        more = 100 * (one["parameters"] / one["base_parameters"] - 1)
        labels.append(f"{backbone}, {dataset} (+{more:.1f} %)")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("pooled MAE to the base, %")
    axes.set_title("What it brings (and adds of parameters)")
    axes.legend(frameon=False, fontsize=8, loc="center left")


# Nodes before and after


@torch.no_grad()
def representations(base: Forecaster, tuned: Forecaster, windows: Windows) -> tuple[np.ndarray, ...]:
    """Per node, means over the validation windows: what the backbone encodes [N, D], and of the adapter its hidden
    state before the codes act, h^0, and after, h^L [N, d]."""
    first: list[torch.Tensor] = []
    last: list[torch.Tensor] = []
    block = tuned.after[0].blocks[0]  # type: ignore[index]
    hooks = [
        block.stem.register_forward_hook(lambda _, given, out: first.append(out.mean(dim=0))),  # type: ignore[union-attr]
        block.head.register_forward_pre_hook(lambda _, given: last.append(given[0].mean(dim=0))),  # type: ignore[union-attr]
    ]
    before = []
    for batch in WindowLoader(windows, "validation", 64):
        x, ctx = base.prepare(Batch.of(batch))
        before.append(base.backbone.encode(x, ctx).mean(dim=0))  # [N, D]
        tuned(x, ctx)
    for hook in hooks:
        hook.remove()
    return tuple(torch.stack(each).mean(dim=0).numpy() for each in (before, first, last))


def profiles(windows: Windows) -> np.ndarray:
    """Mean day of each node over the training rows, less its mean and over its spread: [N, slots]."""
    first, stop = windows.split.train_rows
    values = windows.readings.values[first:stop, :, 0]
    slots = windows.form.calendar.ids(windows.readings.local_time(windows.readings.time[first:stop]))[:, 0]
    day = np.stack([np.nanmean(values[slots == slot], axis=0) for slot in np.unique(slots)], axis=1)  # [N, slots]
    day -= day.mean(axis=1, keepdims=True)
    return day / np.maximum(day.std(axis=1, keepdims=True), 1e-9)


def likeness(points: np.ndarray, days: np.ndarray) -> float:
    """Mean correlation of a node's day with those of the nodes nearest to it in a representation."""
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(points).kneighbors(return_distance=False)
    return float(np.mean([(days[near[:NEIGHBOURS]] @ days[i]) / days.shape[1] for i, near in enumerate(nearest)]))


def draw_nodes(parts: dict[str, np.ndarray], days: np.ndarray, found: dict[str, float]) -> Figure:
    figure = Figure(figsize=(13, 4.2), layout="constrained", facecolor="white")
    peak = 24 * days.argmax(axis=1) / days.shape[1]
    shown = None
    for axes, (name, points) in zip(figure.subplots(1, 3), parts.items(), strict=True):
        plane = TSNE(random_state=0, init="pca", perplexity=20).fit_transform(points)
        shown = axes.scatter(
            *plane.T, c=peak, cmap="twilight_shifted", vmin=0, vmax=24, s=18, edgecolor=SOFT, linewidth=0.3
        )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.set_title(name)
        axes.set_xlabel(f"days of {NEIGHBOURS} nearest nodes: correlation {found[name]:.2f}")
    assert shown is not None
    figure.colorbar(shown, ax=figure.axes, label="hour of the mean day's peak")
    figure.suptitle(
        f"t-SNE of {len(days)} nodes of {DATASET}, means over the validation windows", fontsize=9, color=SOFT
    )
    return figure


def nodes(kept: Path, data: Path) -> None:
    jobs = read_experiment(EXPERIMENTS / "gain.yaml").jobs
    mine = {job.arm.name: job for job in jobs if (job.dataset, job.backbone, job.seed) == (DATASET, BACKBONE, 0)}
    base, tuned = (load(kept / mine[arm].key) for arm in ("base", "finetune"))
    readings = open_readings(data / DATASET)
    windows = Windows(readings, base.form.lookback, base.form.horizon)
    days = profiles(windows)
    names = ("what the LSTM encodes", "the adapter before the codes act", "after they acted, layer by layer")
    parts = dict(zip(names, representations(base, tuned, windows), strict=True))
    found = {name: likeness((points - points.mean(0)) / points.std(0), days) for name, points in parts.items()}
    parts = {name: (points - points.mean(0)) / points.std(0) for name, points in parts.items()}
    saved(draw_nodes(parts, days, found), "st_lora_nodes.png")
    chance = likeness(np.random.default_rng(0).normal(size=parts[names[-1]].shape), days)
    record = {
        "what": f"mean correlation of a node's day with the days of its {NEIGHBOURS} nearest nodes in a representation",
        "dataset": DATASET, "dataset_hash": readings.hash, "backbone": BACKBONE, "seed": 0,
        "likeness": found, "of random points": chance,
        "runs": {arm: mine[arm].key for arm in ("base", "finetune")}, "machine": machine_record(),
        "versions": version_record(), "command": "python docs/pictures/st_lora.py --kept FOLDER",
    }  # fmt: skip
    write_atomically(HERE / "st_lora.json", json.dumps(record, indent=1) + "\n")
    print(found, f"of random points {chance:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", type=Path, help="folder of the kept forecasters")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FIELDCAST_DATA", "data")))
    arguments = parser.parse_args()
    with rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        if grid := lines("grid"):
            saved(draw_grid(grid), "st_lora_grid.png")
        if COST.is_file():
            rows = json.loads(COST.read_text(encoding="utf-8"))["rows"]
            saved(draw_cost(rows, lines("gain")), "st_lora_cost.png")
        if arguments.kept:
            nodes(arguments.kept, arguments.data)
