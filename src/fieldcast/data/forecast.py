"""Forecast: the labelled result, in real units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.data.files import write_atomically
from fieldcast.data.form import Form
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecasts from one or many origins.

    Shapes: ``values`` float32 [origins, H, N, O] in the units of the readings; ``origin`` datetime64[ns] [origins], the
    time of the last reading used; ``time`` datetime64[ns] [origins, H], the times that are forecast. Both are in the
    clock of the readings; with a ``timezone`` that is UTC, and :meth:`local_time` is the wall clock.
    """

    values: np.ndarray
    origin: np.ndarray
    time: np.ndarray
    nodes: tuple[str, ...]
    targets: tuple[str, ...]
    units: dict[str, str]
    timezone: str | None = None

    @classmethod
    def label(cls, values: np.ndarray, readings: Readings, origin_rows: np.ndarray, form: Form) -> Forecast:
        """Label forecasts [origins, H, N, O] made from rows ``origin_rows`` of readings."""
        time = np.stack([readings.following(int(row), form.horizon) for row in origin_rows])
        units = {target: (form.units or {}).get(target, "") for target in form.targets}
        return cls(values, readings.time[origin_rows], time, form.nodes, form.targets, units, form.timezone)

    def local_time(self, time: np.ndarray) -> pd.DatetimeIndex:
        """The wall clock at ``time``, which is in the clock of the readings."""
        index = pd.DatetimeIndex(time)
        if not self.timezone:
            return index
        return index.tz_localize("UTC").tz_convert(self.timezone).tz_localize(None)

    def to_xarray(self) -> xr.Dataset:
        """One variable a target, dimensions (origin, step, node), with the forecast time as a coordinate."""
        dims = ("origin", "step", "node")
        variables = {
            target: (dims, self.values[..., i], {"units": self.units.get(target, "")})
            for i, target in enumerate(self.targets)
        }
        steps = np.arange(1, self.values.shape[1] + 1)
        coords = {
            "origin": self.origin, "step": steps, "node": list(self.nodes), "time": (("origin", "step"), self.time),
        }  # fmt: skip
        return xr.Dataset(variables, coords=coords, attrs={"timezone": self.timezone or ""})

    def to_frame(self) -> pd.DataFrame:
        """A long table: origin, step, time, [local_time,] node, one column a target.

        With a timezone ``origin`` and ``time`` are UTC, in which no hour is repeated, and ``local_time`` is the wall
        clock at ``time``.
        """
        origins, steps, nodes, _ = self.values.shape
        time = np.repeat(self.time.reshape(-1), nodes)
        columns: dict[str, object] = {
            "origin": np.repeat(self.origin, steps * nodes),
            "step": np.tile(np.repeat(np.arange(1, steps + 1), nodes), origins),
            "time": time,
        }
        if self.timezone:
            columns["local_time"] = self.local_time(time)
        columns["node"] = np.tile(np.array(self.nodes, dtype=object), origins * steps)
        for i, target in enumerate(self.targets):
            columns[target] = self.values[..., i].reshape(-1)
        return pd.DataFrame(columns)

    def write(self, path: str | Path) -> Path:
        """Write the long table as Parquet or CSV, by the ending of the name."""
        path = Path(path)
        frame = self.to_frame()
        if path.suffix == ".parquet":
            write_atomically(path, lambda beside: frame.to_parquet(beside, index=False))
        elif path.suffix == ".csv":
            write_atomically(path, lambda beside: frame.to_csv(beside, index=False))
        else:
            raise FieldcastError(f"cannot write a forecast to '{path.name}': end the name in .parquet or .csv.")
        return path

    def __repr__(self) -> str:
        origins, steps, nodes, _ = self.values.shape
        first = self.local_time(self.origin[:1])[0].strftime("%Y-%m-%dT%H:%M")
        first += f" {self.timezone}" if self.timezone else ""
        return f"Forecast({', '.join(self.targets)}: {origins} origins from {first}, {steps} steps, {nodes} nodes)"
