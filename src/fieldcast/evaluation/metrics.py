"""The figures of a forecast, from the sums over every scored cell of a whole split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.rules import (
    Arithmetic,
    ScoreRule,
    active_nodes,
    mean_label,
    pooled_label,
    shown_horizons,
)
from fieldcast.evaluation.sums import STATISTICS, ScoreSums

__all__ = [
    "MEASURES",
    "STATISTICS",
    "Arithmetic",
    "ScoreRule",
    "ScoreSums",
    "active_nodes",
    "measures",
    "score_arrays",
    "scores",
    "tgcn_scores",
]

MEASURES = ("mae", "rmse", "mape", "wape", "mape_at_10", "bias")
"""The figures that are computed from the sums; ``mape``, ``wape`` and ``mape_at_10`` are in percent."""


def measures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Turn sums into figures; where nothing was scored the figure is NaN, never 0.

    mae = S|e|/n, rmse = sqrt(Se²/n), bias = Se/n, wape = 100·S|e|/S|y|, mape = 100·S(|e|/|y|)/n over y != 0,
    mape_at_10 the same over y >= 10.

    Shapes:
        sums [len(STATISTICS), ...]; every figure and ``count`` [...].
    """
    part = dict(zip(STATISTICS, sums, strict=True))

    def ratio(above: str, below: str) -> np.ndarray:
        nothing = np.full(np.shape(part[below]), np.nan)
        return np.divide(part[above], part[below], out=nothing, where=part[below] != 0)

    return {
        "mae": ratio("absolute", "count"),
        "rmse": np.sqrt(ratio("squared", "count")),
        "mape": 100 * ratio("percentage", "percentage_count"),
        "wape": 100 * ratio("absolute", "target"),
        "mape_at_10": 100 * ratio("percentage_at_10", "count_at_10"),
        "bias": ratio("signed", "count"),
        "count": np.rint(part["count"]).astype(np.int64),
    }


def scores(sums: ScoreSums) -> dict[str, Any]:
    """Return the figures of a split as nested plain dictionaries; see `to_jsonable` for writing them.

    Per channel: ``per_horizon`` (a list over steps 1..H of every measure and ``count``), ``mean`` (the mean over the
    H per-horizon figures), ``pooled`` (one figure over all cells), ``per_node`` and ``per_hour`` and ``per_day``
    (lists; None where no hours or days were given). Where nothing was scored a figure is NaN, and a mean over
    horizons of which one is NaN is NaN: no horizon is ever left out of it.
    """
    by_node, by_hour, by_day = sums.by_node, sums.by_hour, sums.by_day
    days = [str(day) for day in sums.days.astype("datetime64[D]")]
    channels: dict[str, Any] = {}
    for index, name in enumerate(sums.channels):
        cells = by_node[..., index]  # [statistic, H, N]
        per_horizon = measures(cells.sum(axis=2))
        pooled = measures(cells.sum(axis=(1, 2)))
        channels[name] = {
            "per_horizon": _lists(per_horizon),
            "mean": {measure: float(per_horizon[measure].mean()) for measure in MEASURES},
            "pooled": {measure: value.item() for measure, value in pooled.items()},
            "per_node": _lists(measures(cells.sum(axis=1)), "mae", "rmse", "count"),
            "per_hour": None
            if by_hour is None
            else {"hour": list(range(24))} | _lists(measures(by_hour[..., index].sum(axis=2)), "mae", "count"),
            "per_day": None
            if by_day is None
            else {"day": days} | _lists(measures(by_day[..., index].sum(axis=2)), "mae", "count"),
        }
    return {
        "rule": sums.rule.name,
        "arithmetic": asdict(sums.arithmetic),
        "horizon": sums.horizon,
        "shown": list(shown_horizons(sums.horizon)),
        "labels": {"mean": mean_label(sums.horizon), "pooled": pooled_label(sums.horizon)},
        "headline": sums.arithmetic.average,
        "nodes": list(sums.nodes),
        "channels": channels,
    }


def score_arrays(
    prediction: np.ndarray,
    target: np.ndarray,
    observed: np.ndarray | None = None,
    rule: ScoreRule | str = "observed cells",
    *,
    nodes: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    active: np.ndarray | None = None,
    target_hour: np.ndarray | None = None,
    day: np.ndarray | None = None,
    arithmetic: Arithmetic | None = None,
) -> dict[str, Any]:
    """Score anybody's forecasts, from arrays in real units; the result is that of `scores`.

    Shapes:
        prediction, target, observed [windows, H, N, O], or [windows, H, N] for one channel; target_hour
        [windows, H]; day [windows]; active [N] or [N, O].
    """
    arrays = [None if array is None else np.asarray(array) for array in (prediction, target, observed)]
    arrays = [array[..., None] if array is not None and array.ndim == 3 else array for array in arrays]
    predicted, measured, known = arrays
    assert predicted is not None and measured is not None
    if predicted.ndim != 4 or predicted.shape != measured.shape:
        raise FieldcastError(
            f"the forecasts have the shape {np.shape(prediction)} and the readings {np.shape(target)}: "
            "give both as [windows, horizon, nodes, channels]."
        )
    windows, horizon, node_count, channel_count = predicted.shape
    sums = ScoreSums(
        horizon,
        node_count if nodes is None else nodes,
        channel_count if channels is None else channels,
        rule,
        active=active,
        arithmetic=arithmetic,
    )
    for name, array in (("observed", known), ("target_hour", target_hour), ("day", day)):
        if array is not None and len(array) != windows:
            raise FieldcastError(f"{name} has {len(array)} windows and the forecasts {windows}: give one row a window.")
    step = max(1, 1_000_000 // max(1, predicted[0].size if windows else 1))
    for start in range(0, windows, step):
        part = slice(start, start + step)
        sums.update(
            predicted[part],
            measured[part],
            None if known is None else known[part],
            None if target_hour is None else target_hour[part],
            None if day is None else day[part],
        )
    return scores(sums)


def tgcn_scores(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return the figures of the T-GCN paper over all cells together, in its own arithmetic.

    rmse, mae, accuracy = 1 - ||Y - P|| / ||Y||, r2 = 1 - S(Y - P)² / S(Y - mean(Y))²,
    explained_variance = 1 - var(Y - P) / var(Y). Zhao et al., T-ITS 2020, arXiv:1811.05320.

    Shapes:
        prediction and target alike, of any shape, in real units, all finite.
    """
    predicted, measured = np.asarray(prediction, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if predicted.shape != measured.shape or not predicted.size:
        raise FieldcastError(f"forecasts {predicted.shape} and readings {measured.shape} differ in shape or are empty.")
    if not (np.isfinite(predicted).all() and np.isfinite(measured).all()):
        raise FieldcastError("T-GCN's figures know no missing cells: use score_arrays, or fill them and say so.")
    error = measured - predicted
    squared, variance = float((error**2).sum()), float(measured.var())
    norm = float(np.sqrt((measured**2).sum()))
    return {
        "rmse": float(np.sqrt(squared / error.size)),
        "mae": float(np.abs(error).mean()),
        "accuracy": 1 - float(np.sqrt(squared)) / norm if norm else float("nan"),
        "r2": 1 - squared / (variance * error.size) if variance else float("nan"),
        "explained_variance": 1 - float(error.var()) / variance if variance else float("nan"),
    }


def _lists(figures: Mapping[str, np.ndarray], *names: str) -> dict[str, list]:
    return {name: figures[name].tolist() for name in names or (*MEASURES, "count")}
