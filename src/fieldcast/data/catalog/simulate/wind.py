"""The wind over a simulated region, without divergence, and how it carries what is in the air."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_WAVES = 5  # travelling pressure waves that make up the wind


class Wind:
    """A wind without divergence: (u, v) = (-dS/dy, dS/dx), S a sum of travelling waves that come and go, above a mean
    wind from the west.

    ``next()`` blows one row on, ``at(row)`` tells how it blows at a row that has been reached.

    Shapes: ``strength`` float64 [time, 2, waves], of cosine and sine; ``mean`` float64 [time], m/s.
    """

    def __init__(self, shape: tuple[int, int], steps: int, rng: np.random.Generator):
        length = rng.uniform(18, 48, _WAVES)  # cells
        angle = rng.uniform(-0.9, 0.9, _WAVES)  # from east
        self._k = 2 * np.pi / length * np.cos(angle)
        self._l = 2 * np.pi / length * np.sin(angle)
        self._pace = 2 * np.pi / rng.uniform(48, 144, _WAVES)  # an hour
        self.shape = shape
        self.strength = np.empty((steps, 2, _WAVES))
        self.mean = np.empty(steps)
        self._now, self._lift, self._row = rng.standard_normal((2, _WAVES)), 0.0, 0
        self._rng = rng

    def next(self) -> int:
        """Blow one row on; return that row. May be called while ``at`` works on an earlier row in another thread."""
        self._now = 0.985 * self._now + 0.17 * self._rng.standard_normal((2, _WAVES))
        self._lift = 0.98 * self._lift + 0.4 * self._rng.standard_normal()
        row, self._row = self._row, self._row + 1
        self.strength[row], self.mean[row] = self._now, 3.5 + self._lift
        return row

    def at(self, row: int, room: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Wind to the east and to the north in m/s at a row: float64 [rows, columns] twice.

        ``room`` from :meth:`room` is overwritten and spares fresh memory.
        """
        phase, slope = self.room() if room is None else room
        y, x = np.arange(self.shape[0])[:, None], np.arange(self.shape[1])
        np.subtract(self._k[:, None, None] * x, self._l[:, None, None] * y, out=phase)  # rows run south
        phase -= self._pace[:, None, None] * row
        np.cos(phase, out=slope)
        slope *= self.strength[row, 0][:, None, None]
        np.sin(phase, out=phase)
        phase *= self.strength[row, 1][:, None, None]
        slope -= phase
        slope *= 2.5
        slope /= np.hypot(self._k, self._l)[:, None, None]
        east = np.einsum("w,wrc->rc", self._l, slope)
        np.subtract(self.mean[row], east, out=east)
        return east, np.einsum("w,wrc->rc", self._k, slope)

    def room(self) -> np.ndarray:
        """Memory to work in: float64 [2, waves, rows, columns]."""
        return np.empty((2, _WAVES, *self.shape))


def carry(fields: np.ndarray, upwind: np.ndarray, room: np.ndarray) -> None:
    """Take over what was at ``upwind`` (in cells), the edge value where that is outside, and diffuse it a little.

    Shapes: fields [k, rows, columns], in place; upwind [2, rows, columns]; room like fields, to work in; float64.
    """
    for field, moved in zip(fields, room, strict=True):
        ndimage.map_coordinates(field, upwind, order=1, mode="nearest", output=moved)
    ndimage.gaussian_filter(room, (0, 0.3, 0.3), mode="nearest", output=fields)


def smooth(room: np.ndarray, width: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of variance about 1 with a correlation length of about ``width`` cells.

    Shapes: room float64 [count, rows + 16, columns + 16], to work in -> a view of it [count, rows, columns].
    """
    rng.standard_normal(out=room)
    ndimage.gaussian_filter(room, (0, width, width), mode="wrap", output=room)
    noise = room[:, 8:-8, 8:-8]
    noise *= 2 * np.sqrt(np.pi) * width
    return noise
