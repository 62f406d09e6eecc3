"""Words and figures about readings and about backbones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fieldcast.core.backbone import Backbone
from fieldcast.core.registry import BACKBONES
from fieldcast.core.spec import Spec
from fieldcast.data.graph import Graph
from fieldcast.data.readings import Readings
from fieldcast.evaluation import format_table


def describe(readings: Readings) -> dict[str, Any]:
    """Sensors, channels with their statistics, span, gaps, missing cells and splits of readings."""
    rows, nodes, _ = readings.shape
    edges = np.flatnonzero(np.diff(readings.segment))
    clock = readings.local_time().to_numpy()  # as wall clock where there is a timezone
    channels = []
    for index, channel in enumerate(readings.channels):
        observed = readings.observed[..., index]
        seen = readings.values[..., index][observed].astype(np.float64)
        statistics = (
            {"mean": float(seen.mean()), "sd": float(seen.std()), "min": float(seen.min()), "max": float(seen.max())}
            if len(seen)
            else {"mean": None, "sd": None, "min": None, "max": None}
        )
        zeros = 100 * float((seen == 0).mean()) if len(seen) else 0.0
        channels.append({
            "channel": channel, "unit": readings.unit(channel), **statistics,
            "missing_percent": 100 * (1 - float(observed.mean())), "zero_percent": zeros,
            "target": channel in readings.targets,
        })  # fmt: skip
    return {
        "name": readings.meta.name, "rows": rows, "nodes": nodes, "frequency": readings.frequency,
        "timezone": readings.timezone, "first": str(clock[0]), "last": str(clock[-1]),
        "segments": len(edges) + 1,
        "gaps": [{"after": str(clock[row]), "next": str(clock[row + 1])} for row in edges[:20]],
        "grid": list(readings.grid) if readings.grid else None, "coordinates": readings.coordinates is not None,
        "channels": channels, "null_rule": readings.meta.null_rule, "scored_cells": readings.meta.scored_cells,
        "default_split": readings.meta.default_split, "splits": sorted(readings.meta.splits), "hash": readings.hash,
    }  # fmt: skip


def describe_text(summary: dict[str, Any]) -> str:
    """The description as aligned lines."""
    grid = f", grid {summary['grid'][0]} x {summary['grid'][1]}" if summary["grid"] else ""
    lines = [
        f"{summary['name']}: {summary['rows']} rows x {summary['nodes']} nodes every {summary['frequency']}{grid}",
        f"time      {summary['first'][:16]} to {summary['last'][:16]}, {summary['timezone'] or 'wall clock as given'}, "
        f"{summary['segments']} segment{'s' if summary['segments'] > 1 else ''} without a gap",
    ]
    lines += [f"gap       after {gap['after'][:16]}, next row {gap['next'][:16]}" for gap in summary["gaps"][:5]]
    if len(summary["gaps"]) > 5:
        lines.append(f"          and {summary['segments'] - 6} more gaps")
    named = f" (named: {', '.join(summary['splits'])})" if summary["splits"] else ""
    lines += [
        f"rules     null: {summary['null_rule']}; scored: {summary['scored_cells']}",
        f"splits    {summary['default_split']}{named}",
        f"hash      {summary['hash'][:16]}",
        "",
    ]
    table = [
        {
            "channel": each["channel"] + (" *" if each["target"] else ""), "unit": each["unit"] or "-",
            "mean": each["mean"], "sd": each["sd"], "min": each["min"], "max": each["max"],
            "missing %": each["missing_percent"], "zero %": each["zero_percent"],
        }
        for each in summary["channels"]
    ]  # fmt: skip
    return "\n".join(lines) + format_table(table, decimals=2) + "\n(* forecast unless --targets says otherwise)"


def describe_models() -> list[dict[str, Any]]:
    """Every backbone: parameters at 207 nodes and 12 -> 12 steps, needs, cost in nodes, source."""
    models = []
    for name in BACKBONES.names():
        cls = BACKBONES.get(name)
        assert issubclass(cls, Backbone)
        needs = [what for what in ("graph", "grid", "coordinates") if getattr(cls, f"needs_{what}")]
        models.append({
            "name": name, "fitted": "trained" if cls.trainable else "solved",
            "parameters": _parameters(cls, 207) if not needs or needs == ["graph"] else None,
            "needs": ", ".join(needs) or "-", "unseen sensors": "yes" if cls.unseen_nodes else "no", "cost": cls.cost,
            "recipes": ", ".join(cls.recipes) or "-", "paper": cls.paper,
        })  # fmt: skip
    return models


def _parameters(cls: type[Backbone], nodes: int) -> int:
    ring = np.arange(nodes)
    graph = Graph(nodes, np.stack([ring, np.roll(ring, -1)]), np.ones(nodes, dtype=np.float32))
    spec = Spec(12, 12, nodes, 1, 1, (288, 7, 366), nodes, ring, graph=graph)
    with torch.random.fork_rng(devices=[]):
        return sum(each.numel() for each in cls(spec).parameters())
