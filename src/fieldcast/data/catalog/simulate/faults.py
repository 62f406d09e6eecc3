"""What goes wrong in a simulation: incidents on the road, and sensors that fail or are not what they seem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from fieldcast.data.catalog.simulate.truth import Hub, Incident, Outage
from fieldcast.errors import FieldcastError


class HubKind(NamedTuple):
    """What a hub sends: an AR(1) of this standard deviation and memory, with this lag; both times in minutes."""

    lag: float
    deviation: float
    memory: float


class Look(NamedTuple):
    """What planted sensors show in a channel: useless ones max(mean + deviation noise, least), dead ones a whole number
    between the two of ``stuck``."""

    mean: float
    deviation: float
    least: float
    stuck: tuple[float, float]


def check_options(missing: float, outages: float, own_dynamics: float, clusters: int, seed: int, **counts: int) -> None:
    """Raise FieldcastError on options, common to all simulations, that make no sense; ``counts`` are of sensors."""
    if not 0 <= missing < 1:
        raise FieldcastError(f"missing is {missing!r}: give the share of cells that are missing, from 0 to below 1.")
    if not 0 <= outages <= 1:
        raise FieldcastError(f"outages is {outages!r}: give the share of the missing cells in blocks, from 0 to 1.")
    if not 0 <= own_dynamics < np.inf:
        raise FieldcastError(f"own_dynamics is {own_dynamics!r}: give a standard deviation of 0 or more.")
    for name, count in counts.items():
        if count < 0:
            raise FieldcastError(f"{name} is {count}: give how many sensors to plant, 0 or more.")
    if clusters < 1 or seed < 0:
        name, value, least = ("seed", seed, 0) if seed < 0 else ("clusters", clusters, 1)
        raise FieldcastError(f"{name} is {value!r}: give a whole number of {least} or more.")


def draw_incidents(nodes: int, ticks: int, per_tick: float, rng: np.random.Generator) -> list[Incident]:
    """Incidents in ticks, in the order of their start; of two that overlap at a node the later is left out."""
    count = int(rng.poisson(per_tick * nodes * ticks))
    where = rng.integers(0, nodes, count)
    start = rng.integers(0, ticks, count)
    lasting = np.clip(np.rint(rng.lognormal(np.log(7), 0.6, count)), 2, 36).astype(np.int64)
    left = rng.uniform(0.25, 0.65, count)
    free_again = np.zeros(nodes, dtype=np.int64)
    incidents = []
    for event in np.argsort(start, kind="stable"):
        node, begin, end = int(where[event]), int(start[event]), int(start[event] + lasting[event])
        if begin >= free_again[node]:
            free_again[node] = end
            incidents.append(Incident(node, begin, min(end, ticks), float(left[event])))
    return incidents


@dataclass(frozen=True, eq=False)
class Plants:
    """Which sensors are planted to be what, see :class:`~fieldcast.data.catalog.simulate.truth.Truth`."""

    useless: np.ndarray
    dead: np.ndarray
    duplicates: np.ndarray
    hub: Hub | None


def draw_plants(
    following: np.ndarray,
    rows: int,
    minutes: int,
    scale: float,
    kind: HubKind,
    *,
    useless: int,
    dead: int,
    duplicates: int,
    driven: int,
    rng: np.random.Generator,
) -> Plants:
    """Choose different sensors for each role; a copy copies the sensor that ``following`` int64 [N] names for it where
    there is one (not -1) and it has no role.

    ``scale`` is how many units of the readings make one of ``kind``.
    """
    nodes = len(following)
    wanted = useless + dead + duplicates
    ordinary_needed = max(1 if duplicates else 0, driven + 1 if driven else 0)
    if wanted + ordinary_needed > nodes:
        raise FieldcastError(
            f"{useless} useless, {dead} dead, {duplicates} duplicated and {driven} driven sensors do not fit among "
            f"{nodes} nodes: plant fewer or simulate more nodes."
        )
    order = rng.permutation(nodes)
    parts = np.split(order, np.cumsum([useless, dead, duplicates]))
    copies, ordinary = np.sort(parts[2]), parts[3]
    copied = following[copies]
    unfit = (copied < 0) | ~np.isin(copied, ordinary)
    copied = np.where(
        unfit, ordinary[rng.integers(0, max(len(ordinary), 1), len(copies))] if duplicates else -1, copied
    )
    hub = None
    if driven:
        lag = max(1, round(kind.lag / minutes))
        memory = np.exp(-minutes / kind.memory)
        noise = rng.standard_normal(rows + lag) * kind.deviation * scale * np.sqrt(1 - memory**2)
        signal = np.empty(rows + lag)
        state = rng.standard_normal() * kind.deviation * scale
        for row in range(rows + lag):
            state = memory * state + noise[row]
            signal[row] = state
        strength = rng.uniform(0.6, 1.0, driven).astype(np.float32)
        hub = Hub(int(ordinary[0]), np.sort(ordinary[1 : driven + 1]), strength, lag, signal.astype(np.float32))
    return Plants(np.sort(parts[0]), np.sort(parts[1]), np.stack([copies, copied]).astype(np.int64), hub)


def apply_plants(
    values: np.ndarray,
    plants: Plants,
    lowest: float,
    highest: float,
    looks: Sequence[Look],
    rng: np.random.Generator,
) -> None:
    """Write planted sensors over ``values`` [time, N, C], in place; copies come later (:func:`write_copies`).

    A sensor that is useless or dead is so in every channel, as ``looks`` [C] says; the hub drives channel 0 alone,
    which stays between ``lowest`` and ``highest``.
    """
    rows = len(values)
    if plants.hub is not None:
        hub = plants.hub
        values[:, hub.node, 0] = np.clip(values[:, hub.node, 0] + hub.signal[hub.lag :], lowest, highest)
        driven = values[:, hub.driven, 0] + hub.signal[:rows, None] * hub.strength
        values[:, hub.driven, 0] = np.clip(driven, lowest, highest)
    for channel, look in enumerate(looks):
        noise = rng.standard_normal((rows, len(plants.useless)), dtype=np.float32)
        values[:, plants.useless, channel] = np.maximum(look.mean + look.deviation * noise, look.least)
        values[:, plants.dead, channel] = np.rint(rng.uniform(*look.stuck, len(plants.dead)))


class OwnDynamics:
    """A damped oscillation for each node: x_t = a x_{t-1} + b x_{t-2} + noise, poles r exp(+-i 2 pi / period)."""

    def __init__(self, nodes: int, deviation: float, rng: np.random.Generator):
        radius, period = rng.uniform(0.90, 0.98, nodes), rng.uniform(6, 48, nodes)
        first, second = 2 * radius * np.cos(2 * np.pi / period), -(radius**2)
        variance = (1 - second) / ((1 + second) * ((1 - second) ** 2 - first**2))  # for noise of variance 1
        self.first, self.second = first.astype(np.float32), second.astype(np.float32)
        self._noise = (deviation / np.sqrt(variance)).astype(np.float32)
        self._state = np.zeros((2, nodes), dtype=np.float32)
        self._planted = deviation > 0
        self._rng = rng

    def next(self) -> np.ndarray:
        """One more row: float32 [N]."""
        noise = self._noise * self._rng.standard_normal(len(self._noise), dtype=np.float32)
        now = self.first * self._state[0] + self.second * self._state[1] + noise
        self._state = np.stack([now, self._state[0]])
        return now

    def told(self, plants: Plants) -> np.ndarray:
        """(a, b) of what each sensor shows, zero where nothing was planted or it is not shown: float32 [2, N]."""
        told = np.stack([self.first, self.second]) * np.float32(self._planted)
        told[:, np.concatenate([plants.useless, plants.dead])] = 0
        copies, copied = plants.duplicates
        told[:, copies] = told[:, copied]
        return told


def lose_blocks(values: np.ndarray, wanted: float, minutes: int, rng: np.random.Generator) -> list[Outage]:
    """Set blocks of about ``wanted`` cells (a sensor and row) of ``values`` [time, N, C] to NaN, in place.

    A sensor loses all its channels at once. Blocks last 6 hours on average, and never more than a third of the rows.
    """
    rows, nodes, _ = values.shape
    if wanted < 1:
        return []
    longest = max(1, min(rows // 3, 2 * 24 * 60 // minutes))
    usual = 6 * 60 / minutes
    count = int(2 * wanted / max(1.0, min(usual, longest) / 2)) + 1
    drawn = rng.exponential(usual, count)
    lasting = np.clip(np.rint(drawn, out=drawn), 1, longest, out=drawn).astype(np.int64)
    del drawn
    lasting = lasting[np.cumsum(lasting) <= wanted]
    where = rng.integers(0, nodes, len(lasting))
    start = (rng.random(len(lasting)) * (rows - lasting + 1)).astype(np.int64)
    blocks: list[Outage] = []
    for node, begin, length in zip(where.tolist(), start.tolist(), lasting.tolist(), strict=True):
        values[begin : begin + length, node] = np.nan
        blocks.append(Outage(node, begin, begin + length))
    return blocks


def lose_readings(
    values: np.ndarray, missing: float, outages: float, minutes: int, rng: np.random.Generator, *, together: bool = True
) -> list[Outage]:
    """Set a share ``missing`` of the cells of ``values`` [time, N, C] to NaN, in place; ``outages`` of it in blocks.

    The other cells are lost one by one: ``together`` in all channels at once, otherwise each channel for itself.
    """
    rows, nodes, channels = values.shape
    wanted = missing * rows * nodes
    blocks = lose_blocks(values, wanted * outages, minutes, rng)
    lost = sum(int(np.isnan(values[row, :, 0]).sum()) for row in range(rows)) if wanted * outages >= 1 else 0
    share = np.float32(max(wanted - lost, 0) / max(rows * nodes - lost, 1))
    if share > 0:
        shape = (nodes,) if together else (nodes, channels)
        for row in range(rows):
            values[row, rng.random(shape, dtype=np.float32) < share] = np.nan
    return blocks


def write_copies(values: np.ndarray, plants: Plants, lost: list[Outage]) -> tuple[Outage, ...]:
    """Let copies repeat, in place, what they copy, outages too; return all outages in the order of their start."""
    copies, copied = plants.duplicates.tolist()
    values[:, copies] = values[:, copied]
    repeated: dict[int, list[Outage]] = {original: [] for original in copied}
    own = set(copies)
    lost = [outage for outage in lost if outage.node not in own]  # a copy fails when what it copies does
    for outage in lost:
        if outage.node in repeated:
            repeated[outage.node].append(outage)
    for copy, original in zip(copies, copied, strict=True):
        lost += [outage._replace(node=copy) for outage in repeated[original]]
    lost.sort(key=attrgetter("node"))  # twice, since a key of two would take more memory than the outages
    lost.sort(key=attrgetter("start"))
    return tuple(lost)
