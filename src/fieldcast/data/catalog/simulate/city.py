"""A simulated city: road traffic with known truth, for the demo, the docs and the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.catalog.simulate.demand import TICKS_PER_DAY, Demand, lay_out
from fieldcast.data.catalog.simulate.faults import (
    HubKind,
    Look,
    OwnDynamics,
    apply_plants,
    check_options,
    draw_incidents,
    draw_plants,
    lose_readings,
    write_copies,
)
from fieldcast.data.catalog.simulate.roads import lay_roads
from fieldcast.data.catalog.simulate.traffic import TICK, Traffic
from fieldcast.data.catalog.simulate.truth import Incident, Simulation, Truth
from fieldcast.data.graph import Graph
from fieldcast.data.meta import Meta
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError, did_you_mean

_START = "2024-01-04"  # a Thursday, so that whole weeks end, and are tested, on working days
_SCALE = {"mph": 1.0, "km/h": 1.609344}
_LOWEST, _HIGHEST = 1.0, 74.0  # mph, what the sensors can show
_LANES = 7600.0  # vehicles per hour on a carriageway at capacity
_HUB = HubKind(lag=30, deviation=7.0, memory=45)  # mph


def simulated_city(
    nodes: int = 60,
    days: int = 28,
    *,
    frequency: str = "5min",
    seed: int = 0,
    missing: float = 0.02,
    incidents: float = 0.02,
    **options: Any,
) -> tuple[Readings, Graph]:
    """Simulated traffic speeds and their road graph; further options as in :func:`simulate_city`, without the truth."""
    simulation = simulate_city(
        nodes, days, frequency=frequency, seed=seed, missing=missing, incidents=incidents, **options
    )
    return simulation.readings, simulation.graph


def simulate_city(
    nodes: int = 60,
    days: int = 28,
    *,
    steps: int | None = None,
    frequency: str = "5min",
    seed: int = 0,
    missing: float = 0.02,
    outages: float = 0.5,
    incidents: float = 0.02,
    unit: str = "mph",
    flow: bool = False,
    clusters: int = 2,
    useless: int = 0,
    dead: int = 0,
    duplicates: int = 0,
    driven: int = 0,
    own_dynamics: float = 0.0,
) -> Simulation[Truth]:
    """Simulate the sensors of a fictitious city from Thursday, 4 January 2024, and tell the truth about them.

    Vehicles enter roads by weekly demand, pass from sensor to sensor by a cell transmission model
    (:class:`~fieldcast.data.catalog.simulate.traffic.Traffic`), turn at junctions and leave. Where more want to pass
    than can, a queue grows against the traffic. Demand differs from day to day and road to road, and varies within the
    hour; capacity too. Sensors show the speed times their gain, with noise. The same arguments give the same bits.

    Args:
        nodes: sensors, 1 or more; one stands for about 1.6 km of a carriageway.
        days: how long, unless ``steps`` gives the number of rows.
        frequency: the step, a multiple of 5 minutes that divides a day; a reading is the mean over its step.
        missing: share of the cells that are missing, less than 1.
        outages: share of the missing cells that are missing in blocks of hours.
        incidents: how many to expect for each sensor and day; each takes 35 to 75 % of the capacity for a while.
        unit: of the speed, ``mph`` or ``km/h``.
        flow: add the channel ``flow`` in veh/h.
        clusters: how many demand profiles there are; roads take them in turn.
        useless: how many sensors show white noise; no sensor is two of this and the next three.
        dead: how many show a constant.
        duplicates: how many repeat another sensor, to the bit.
        driven: how many a hub drives with a lag of about half an hour; 0 for no hub.
        own_dynamics: standard deviation, in ``unit``, of a dynamics that every sensor has of its own.

    Planting sensors leaves the readings of the others as they are, up to where outages fall.

    Shapes: readings [time, N, 1] or [time, N, 2]; the graph has edges downstream with Gaussian weights.

    Raises FieldcastError on values that cannot be simulated.
    """
    minutes = _minutes(frequency)
    rows = int(days * 24 * 60 // minutes) if steps is None else steps
    _check(nodes, rows, incidents, unit)
    check_options(
        missing, outages, own_dynamics, clusters, seed,
        useless=useless, dead=dead, duplicates=duplicates, driven=driven,
    )  # fmt: skip
    scale = _SCALE[unit]
    # A stream for each part, so that an option changes nothing but what it is about.
    streams = np.random.default_rng(seed).spawn(10)
    laying, usual, asking, failing, varying, sensing, counting, planting, living, losing = streams

    roads = lay_roads(nodes, laying)
    layout = lay_out(roads, usual)
    traffic = Traffic(roads, layout.capacity, layout.leaving)
    span = minutes // TICK
    demand = Demand(roads, layout, clusters, rows * span, asking)
    events = draw_incidents(nodes, rows * span, incidents / TICKS_PER_DAY, failing)
    sensors = _Sensors(nodes, minutes, sensing, counting)
    own = OwnDynamics(nodes, own_dynamics / scale, living)
    plants = draw_plants(
        roads.following, rows, minutes, scale, _HUB,
        useless=useless, dead=dead, duplicates=duplicates, driven=driven, rng=planting,
    )  # fmt: skip

    values = np.empty((rows, nodes, 1 + flow), dtype=np.float32)
    road_state = _Capacity(nodes, events, varying)
    for row in range(rows):
        passed, share = np.zeros(nodes, dtype=np.float32), np.zeros(nodes, dtype=np.float32)
        for tick in range(row * span, (row + 1) * span):
            tick_flow, tick_share = traffic.tick(demand.next(tick), road_state.next(tick))
            passed += tick_flow / span
            share += tick_share / span
        speed = sensors.speed(passed, share)
        if own_dynamics:
            speed += own.next()
        values[row, :, 0] = np.clip(speed, _LOWEST, _HIGHEST) * scale
        if flow:
            values[row, :, 1] = sensors.flow(passed)
    highest = _HIGHEST * scale
    looks = (Look(0.75 * highest, 0.12 * highest, 0, (0, 0.75 * highest)), Look(3500.0, 900.0, 0, (0, 3500.0)))
    apply_plants(values, plants, _LOWEST * scale, highest, looks[: 1 + flow], planting)
    lost = lose_readings(values, missing, outages, minutes, losing)
    lost = write_copies(values, plants, lost)

    meta = Meta(
        name="simulated_city",
        frequency=frequency,
        targets=("speed",),
        null_rule="NaN only: every number is a reading",
        default_split="windows-first 7:1:2",
        units={"speed": unit} | ({"flow": "veh/h"} if flow else {}),
        role="simulated road traffic of a fictitious city: for demonstrations and tests, no evidence about real roads",
    )
    readings = Readings.from_array(
        values, start=_START, frequency=frequency, nodes=roads.names, channels=("speed", "flow")[: 1 + flow],
        coordinates=roads.coordinates, meta=meta, source="the simulated city", copy=False,
    )  # fmt: skip
    copies, copied = plants.duplicates
    for array in (sensors.gain, sensors.free_speed):  # what a copy shows is what the copied sensor made
        array[copies] = array[copied]
    truth = Truth(
        gain=sensors.gain,
        free_speed=sensors.free_speed * np.float32(scale),
        road=roads.road,
        following=roads.following,
        cluster=demand.road_cluster[roads.road],
        bottleneck=layout.bottleneck,
        useless=plants.useless,
        dead=plants.dead,
        duplicates=plants.duplicates,
        own_dynamics=own.told(plants),
        hub=plants.hub,
        incidents=tuple(Incident(e.node, e.start // span, -(-e.end // span), e.capacity_left) for e in events),
        outages=lost,
    )
    return Simulation(readings, roads.graph, truth)


class _Sensors:
    """How sensors show what passes them: gain, a slow drift of the drivers' speed, noise that is larger in queues."""

    def __init__(self, nodes: int, minutes: int, rng: np.random.Generator, counting: np.random.Generator):
        self._rng, self._counting = rng, counting
        self.gain = (1 + 0.025 * rng.standard_normal(nodes)).astype(np.float32)
        self.free_speed = np.clip(66.5 + 2.5 * rng.standard_normal(nodes), 58, 71).astype(np.float32)
        self._noise = rng.lognormal(np.log(1.2), 0.5, nodes).astype(np.float32) * np.float32((TICK / minutes) ** 0.25)
        self._memory = np.float32(np.exp(-minutes / 20))
        self._drift = rng.standard_normal(nodes, dtype=np.float32)

    def speed(self, passed: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Readings in mph from flow and the share of free speed, all float32 [N]."""
        nodes = len(passed)
        fresh = self._rng.standard_normal(nodes, dtype=np.float32)
        self._drift = self._memory * self._drift + np.sqrt(1 - self._memory**2) * fresh
        crowded = np.square(np.square(passed))
        speed = self.free_speed * (0.04 + 0.96 * share) * (1 - 0.07 * passed - 0.07 * crowded) + 1.9 * self._drift
        noise = self._rng.standard_normal(nodes, dtype=np.float32)
        noise -= 0.3 * np.square(noise)  # one slow lorry tells more than one fast car
        deviation = self._noise / np.sqrt(0.15 + passed) + 9.0 * share * (1 - share)  # fewer vehicles, rougher means
        return (speed + deviation * noise) * self.gain

    def flow(self, passed: np.ndarray) -> np.ndarray:
        """Vehicles per hour, whole ones: float32 [N]."""
        noise = self._counting.standard_normal(len(passed), dtype=np.float32)
        return np.rint(_LANES * passed * np.maximum(1 + 0.04 * noise, 0))


class _Capacity:
    """The share of its capacity that incidents and chance leave each road."""

    def __init__(self, nodes: int, events: list[Incident], rng: np.random.Generator):
        self._rng = rng
        self._left = np.ones(nodes, dtype=np.float32)
        self._chance = np.zeros(nodes, dtype=np.float32)
        self._changes: dict[int, list[tuple[int, float]]] = {}
        for event in events:  # ends first: an incident may begin in the tick in which another ends
            self._changes.setdefault(event.end, []).insert(0, (event.node, 1.0))
            self._changes.setdefault(event.start, []).append((event.node, event.capacity_left))

    def next(self, tick: int) -> np.ndarray:
        for node, left in self._changes.get(tick, ()):
            self._left[node] = left
        self._chance = 0.90 * self._chance + 0.012 * self._rng.standard_normal(len(self._chance), dtype=np.float32)
        return self._left * np.maximum(1 + self._chance, 0.1)


def _minutes(frequency: str) -> int:
    """The step in minutes, a multiple of a tick that divides a day."""
    try:
        minutes = pd.Timedelta(pd.tseries.frequencies.to_offset(frequency)).total_seconds() / 60
    except (ValueError, TypeError):
        minutes = 0.0
    if minutes <= 0 or minutes % TICK or 24 * 60 % minutes:
        raise FieldcastError(
            f"the simulated city has no frequency '{frequency}': give a multiple of {TICK} minutes that divides a day, "
            "as '5min', '15min' or '1h'."
        )
    return int(minutes)


def _check(nodes: int, rows: int, incidents: float, unit: str) -> None:
    if nodes < 1 or rows < 1:
        raise FieldcastError(f"a city of {nodes} nodes and {rows} rows cannot be simulated: give 1 or more of each.")
    if not 0 <= incidents <= 24:
        raise FieldcastError(f"incidents is {incidents!r}: give how many a sensor sees a day, from 0 to 24.")
    if unit not in _SCALE:
        raise FieldcastError(f"there is no unit '{unit}' of speed{did_you_mean(unit, _SCALE)}: give mph or km/h.")
