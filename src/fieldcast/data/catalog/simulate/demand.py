"""Who wants to drive where and when: weekly profiles, and the flow that each stretch of road is meant for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fieldcast.data.catalog.simulate.roads import Roads
from fieldcast.data.catalog.simulate.traffic import TICK

TICKS_PER_DAY = 24 * 60 // TICK
_FIRST_TICK = 3 * TICKS_PER_DAY  # simulations begin on a Thursday
_LEAVING = 0.09  # share that leaves a road behind an ordinary sensor
_LEAVING_AT_JUNCTION = 0.20


def weekly_profiles(clusters: int) -> np.ndarray:
    """Demand over the week from Monday 0:00, 1 at the main peak of a weekday: float32 [clusters, ticks].

    Even clusters have their main peak in the morning, odd ones in the evening (the ways into the city and out of it);
    further pairs have theirs at other hours.
    """
    hour = np.arange(TICKS_PER_DAY) * TICK / 60

    def hump(centre: float, width: float) -> np.ndarray:
        away = (hour - centre + 12) % 24 - 12
        return np.exp(-0.5 * (away / width) ** 2)

    weeks = []
    for cluster in range(clusters):
        shift = 1.3 * (cluster // 2)
        day = 0.10 + 0.46 * hump(13.0, 4.2) + 0.14 * hump(20.5, 2.0)
        morning, evening = hump(7.8 + shift, 1.15), hump(17.4 - shift, 1.5)
        weekday = day + (0.58 * morning + 0.30 * evening if cluster % 2 == 0 else 0.24 * morning + 0.52 * evening)
        friday = day + 0.9 * (weekday - day) + 0.06 * hump(15.5, 2.0)
        saturday = 0.12 + 0.58 * hump(14.0 + 0.3 * shift, 3.8) + 0.12 * hump(21.0, 2.2)
        sunday = 0.10 + 0.52 * hump(14.5 + 0.3 * shift, 3.6) + 0.10 * hump(19.0, 1.8)
        top = weekday.max()
        weeks.append(np.concatenate([weekday] * 4 + [friday, saturday, sunday]) / top)
    return np.stack(weeks).astype(np.float32)


@dataclass(frozen=True)
class Layout:
    """How much each stretch carries: ``capacity``, ``leaving`` and ``entering``, the demand at the peak, float32 [N].

    ``bottleneck`` bool [N] marks where the usual flow at the peak is more than the capacity.
    """

    capacity: np.ndarray
    leaving: np.ndarray
    entering: np.ndarray
    bottleneck: np.ndarray


def lay_out(roads: Roads, rng: np.random.Generator) -> Layout:
    """Give roads their usual flow, stretches their capacity, a few of them too little of it, and ramps their demand.

    Demand at a ramp is what the usual flow lacks there: a_i = L_i - (1 - b) L_{i-1} - turns from elsewhere, L the usual
    flow at the peak, b the share that has left.
    """
    nodes = len(roads.road)
    usual = rng.uniform(0.92, 1.16, roads.roads)[roads.road]
    first = np.searchsorted(roads.road, roads.road)
    count = np.bincount(roads.road)[roads.road]
    usual = usual * (0.88 + 0.22 * np.sin(np.pi * (np.arange(nodes) - first + 0.5) / count))
    capacity = np.clip(1.04 + 0.06 * rng.standard_normal(nodes), 0.90, 1.3)
    narrow = rng.random(nodes) < 0.15
    capacity = np.where(narrow, rng.uniform(0.82, 0.98, nodes), capacity)
    leaving = np.full(nodes, _LEAVING)
    leaving[roads.turns.getnnz(axis=0) > 0] = _LEAVING_AT_JUNCTION
    before = np.zeros(nodes)
    inner = np.flatnonzero(roads.following >= 0)
    before[inner + 1] = (usual * (1 - leaving))[inner]
    entering = np.maximum(usual - before - roads.turns @ (usual * leaving), 0.0)
    return Layout(
        capacity.astype(np.float32), leaving.astype(np.float32), entering.astype(np.float32), usual > capacity
    )


class Demand:
    """What wants to enter the roads, tick by tick: the profile, the mood of the day, and chance.

    ``next(tick)`` must be called for ticks in their order.
    """

    def __init__(self, roads: Roads, layout: Layout, clusters: int, ticks: int, rng: np.random.Generator):
        count = roads.roads
        corridor, way = np.divmod(np.arange(count), 2)
        self.road_cluster = (2 * corridor + (way + corridor) % 2) % clusters  # not all ways into the city run alike
        self._profiles = weekly_profiles(clusters)
        self._road, self._entering, self._rng = roads.road, layout.entering, rng
        days = -(-ticks // TICKS_PER_DAY)
        mood = 0.02 * rng.standard_normal((days, 1)) + 0.02 * rng.standard_normal((days, count))
        self._mood = np.exp(mood).astype(np.float32)
        self._late = np.rint(1.0 * rng.standard_normal((days, count))).astype(np.int64)  # ticks
        self._along = np.zeros(count, dtype=np.float32)
        self._local = np.zeros(len(roads.road), dtype=np.float32)

    def next(self, tick: int) -> np.ndarray:
        """Vehicles that want to enter at each sensor, a minute, in units of capacity: float32 [N]."""
        day = tick // TICKS_PER_DAY
        self._along = 0.98 * self._along + 0.006 * self._rng.standard_normal(self._along.shape, dtype=np.float32)
        self._local = 0.90 * self._local + 0.035 * self._rng.standard_normal(self._local.shape, dtype=np.float32)
        hour = (_FIRST_TICK + tick + self._late[day]) % self._profiles.shape[1]
        wanted = self._profiles[self.road_cluster, hour] * self._mood[day] * (1 + self._along)
        return np.maximum(self._entering * wanted[self._road] * (1 + self._local), 0)
