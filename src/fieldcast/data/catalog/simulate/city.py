"""A simulated city: road traffic with known truth, for the demo, the docs and the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.catalog.simulate.demand import TICKS_PER_DAY, lay_out, weekly_profiles
from fieldcast.data.catalog.simulate.faults import apply_plants, draw_incidents, draw_plants, lose_readings
from fieldcast.data.catalog.simulate.roads import lay_roads
from fieldcast.data.catalog.simulate.traffic import TICK, Traffic
from fieldcast.data.catalog.simulate.truth import Incident, Simulation, Truth
from fieldcast.data.graph import Graph
from fieldcast.data.meta import Meta
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

_START = "2024-01-01"  # a Monday
_SCALE = {"mph": 1.0, "km/h": 1.609344}
_LOWEST, _HIGHEST = 1.0, 72.0  # mph, what the sensors can show
_LANES = 7600.0  # vehicles per hour on a carriageway at capacity


def simulated_city(
    nodes: int = 60,
    days: int = 28,
    *,
    frequency: str = "5min",
    seed: int = 0,
    missing: float = 0.02,
    incidents: float = 0.03,
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
    incidents: float = 0.03,
    unit: str = "mph",
    flow: bool = False,
    clusters: int = 2,
    useless: int = 0,
    dead: int = 0,
    duplicates: int = 0,
    driven: int = 0,
    own_dynamics: float = 0.0,
) -> Simulation:
    """Simulate the sensors of a fictitious city from Monday, 1 January 2024, and tell the truth about them.

    Vehicles enter roads by weekly demand, pass from sensor to sensor by a cell transmission model
    (:class:`~fieldcast.data.catalog.simulate.traffic.Traffic`), turn at junctions and leave. Where more want to pass
    than can, a queue grows against the traffic. Demand differs from day to day and road to road, and varies within the
    hour; capacity too. Sensors show the speed times their gain, with noise. The same arguments give the same bits.

    Args:
        nodes: sensors, 1 or more; one stands for about 1.6 km of a carriageway.
        days: how long, unless ``steps`` gives the number of rows.
        frequency: the step, a multiple of 5 minutes that divides a day; a reading is the mean over its step.
        missing: share of the cells that are missing, less than 1; ``outages`` of it in blocks of hours.
        incidents: how many to expect for each sensor and day; each takes 35 to 75 % of the capacity for a while.
        unit: of the speed, ``mph`` or ``km/h``.
        flow: add the channel ``flow`` in veh/h.
        clusters: how many demand profiles there are; roads take them in turn.
        useless: sensors that show white noise. ``dead``: ones that show a constant. ``duplicates``: ones that repeat
            another sensor. No sensor is two of these.
        driven: sensors that a hub drives with a lag of about half an hour.
        own_dynamics: standard deviation, in ``unit``, of a dynamics that every sensor has of its own.

    Planting sensors leaves the readings of the others as they are, up to where outages fall.

    Shapes: readings [time, N, 1] or [time, N, 2]; the graph has edges downstream with Gaussian weights.

    Raises FieldcastError on values that cannot be simulated.
    """
    minutes = _minutes(frequency)
    rows = days * 24 * 60 // minutes if steps is None else steps
    _check(nodes, rows, missing, outages, incidents, unit, clusters, own_dynamics)
    _check_counts(useless=useless, dead=dead, duplicates=duplicates, driven=driven)
    scale = _SCALE[unit]
    streams = np.random.default_rng(seed).spawn(8)
    laying, usual, moving, failing, sensing, planting, living, losing = streams

    roads = lay_roads(nodes, laying)
    layout = lay_out(roads, usual)
    traffic = Traffic(roads, layout.capacity, layout.leaving)
    profiles = weekly_profiles(clusters)
    cluster = (roads.road + (roads.road // 2) % 2) % clusters  # neighbouring corridors peak in opposite directions
    ticks_per_row = minutes // TICK
    ticks = rows * ticks_per_row
    events = draw_incidents(nodes, ticks, incidents / TICKS_PER_DAY, failing)
    day_factor, day_shift = _days(roads.roads, ticks, moving)
    plants = draw_plants(
        roads.following, rows, minutes, scale,
        useless=useless, dead=dead, duplicates=duplicates, driven=driven, rng=planting,
    )  # fmt: skip

    gain = (1 + 0.025 * sensing.standard_normal(nodes)).astype(np.float32)
    free_speed = np.clip(66.5 + 2.5 * sensing.standard_normal(nodes), 58, 72).astype(np.float32)
    memory = np.float32(np.exp(-minutes / 60))
    slow = sensing.standard_normal(nodes, dtype=np.float32)
    own = _OwnDynamics(nodes, own_dynamics / scale, living)
    local = np.zeros(nodes, dtype=np.float32)
    chance = np.zeros(nodes, dtype=np.float32)
    along = np.zeros(roads.roads, dtype=np.float32)
    left = np.ones(nodes, dtype=np.float32)
    starting, ending = _by_tick(events)
    values = np.empty((rows, nodes, 1 + flow), dtype=np.float32)
    for row in range(rows):
        passed, share = np.zeros(nodes, dtype=np.float32), np.zeros(nodes, dtype=np.float32)
        for tick in range(row * ticks_per_row, (row + 1) * ticks_per_row):
            for event in ending.get(tick, ()):
                left[event.node] = 1
            for event in starting.get(tick, ()):
                left[event.node] = event.capacity_left
            day, now = divmod(tick, TICKS_PER_DAY)
            along = 0.98 * along + 0.012 * moving.standard_normal(roads.roads, dtype=np.float32)
            local = 0.90 * local + 0.045 * moving.standard_normal(nodes, dtype=np.float32)
            chance = 0.97 * chance + 0.010 * moving.standard_normal(nodes, dtype=np.float32)
            hour = (day % 7 * TICKS_PER_DAY + now + day_shift[day]) % profiles.shape[1]
            wanted = profiles[np.arange(roads.roads) % 1 + cluster_of_road(roads.roads, clusters), hour]
            wanted = wanted * day_factor[day] * (1 + along)
            demand = layout.entering * wanted[roads.road] * (1 + local)
            tick_flow, tick_share = traffic.tick(np.maximum(demand, 0), left * (1 + chance))
            passed += tick_flow
            share += tick_share
        passed /= ticks_per_row
        share /= ticks_per_row
        slow = memory * slow + np.sqrt(1 - memory**2) * sensing.standard_normal(nodes, dtype=np.float32)
        speed = free_speed * share * (1 - 0.05 * passed) + slow
        speed += sensing.standard_normal(nodes, dtype=np.float32) * (0.9 + 2.6 * (1 - share))
        speed *= gain
        if own_dynamics:
            speed += own.step()
        values[row, :, 0] = np.clip(speed, _LOWEST, _HIGHEST) * scale
        if flow:
            values[row, :, 1] = np.rint(_LANES * passed * (1 + 0.04 * sensing.standard_normal(nodes, dtype=np.float32)))
    apply_plants(values, plants, _LOWEST * scale, _HIGHEST * scale, planting)
    lost = lose_readings(values, missing, outages, minutes, losing)
    values[:, plants.duplicates[0]] = values[:, plants.duplicates[1]]
    return None
