"""Tiny readings, windows and files that the tests of the upper floors share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.meta import Meta
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows


def tiny_values(rows: int = 240, nodes: int = 3, channels: int = 1, missing: float = 0.0, seed: int = 0) -> np.ndarray:
    """A daily wave for each node and channel with noise, some cells missing: float32 [time, N, C]."""
    rng = np.random.default_rng(seed)
    level = 10.0 * np.arange(1, channels + 1) + np.arange(nodes)[:, None]
    wave = np.sin(2 * np.pi * np.arange(rows) / 24)[:, None, None]
    values = level + wave * rng.uniform(1, 2, level.shape) + rng.normal(0, 0.3, (rows, nodes, channels))
    values[rng.random(values.shape) < missing] = np.nan
    return values.astype(np.float32)


def tiny_readings(
    rows: int = 240, nodes: int = 3, channels: int = 1, *, missing: float = 0.0, seed: int = 0, frequency: str = "1h",
    start: str = "2024-01-01", values: np.ndarray | None = None, targets: tuple[str, ...] = (), **rules: Any,
) -> Readings:  # fmt: skip
    """Readings over :func:`tiny_values`, hourly from a Monday; channels c0, c1, ...; ``rules`` go into their Meta."""
    values = tiny_values(rows, nodes, channels, missing, seed) if values is None else values
    names = [f"c{i}" for i in range(values.shape[2])]
    meta = Meta(name="tiny", targets=targets, **rules)
    return Readings.from_array(values, start=start, frequency=frequency, channels=names, meta=meta)


def tiny_windows(lookback: int = 6, horizon: int = 3, *, readings: Readings | None = None, **settings: Any) -> Windows:
    return Windows(tiny_readings() if readings is None else readings, lookback, horizon, **settings)


def with_gaps(readings: Readings, after: list[int], hours: int = 48) -> Readings:
    """The same rows with a gap of some hours after each of ``after``: a segment ends there."""
    time = readings.time.copy()
    for row in after:
        time[row + 1 :] += np.timedelta64(hours, "h")
    return Readings.from_array(
        readings.values, time, frequency=readings.frequency, channels=readings.channels, nodes=readings.nodes
    )


def write_csv(path: Path, rows: int = 240, nodes: int = 3, start: str = "2024-01-01", seed: int = 0) -> Path:
    """A wide table: a time column and one column a sensor."""
    frame = pd.DataFrame(
        tiny_values(rows, nodes, seed=seed)[..., 0].astype(float), columns=[f"s{i}" for i in range(nodes)]
    )
    frame = frame.round(3)
    frame.insert(0, "time", pd.date_range(start, periods=rows, freq="1h"))
    frame.to_csv(path, index=False)
    return path
