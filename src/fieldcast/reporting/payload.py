"""The data of the page: scores as short lists, forecasts as 16-bit numbers, in JSON that is safe inside HTML."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fieldcast.reporting.folder import RunFolder, Sample, view

SHOWN_MEASURES = ("mae", "rmse", "mape", "wape")
"""The figures that the page can show; the last two are in percent."""

_MISSING = np.uint16(65535)
_DIGITS = 5


def build_payload(run: RunFolder) -> dict[str, Any]:
    """Return everything that the page's script reads, in types of JSON."""
    scores = run.scores
    first = next(summary for model in scores["models"] for summary in view(model).values())["mean"]
    return {
        "simulated": scores["simulated"],
        "horizon": first["horizon"],
        "shown": first["shown"],
        "labels": first["labels"],
        "headline": first["headline"],
        "rules": run.rules,
        "targets": scores["targets"],
        "units": scores["units"],
        "nodes": [str(node) for node in scores["nodes"]],
        "coordinates": rounded(scores.get("coordinates"), 8),
        "graph": _undirected(scores.get("graph")),
        "models": [_model(model, scores["targets"]) for model in scores["models"]],
        "sample": pack_sample(run.sample),
    }


def _model(model: Mapping[str, Any], targets: Sequence[str]) -> dict[str, Any]:
    views = {rule: {target: _figures(summary, target) for target in targets} for rule, summary in view(model).items()}
    return {key: model[key] for key in ("name", "kind", "parameters", "train_seconds", "note")} | {
        "seeds": len(model["seeds"]),
        "views": views,
    }


def _figures(summary: Mapping[str, Any], target: str) -> dict[str, Any]:
    mean = summary["mean"]["channels"][target]
    # With one seed there is no spread; with null for it the page need not look into every list.
    spread = summary["sd"]["channels"][target] if summary["seeds"] > 1 else None

    def of(source: Mapping[str, Any] | None, part: str) -> dict[str, Any] | None:
        return None if source is None else {name: rounded(source[part][name]) for name in SHOWN_MEASURES}

    return {
        "steps": of(mean, "per_horizon"),
        "stepsSd": of(spread, "per_horizon"),
        "mean": of(mean, "mean"),
        "meanSd": of(spread, "mean"),
        "pooled": of(mean, "pooled"),
        "pooledSd": of(spread, "pooled"),
        "node": rounded(dict(mean["per_node"])),
        "hour": rounded(mean["per_hour"]),
        "day": rounded(mean["per_day"]),
    }


def rounded(value: Any, digits: int = _DIGITS) -> Any:
    """Return the value with its numbers at so many significant digits, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.{digits}g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value


def _undirected(graph: Sequence[Sequence[int]] | None) -> list[list[int]] | None:
    if graph is None:
        return None
    return [list(edge) for edge in sorted({(min(a, b), max(a, b)) for a, b in graph if a != b})]


def pack_sample(sample: Sample) -> dict[str, Any]:
    """Return the sample with each series as 16-bit numbers between its own smallest and largest value.

    value = low + step · number; 65535 stands for missing. A series is one sensor, target (and model and step), so
    that a forecast which ran away costs no other series its digits.

    Shapes:
        truth [O, N, R] and forecast [O, M, S, N, R], flat, little-endian, in base64.
    """
    times = sample.time.astype("datetime64[ms]").astype(np.int64)
    return {
        "time": [number // 1000 if number % 1000 == 0 else number / 1000 for number in times.tolist()],
        "steps": list(sample.steps),
        "models": list(sample.models),
        "nodes": list(sample.nodes),
        "targets": list(sample.targets),
        "truth": _pack(sample.truth.transpose(2, 1, 0)),
        "forecast": _pack(sample.forecast.transpose(4, 0, 1, 3, 2)),
    }


def _pack(values: np.ndarray) -> dict[str, str]:
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    known = np.isfinite(rows)
    low = np.where(known, rows, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, rows, -np.inf).max(axis=1, initial=-np.inf)
    low, high = np.where(known.any(axis=1), low, 0.0), np.where(known.any(axis=1), high, 0.0)
    low = low.astype("<f4")
    step = ((high - low) / 65533).astype("<f4")
    scaled = np.divide(rows - low[:, None], step[:, None], out=np.zeros_like(rows), where=known & (step[:, None] > 0))
    numbers = np.where(known, np.rint(scaled).clip(0, 65534), _MISSING).astype("<u2")
    return {"numbers": _text(numbers), "low": _text(low), "step": _text(step)}


def _text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def script_json(value: Any) -> str:
    """Return JSON that may stand inside a script element: no character in it can end the element or begin a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
