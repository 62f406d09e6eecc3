"""Who wants to drive where and when: weekly profiles, and the flow that each stretch of road is meant for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fieldcast.data.catalog.simulate.roads import Roads
from fieldcast.data.catalog.simulate.traffic import TICK

TICKS_PER_DAY = 24 * 60 // TICK
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
    """How much each stretch carries: ``capacity``, ``leaving`` and ``entering``, the demand at the peak, float32 [N]."""

    capacity: np.ndarray
    leaving: np.ndarray
    entering: np.ndarray


def lay_out(roads: Roads, rng: np.random.Generator) -> Layout:
    """Give roads their usual flow, stretches their capacity, a few of them too little of it, and ramps their demand.

    Demand at a ramp is what the usual flow lacks there: a_i = L_i - (1 - b) L_{i-1} - turns from elsewhere, L the usual
    flow at the peak, b the share that has left.
    """
    nodes = len(roads.road)
    usual = rng.uniform(0.72, 0.96, roads.roads)[roads.road]
    first = np.searchsorted(roads.road, roads.road)
    count = np.bincount(roads.road)[roads.road]
    usual = usual * (0.88 + 0.22 * np.sin(np.pi * (np.arange(nodes) - first + 0.5) / count))
    capacity = np.clip(1.04 + 0.06 * rng.standard_normal(nodes), 0.90, 1.3)
    narrow = rng.random(nodes) < 0.10
    capacity = np.where(narrow, rng.uniform(0.82, 0.96, nodes), capacity)
    leaving = np.full(nodes, _LEAVING)
    leaving[roads.turns.getnnz(axis=0) > 0] = _LEAVING_AT_JUNCTION
    before = np.zeros(nodes)
    inner = np.flatnonzero(roads.following >= 0)
    before[inner + 1] = (usual * (1 - leaving))[inner]
    entering = np.maximum(usual - before - roads.turns @ (usual * leaving), 0.0)
    return Layout(capacity.astype(np.float32), leaving.astype(np.float32), entering.astype(np.float32))
