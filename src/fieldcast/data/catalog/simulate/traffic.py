"""Traffic on the roads: a cell transmission model whose queues grow upstream."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fieldcast.data.catalog.simulate.roads import Roads

TICK = 5  # minutes between two looks at the roads
_SUBSTEPS = 5  # steps of one minute in a tick: a vehicle passes at most one sensor a step
_FREE = 1.55  # km a minute, 93 km/h (58 mph), how fast vehicles pass on where nothing holds them up
_WAVE = 0.36  # km a minute, 22 km/h, how fast the news of a queue passes back
_RAMP = 0.35  # most that a ramp lets on, as a share of capacity
_OPEN = np.float32(1e6)  # what the end of a road takes


@dataclass
class Traffic:
    """Vehicles on every stretch of road, one sensor a stretch, in units of a carriageway's capacity a minute.

    The cell transmission model (Daganzo, Transportation Research B 28, 1994): what flows on from a stretch is the
    least of what it can send, min(v k, Q'), and what the next can take, min(Q, w (k_jam - k)), with density k, free
    speed v, wave speed w < v and capacity Q. Where demand exceeds capacity a queue forms and its tail moves against
    the traffic. Q' < Q inside a queue (the drop of capacity that keeps real queues alive). A share ``leaving`` of what
    passes leaves the road behind each sensor, ramps enter before it and come first.

    Shapes: all float32 [N].
    """

    roads: Roads
    capacity: np.ndarray
    leaving: np.ndarray
    density: np.ndarray = field(init=False)
    waiting: np.ndarray = field(init=False)
    turned: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.free = np.minimum(_FREE / self.roads.length, 0.98).astype(np.float32)
        self.wave = (_WAVE / self.roads.length).astype(np.float32)
        self.critical = self.capacity / self.free
        self.jam = self.capacity / self.free + self.capacity / self.wave
        ends = self.roads.following < 0
        starts = np.r_[True, ends[:-1]]  # what comes on a road at its beginning comes on all lanes
        self._ramp = np.where(starts, self.capacity, _RAMP * self.capacity)
        self._open = np.where(ends, _OPEN, np.float32(0))
        self._staying = np.where(ends, np.float32(0), 1 - self.leaving).astype(np.float32)
        self._inverse = (1 / (1 - self.leaving)).astype(np.float32)
        self._spill = self.roads.turns.T.tocsr() if self.roads.turns.nnz else None
        self.density = np.zeros_like(self.capacity)
        self.waiting = np.zeros_like(self.capacity)
        self.turned = np.zeros_like(self.capacity)

    def tick(self, demand: np.ndarray, capacity_left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Let ``TICK`` minutes pass; return flow [N] (of capacity a minute) and speed as a share of free speed [N].

        ``demand`` [N] is what wants to enter a minute, ``capacity_left`` [N] the share of capacity that incidents and
        chance leave.
        """
        k, v, w = self.density, self.free, self.wave
        most = self.capacity * capacity_left
        sending = most * (1 - 0.08 * (k > 1.15 * self.critical))
        if self._spill is not None:  # a ramp that is full reaches back on to the road it comes from
            sending *= 1 - 0.45 * np.minimum(self._spill @ np.minimum(self.waiting / 4, 1), 1)
        ramp = np.minimum(demand + self.turned + self.waiting / _SUBSTEPS, self._ramp)
        entered = np.zeros_like(k)
        passed = np.zeros_like(k)
        occupied = np.zeros_like(k)
        room, flow, entering, ahead = np.empty_like(k), np.empty_like(k), np.empty_like(k), np.zeros_like(k)
        for _ in range(_SUBSTEPS):
            np.subtract(self.jam, k, out=room)
            room *= w
            np.minimum(room, most, out=room)
            np.minimum(room, ramp, out=entering)
            room -= entering
            np.multiply(v, k, out=flow)
            np.minimum(flow, sending, out=flow)
            ahead[:-1] = room[1:]
            ahead += self._open
            ahead *= self._inverse
            np.minimum(flow, ahead, out=flow)
            occupied += k
            passed += flow
            entered += entering
            k += entering
            k -= flow
            k[1:] += (flow * self._staying)[:-1]
        self.waiting += _SUBSTEPS * (demand + self.turned) - entered
        np.clip(self.waiting, 0, 60, out=self.waiting)  # who sees a queue of an hour stays at home
        passed /= _SUBSTEPS
        occupied *= v / _SUBSTEPS
        share = np.minimum(passed / np.maximum(occupied, 1e-6), 1)
        share[occupied < 1e-3] = 1
        if self.roads.turns.nnz:
            self.turned = self.roads.turns @ (passed * self.leaving)
        return passed, share
