"""Spec: the sizes and the surroundings that a model is built for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fieldcast.data.form import Form
from fieldcast.data.graph import Graph


@dataclass(frozen=True, eq=False)
class Spec:
    """What a constructor needs: sizes, calendar sizes, graph, grid, coordinates.

    ``nodes`` (N) are read, ``output_nodes`` (M) are forecast: equal, except in a compacted model that still forecasts
    its switched-off sensors. ``channels`` (C) is the width of x at the place of the module; ``width`` (D) that of h,
    known to stages between and after, which are told besides the ``parameters`` of the backbone and the
    ``predictor_layers`` of its head, by their names, as pairs of sizes in and out. ``calendar_sizes`` are slots of day,
    days of week, days of year.
    """

    lookback: int
    horizon: int
    nodes: int
    channels: int
    targets: int
    calendar_sizes: tuple[int, int, int]
    output_nodes: int
    inputs: np.ndarray
    future_channels: int = 0
    width: int = 0
    parameters: int = 0
    predictor_layers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    graph: Graph | None = None
    grid: tuple[int, int] | None = None
    coordinates: np.ndarray | None = None

    @classmethod
    def of(cls, form: Form, graph: Graph | None = None, inputs: np.ndarray | None = None) -> Spec:
        """The Spec for data of a form; ``inputs`` int64 [N] are the nodes that are read (default all)."""
        everything = len(form.nodes)
        index = np.arange(everything) if inputs is None else np.asarray(inputs, dtype=np.int64)
        coordinates = None if form.coordinates is None else form.coordinates[index]
        return cls(
            lookback=form.lookback, horizon=form.horizon, nodes=len(index), channels=len(form.channels),
            targets=len(form.targets), calendar_sizes=form.calendar.sizes, output_nodes=everything, inputs=index,
            future_channels=len(form.future), graph=graph, grid=form.grid, coordinates=coordinates,
        )  # fmt: skip

    @property
    def steps_per_day(self) -> int:
        return self.calendar_sizes[0]

    def with_(self, **changes: Any) -> Spec:
        return replace(self, **changes)
