"""What goes wrong in a simulated city: incidents on the road, and sensors that fail or are not what they seem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fieldcast.data.catalog.simulate.truth import Hub, Incident, Outage
from fieldcast.errors import FieldcastError

_HUB_LAG = 30  # minutes
_HUB_DEVIATION = 7.0  # mph
_HUB_MEMORY = 45  # minutes


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
    *,
    useless: int,
    dead: int,
    duplicates: int,
    driven: int,
    rng: np.random.Generator,
) -> Plants:
    """Choose different sensors for each role; a copy copies the next sensor downstream where that one has no role."""
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
        lag = max(1, round(_HUB_LAG / minutes))
        memory = np.exp(-minutes / _HUB_MEMORY)
        noise = rng.standard_normal(rows + lag) * _HUB_DEVIATION * scale * np.sqrt(1 - memory**2)
        signal = np.empty(rows + lag)
        state = rng.standard_normal() * _HUB_DEVIATION * scale
        for row in range(rows + lag):
            state = memory * state + noise[row]
            signal[row] = state
        strength = rng.uniform(0.6, 1.0, driven).astype(np.float32)
        hub = Hub(int(ordinary[0]), np.sort(ordinary[1 : driven + 1]), strength, lag, signal.astype(np.float32))
    return Plants(np.sort(parts[0]), np.sort(parts[1]), np.stack([copies, copied]).astype(np.int64), hub)


def apply_plants(values: np.ndarray, plants: Plants, lowest: float, highest: float, rng: np.random.Generator) -> None:
    """Write planted sensors over ``values`` [time, N, C] (channel 0 the speed), in place; copies come later.

    A sensor that is useless or dead is so in every channel; the hub drives speeds alone.
    """
    rows, _, channels = values.shape
    if plants.hub is not None:
        hub = plants.hub
        values[:, hub.node, 0] = np.clip(values[:, hub.node, 0] + hub.signal[hub.lag :], lowest, highest)
        driven = values[:, hub.driven, 0] + hub.signal[:rows, None] * hub.strength
        values[:, hub.driven, 0] = np.clip(driven, lowest, highest)
    for channel in range(channels):
        mean, deviation = (0.75 * highest, 0.12 * highest) if channel == 0 else (3500.0, 900.0)
        noise = rng.standard_normal((rows, len(plants.useless)), dtype=np.float32)
        values[:, plants.useless, channel] = np.maximum(mean + deviation * noise, 0)
        values[:, plants.dead, channel] = np.rint(rng.uniform(0, mean, len(plants.dead)))


def lose_readings(
    values: np.ndarray, missing: float, outages: float, minutes: int, rng: np.random.Generator
) -> list[Outage]:
    """Set a share ``missing`` of the cells of ``values`` [time, N, C] to NaN, in place; ``outages`` of it in blocks.

    A sensor loses all its channels at once. Blocks last 6 hours on average, and never more than a third of the rows.
    """
    rows, nodes, _ = values.shape
    wanted = missing * rows * nodes
    blocks: list[Outage] = []
    lost = 0
    if wanted * outages >= 1:
        longest = max(1, min(rows // 3, 2 * 24 * 60 // minutes))
        usual = 6 * 60 / minutes
        count = int(2 * wanted * outages / max(1.0, min(usual, longest) / 2)) + 1
        lasting = np.clip(np.rint(rng.exponential(usual, count)), 1, longest).astype(np.int64)
        lasting = lasting[np.cumsum(lasting) <= wanted * outages]
        where = rng.integers(0, nodes, len(lasting))
        start = (rng.random(len(lasting)) * (rows - lasting + 1)).astype(np.int64)
        for node, begin, length in zip(where.tolist(), start.tolist(), lasting.tolist(), strict=True):
            values[begin : begin + length, node] = np.nan
            blocks.append(Outage(node, begin, begin + length))
        lost = sum(int(np.isnan(values[row, :, 0]).sum()) for row in range(rows))
    share = np.float32(max(wanted - lost, 0) / max(rows * nodes - lost, 1))
    if share > 0:
        for row in range(rows):
            values[row, rng.random(nodes, dtype=np.float32) < share] = np.nan
    return blocks
