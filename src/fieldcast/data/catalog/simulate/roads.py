"""The roads of the simulated city: carriageways as chains of sensors, junctions where they cross, the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from fieldcast.data.graph import Graph

SPACING = 1.6  # km between sensors, on average
_KERNEL = 2 * SPACING  # km at which the weight of an edge has fallen to 1/e
_TURNING = 0.8  # share of the vehicles leaving at a junction that goes on to the other road; the rest leaves the city
_ORIGIN = (40.0, -40.0)  # latitude, longitude: open ocean, so that no map takes it for a real place
_KM_PER_DEGREE = 111.195


@dataclass(frozen=True)
class Roads:
    """Carriageways laid out in a plane; the sensors of one stand next to each other, in the direction of travel.

    Shapes: ``road`` int64 [N] carriageway of a sensor; ``following`` int64 [N] the next sensor downstream, -1 at the
    end; ``length`` float32 [N] km of road that a sensor stands for; ``coordinates`` float64 [N, 2] latitude and
    longitude; ``turns`` [N, N] sparse, entry (i, j) the share of what leaves the road at j that enters it at i.
    """

    names: tuple[str, ...]
    road: np.ndarray
    following: np.ndarray
    length: np.ndarray
    coordinates: np.ndarray
    turns: sparse.csr_matrix
    graph: Graph

    @property
    def roads(self) -> int:
        return int(self.road[-1]) + 1


@dataclass(frozen=True)
class _Corridor:
    """A gently winding street with a carriageway each way; ``vertical`` ones run north, the others east."""

    vertical: bool
    offset: float
    bend: float
    wave: float
    phase: float

    def across(self, along: np.ndarray) -> np.ndarray:
        """Where the corridor is across its direction, in km, at ``along`` km in its direction."""
        return self.offset + self.bend * np.sin(along * (2 * np.pi / self.wave) + self.phase)


def lay_roads(nodes: int, rng: np.random.Generator) -> Roads:
    """Lay corridors east and north through each other, a carriageway each way, ``nodes`` sensors in all."""
    corridors_wanted = max(1, round(float(np.sqrt(nodes)) / 2.6))
    roads = min(2 * corridors_wanted, max(1, nodes // 4))
    road = np.sort(np.arange(nodes) % roads)
    first = np.searchsorted(road, np.arange(roads + 1))
    width = SPACING * nodes / roads
    corridors = _corridors((roads + 1) // 2, width, rng)

    along = np.empty(nodes)
    plane = np.empty((nodes, 2))
    for number in range(roads):
        part = slice(first[number], first[number + 1])
        steps = SPACING * rng.uniform(0.7, 1.3, part.stop - part.start)
        place = np.cumsum(steps) - steps.sum() / 2
        corridor, forward = corridors[number // 2], number % 2 == 0
        along[part] = place if forward else place[::-1]
        across = corridor.across(along[part]) + (-0.06 if forward == corridor.vertical else 0.06)
        plane[part] = np.stack([across, along[part]] if corridor.vertical else [along[part], across], axis=1)

    following = np.arange(1, nodes + 1)
    following[first[1:] - 1] = -1
    length = np.full(nodes, SPACING)
    inner = np.flatnonzero(following >= 0)
    length[inner] = np.linalg.norm(plane[inner + 1] - plane[inner], axis=1)
    source, target = _junctions(corridors, along, first, roads)
    share = _TURNING / np.maximum(np.bincount(source, minlength=nodes), 1)
    turns = sparse.csr_matrix((share[source].astype(np.float32), (target, source)), (nodes, nodes))
    return Roads(
        _names(corridors, road, first),
        road,
        following,
        length.astype(np.float32),
        _degrees(plane),
        turns,
        _graph(plane, following, source, target),
    )


def _corridors(count: int, width: float, rng: np.random.Generator) -> list[_Corridor]:
    """Corridors turn by turn to the east and to the north, evenly spread over the width of the city."""
    corridors = []
    for number in range(count):
        vertical = number % 2 == 1
        parallel = (count - vertical + 1) // 2
        gap = width / parallel
        offset = (number // 2 + 0.5) * gap - width / 2 + rng.uniform(-0.15, 0.15) * gap
        bend = rng.uniform(0.05, 0.12) * min(gap, 20)
        corridors.append(_Corridor(vertical, offset, bend, rng.uniform(0.6, 1.2) * gap, rng.uniform(0, 2 * np.pi)))
    return corridors


def _junctions(
    corridors: list[_Corridor], along: np.ndarray, first: np.ndarray, roads: int
) -> tuple[np.ndarray, np.ndarray]:
    """From the last sensor before each crossing to the first one behind it on the other road: int64 [turns] twice."""
    before: list[np.ndarray] = []
    behind: list[np.ndarray] = []
    crossed = _crossings(corridors)
    for number in range(roads):
        place = along[first[number] : first[number + 1]]
        ways = crossed[number // 2]
        forward = number % 2 == 0
        position = np.searchsorted(place, ways) if forward else len(place) - np.searchsorted(place[::-1], ways)
        before.append(np.where(position > 0, first[number] + position - 1, -1))
        behind.append(np.where(position < len(place), first[number] + position, -1))
    source, target = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for number in range(roads):
        vertical = corridors[number // 2].vertical
        others = [other for other, corridor in enumerate(corridors) if corridor.vertical != vertical]
        mine = (number // 2) // 2  # my place among the corridors that run as I do
        for position, other in enumerate(others):
            for way in (2 * other, 2 * other + 1):
                if way < roads:
                    source.append(before[number][position : position + 1])
                    target.append(behind[way][mine : mine + 1])
    start, end = np.concatenate(source), np.concatenate(target)
    keep = (start >= 0) & (end >= 0)
    return start[keep].astype(np.int64), end[keep].astype(np.int64)


def _crossings(corridors: list[_Corridor]) -> list[np.ndarray]:
    """For each corridor, where on its way it crosses each of the others that run across: km [crossings]."""
    ways = []
    for corridor in corridors:
        others = [other for other in corridors if other.vertical != corridor.vertical]
        along = np.array([other.offset for other in others], dtype=np.float64)
        for _ in range(8):  # both wind so gently that going to and fro between them converges
            here = corridor.across(along)
            along = np.array([float(other.across(here[i])) for i, other in enumerate(others)], dtype=np.float64)
        ways.append(along)
    return ways


def _names(corridors: list[_Corridor], road: np.ndarray, first: np.ndarray) -> tuple[str, ...]:
    """Names such as ``2N-07``: the seventh sensor of the second corridor, on the way north."""
    letters = [("NS" if corridors[number // 2].vertical else "EW")[number % 2] for number in range(len(first) - 1)]
    return tuple(f"{r // 2 + 1}{letters[r]}-{i - first[r] + 1:02d}" for i, r in enumerate(road))


def _degrees(plane: np.ndarray) -> np.ndarray:
    """Kilometres in the plane to latitude and longitude around the origin: float64 [N, 2]."""
    latitude = _ORIGIN[0] + plane[:, 1] / _KM_PER_DEGREE
    longitude = _ORIGIN[1] + plane[:, 0] / (_KM_PER_DEGREE * np.cos(np.radians(_ORIGIN[0])))
    return np.stack([latitude, longitude], axis=1)


def _graph(plane: np.ndarray, following: np.ndarray, source: np.ndarray, target: np.ndarray) -> Graph:
    """Edges downstream, one and two sensors on and over junctions, weighted by exp(-(distance / kernel)^2)."""
    one = np.flatnonzero(following >= 0)
    two = one[following[following[one]] >= 0]
    start = np.concatenate([one, two, source])
    end = np.concatenate([following[one], following[following[two]], target])
    distance = np.linalg.norm(plane[start] - plane[end], axis=1)
    weight = np.exp(-((distance / _KERNEL) ** 2)).astype(np.float32)
    return Graph(len(plane), np.stack([start, end]).astype(np.int64), weight)
