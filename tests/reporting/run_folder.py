"""A run folder as a finished training leaves it, from synthetic forecasts that are scored by the real evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fieldcast.evaluation import ScoreRule, across_seeds, protocol_record, score_arrays, to_jsonable

HORIZON = 12
STEPS = (3, 12)
RULES = (ScoreRule("targets > 0", above=0.0), ScoreRule("all cells"))
MODELS = (  # name, kind, parameters, size of the error, how it grows with the step
    ("stid", "trained", 118_284, 1.0, 0.035),
    ("lstm", "trained", 98_860, 1.12, 0.05),
    ("last_value", "baseline", 0, 0.95, 0.16),
    ("window_mean", "baseline", 0, 1.9, 0.08),
    ("daily_climatology", "baseline", 0, 1.75, 0.0),
    ("ridge_var", "baseline", 41_616, 1.05, 0.075),
)
UNAVAILABLE = ("weekly_climatology", "baseline", "not available: less than two training weeks")


def field(rng: np.random.Generator, rows: int, nodes: int, targets: int, minutes: int) -> np.ndarray:
    """Readings with two daily peaks, weekends, sensors of different sizes, and noise that hangs together."""
    hour = (np.arange(rows) * minutes / 60) % 24
    weekend = (np.arange(rows) * minutes // 1440) % 7 >= 5
    shape = 0.15 + np.exp(-(((hour - 8) / 2.2) ** 2)) + 0.9 * np.exp(-(((hour - 17.5) / 2.8) ** 2))
    shape = np.where(weekend, 0.55 * shape + 0.1, shape)
    size = rng.lognormal(4.6, 0.45, (nodes, targets))
    noise = rng.normal(0, 1, (rows, nodes, targets))
    for row in range(1, rows):
        noise[row] += 0.85 * noise[row - 1]
    return np.maximum(0, shape[:, None, None] * size * (1 + 0.05 * noise))


def write_run_folder(
    folder: Path,
    *,
    nodes: int = 40,
    days: int = 9,
    minutes: int = 15,
    targets: tuple[str, ...] = ("flow_veh_per_15min",),
    seeds: tuple[int, ...] = (0, 1, 2),
    simulated: bool = True,
    coordinates: bool = True,
    title: str = "Flow of a simulated city, 3 hours ahead",
    names: list[str] | None = None,
    sample_rows: int = 480,
    start: str = "2024-03-06",
) -> Path:
    """Write ``scores.json`` and ``sample.npz`` of a run that never was, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    rows, channels = days * 1440 // minutes, len(targets)
    time = np.datetime64(start, "ns") + np.arange(rows) * np.timedelta64(minutes, "m")
    truth = field(rng, rows, nodes, channels, minutes)
    observed = rng.random(truth.shape) > 0.01
    observed[rows // 8 : rows // 8 + 900 // minutes, : nodes // 2 + 1] = False  # half the sensors fall silent
    truth[rng.random(truth.shape) < 0.004] = 0.0
    truth[rows // 2] = 0.0  # so that the two rules never score alike
    names = names or [f"S{400 + 7 * node}" for node in range(nodes)]
    windows = rows - HORIZON
    at = np.arange(windows)[:, None] + np.arange(HORIZON)  # [windows, H], the row that each step forecasts
    level = rng.lognormal(0, 0.3, (1, 1, nodes, 1)) * truth.mean(axis=0) * 0.11

    def forecasts(size: float, growth: float, seed: int) -> np.ndarray:
        draw = np.random.default_rng([seed, int(size * 100)])
        error = draw.normal(0, 1, (windows, HORIZON, nodes, channels))
        error[1:] = 0.8 * error[:-1] + 0.6 * error[1:]  # neighbouring windows err alike
        wide = size * (1 + growth * np.arange(1, HORIZON + 1))[None, :, None, None] * (1 + 0.02 * draw.normal())
        return np.maximum(0, truth[at] + error * wide * level * (0.4 + truth[at] / truth.mean()))

    def scored(prediction: np.ndarray, rule: ScoreRule) -> dict:
        return score_arrays(
            prediction,
            truth[at],
            observed[at],
            rule,
            nodes=names,
            channels=targets,
            target_hour=(time[at].astype("datetime64[h]").astype(np.int64) % 24),
            day=time[:windows].astype("datetime64[D]").astype(np.int64),
        )

    models, kept = [], []
    sample_rows = min(sample_rows, windows - HORIZON)
    place = np.arange(HORIZON, HORIZON + sample_rows)
    for name, kind, parameters, size, growth in MODELS:
        own = seeds if kind == "trained" else seeds[:1]
        runs = [forecasts(size, growth, seed) for seed in own]
        summaries = [across_seeds([scored(run, rule) for run in runs]) for rule in RULES]
        models.append(
            {
                "name": name,
                "kind": kind,
                "parameters": parameters,
                "seeds": list(own),
                "train_seconds": 83.4 if kind == "trained" else None,
                "note": None,
                "summary": summaries[0],
                "beside": [{"rule": RULES[1].name, "summary": summaries[1]}],
            }
        )
        # the window in which row r is step s begins s - 1 rows earlier
        kept.append(np.stack([runs[0][place - step + 1, step - 1] for step in STEPS]))
    empty = {"parameters": 0, "seeds": [], "train_seconds": None, "summary": None, "beside": []}
    models.append(dict(zip(("name", "kind", "note"), UNAVAILABLE, strict=True)) | empty)

    angle, distance = rng.uniform(0, 2 * np.pi, nodes), np.sqrt(rng.uniform(0, 1, nodes))
    places = np.stack([34.1 + 0.09 * distance * np.sin(angle), -118.3 + 0.16 * distance * np.cos(angle)], axis=1)
    apart = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    edges = [[a, int(b)] for a in range(nodes) for b in np.argsort(apart[a])[1:4]]
    scores = {
        "title": title,
        "simulated": simulated,
        "protocol": protocol_record(
            dataset="simulated_city" if simulated else "pems08_tail",
            dataset_hash="0123456789abcdef" * 4,
            split="windows-first 7:1:2",
            null_rule="none (zeros are readings)",
            rule="cells with target > 0; all cells beside",
            lookback=12,
            horizon=HORIZON,
            windows={"train": 7 * windows // 2, "validation": windows // 2, "test": windows},
            seeds=seeds,
        ),
        "targets": list(targets),
        "units": {name: "veh/15 min" if "flow" in name else "km/h" for name in targets},
        "models": models,
        "graph": edges if coordinates else None,
        "coordinates": places if coordinates else None,
        "nodes": names,
    }
    (folder / "scores.json").write_text(json.dumps(to_jsonable(scores)), encoding="utf-8")
    forecast = np.stack(kept)
    forecast[:, :, 20:26] = np.nan
    np.savez_compressed(
        folder / "sample.npz",
        time=time[place],
        truth=np.where(observed, truth, np.nan)[place].astype(np.float32),
        steps=np.array(STEPS, dtype=np.int64),
        models=np.array([name for name, *_ in MODELS]),
        forecast=forecast.astype(np.float16),
        nodes=np.array(names),
        targets=np.array(targets),
    )
    return folder
