"""What really happened in a simulated city, to try methods against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fieldcast.data.graph import Graph
from fieldcast.data.readings import Readings


class Incident(NamedTuple):
    """From row ``start`` up to row ``end`` (left out) the road at ``node`` kept ``capacity_left`` of its capacity."""

    node: int
    start: int
    end: int
    capacity_left: float


class Outage(NamedTuple):
    """From row ``start`` up to row ``end`` (left out) ``node`` sent nothing."""

    node: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Hub:
    """``signal`` float32 [time] was added to the speed at ``node``, and ``strength`` times it to that at ``driven``,
    ``lag`` rows later.

    Shapes: ``driven`` int64 and ``strength`` float32 [driven].
    """

    node: int
    driven: np.ndarray
    strength: np.ndarray
    lag: int
    signal: np.ndarray


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth behind simulated readings; nodes are positions, rows are rows of the readings.

    Shapes: ``gain`` float32 [N], what each sensor multiplies the true speed by; ``free_speed`` float32 [N] in the unit
    of the readings; ``road`` int64 [N] and ``following`` int64 [N], the next sensor downstream, -1 at the end of a
    road; ``cluster`` int64 [N], who shares a demand profile; ``bottleneck`` bool [N], whether the road is meant for
    more vehicles at the peak than it can carry there; ``useless`` (white noise) and ``dead`` (constant) int64 nodes;
    ``duplicates`` int64 [2, copies], row 0 the copy, row 1 what it copies; ``own_dynamics`` float32 [2, N], the
    coefficients (a, b) of each node's own x_t = a x_{t-1} + b x_{t-2} + noise, zero where none was planted.
    """

    gain: np.ndarray
    free_speed: np.ndarray
    road: np.ndarray
    following: np.ndarray
    cluster: np.ndarray
    bottleneck: np.ndarray
    useless: np.ndarray
    dead: np.ndarray
    duplicates: np.ndarray
    own_dynamics: np.ndarray
    hub: Hub | None
    incidents: tuple[Incident, ...]
    outages: tuple[Outage, ...]


class Simulation(NamedTuple):
    """Simulated readings, their graph, and the truth behind both."""

    readings: Readings
    graph: Graph
    truth: Truth
