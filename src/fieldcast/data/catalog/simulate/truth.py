"""What really happened in a simulation, to try methods against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from fieldcast.data.catalog.simulate.wind import Wind
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
    """A signal was added to channel 0 at ``node``, and ``lag`` rows later ``strength`` times it to that at ``driven``.

    At row t the node got signal[t + lag] and the driven ones strength signal[t], cut where a sensor can show no more.

    Shapes: ``driven`` int64 and ``strength`` float32 [driven]; ``signal`` float32 [time + lag], in the channel's unit.
    """

    node: int
    driven: np.ndarray
    strength: np.ndarray
    lag: int
    signal: np.ndarray


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth behind a simulated city's readings; nodes are positions, rows are rows of the readings.

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


@dataclass(frozen=True, eq=False)
class WeatherTruth:
    """The truth behind simulated weather; cells are positions (row * columns + column), rows are rows of the readings.

    Shapes: ``wind``, what carried the air, without noise; ``land`` float32 [N], 0 sea to 1 land; ``height`` float32
    [N], km; ``climate``, ``season`` and ``day`` float32 [N], degC: the mean temperature, the amplitude of its year and
    that of its day (at the equinox), see :meth:`cycle`; ``noon`` float32 [N], the hour of the readings' clock at which
    the day is warmest; ``memory`` hours after which an anomaly of temperature and of moisture has fallen to about 1/e;
    ``noise`` float32 [4], standard deviation of each channel's white noise; ``cluster`` int64 [N], the region of a
    cell; ``regime`` float32 [time, clusters], degC, what the cells of a region had in common at each row, zero where
    there is one region; ``useless`` (white noise) and ``dead`` (constant) int64 cells; ``duplicates`` int64
    [2, copies], row 0 the copy, row 1 what it copies; ``own_dynamics`` float32 [2, N], the coefficients (a, b) of each
    cell's own x_t = a x_{t-1} + b x_{t-2} + noise in its temperature, zero where none was planted.

    The dew point goes by climate - 4 + (4 + 3 land) s, s as in :meth:`cycle`, and by half the temperature's anomaly.
    What is said of the air over a cell (wind, land, cycle, region) is said of its place, also where the sensor there is
    planted to show something else.
    """

    wind: Wind
    land: np.ndarray
    height: np.ndarray
    climate: np.ndarray
    season: np.ndarray
    day: np.ndarray
    noon: np.ndarray
    memory: tuple[float, float]
    noise: np.ndarray
    cluster: np.ndarray
    regime: np.ndarray
    useless: np.ndarray
    dead: np.ndarray
    duplicates: np.ndarray
    own_dynamics: np.ndarray
    hub: Hub | None
    outages: tuple[Outage, ...]

    def cycle(self, rows: np.ndarray) -> np.ndarray:
        """Temperature at ``rows`` int64 [r] by season and hour alone, degC: float32 [r, N].

        climate + season s + day (1 + 0.3 s) cos(2 pi (hour - noon) / 24), s = cos(2 pi (days - 200) / 365.25), days
        since 1 January.
        """
        hours = np.asarray(rows, dtype=np.float64)[:, None]
        season = np.cos(2 * np.pi * (hours / 24 - 200) / 365.25)
        hour = np.cos(2 * np.pi * (hours - self.noon) / 24)
        return (self.climate + self.season * season + self.day * (1 + 0.3 * season) * hour).astype(np.float32)


Known = TypeVar("Known", Truth, WeatherTruth)


class Simulation(NamedTuple, Generic[Known]):
    """Simulated readings, their graph, and the truth behind both, a Truth or a WeatherTruth."""

    readings: Readings
    graph: Graph
    truth: Known
