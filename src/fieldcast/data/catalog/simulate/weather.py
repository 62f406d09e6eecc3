"""A simulated region's weather on a grid: what the wind carries, with seasons, days and nights."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from fieldcast.data.meta import Meta
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

_START = "2024-01-01"
_NORTH_WEST = (44.0, -42.0)  # latitude, longitude: open ocean, so that no map takes it for a real place
_CELL = 0.25  # degrees
_KM_PER_DEGREE = 111.195
_WAVES = 5  # travelling pressure waves that make up the wind
_CHANNELS = ("temperature", "humidity", "wind_east", "wind_north")


def simulated_weather(
    rows: int = 16, columns: int = 24, steps: int = 24 * 60, seed: int = 0, *, missing: float = 0.0
) -> Readings:
    """Simulate hourly temperature, humidity and wind on a grid of 0.25 degrees from 1 January 2024.

    Anomalies q of temperature and of moisture obey dq/dt + u dq/dx + v dq/dy = K (d2q/dx2 + d2q/dy2) - q / tau + noise
    and are stepped semi-Lagrangian: every cell takes over what was upwind an hour ago. The wind (u, v) comes from a few
    travelling pressure waves, so that it has no divergence, above a mean wind from the west. On top of the anomalies
    lie the season, the day (larger over land, with its peak after noon by the sun), latitude and height. The relative
    humidity follows from moisture and temperature by the Magnus formula. The same arguments give the same bits.

    Shapes: readings [steps, rows * columns, 4], node = row * columns + column, rows from north to south; degC, %, m/s.

    Raises FieldcastError on values that cannot be simulated.
    """
    if rows < 1 or columns < 1 or steps < 1:
        raise FieldcastError(
            f"weather on {rows} x {columns} cells and {steps} steps cannot be simulated: give 1 or more of each."
        )
    if not 0 <= missing < 1:
        raise FieldcastError(f"missing is {missing!r}: give the share of cells that are missing, from 0 to below 1.")
    if seed < 0:
        raise FieldcastError(f"seed is {seed!r}: give a whole number of 0 or more.")
    if rows > 170:
        raise FieldcastError(f"{rows} rows of {_CELL} degrees reach beyond the equator: give at most 170.")
    ground, moving, losing = np.random.default_rng(seed).spawn(3)
    latitude = _NORTH_WEST[0] - _CELL * np.arange(rows)
    longitude = _NORTH_WEST[1] + _CELL * np.arange(columns)
    shape = (rows, columns)
    land = _smooth(shape, 3.0, ground)
    land = 1 / (1 + np.exp(-3 * land))
    height = 0.6 * land * np.maximum(_smooth(shape, 2.0, ground), 0)  # km
    wind = _Wind(shape, moving)

    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    east_km = _CELL * _KM_PER_DEGREE * np.cos(np.radians(latitude))[:, None]
    north_km = _CELL * _KM_PER_DEGREE
    warm, moist = 2.5 * _smooth(shape, 3.0, moving), 0.8 * _smooth(shape, 3.0, moving)
    climate = 16 - 0.55 * (latitude[:, None] - latitude.mean()) - 6.5 * height
    values = np.empty((steps, rows, columns, 4), dtype=np.float32)
    for step in range(steps):
        east, north = wind.next(step)
        upwind = np.stack([y + 3.6 * north / north_km, x - 3.6 * east / east_km])
        warm = _carry(warm, upwind) * (1 - 1 / 96) + 0.35 * _smooth(shape, 3.0, moving) - 0.01 * north
        moist = _carry(moist, upwind) * (1 - 1 / 72) + 0.13 * _smooth(shape, 3.0, moving)
        season = np.cos(2 * np.pi * (step / 24 - 200) / 365.25)
        noon = np.cos(2 * np.pi * ((step + longitude[None, :] / 15) % 24 - 14.5) / 24)
        temperature = climate + (4 + 5 * land) * season + (0.8 + 4.0 * land) * (1 + 0.3 * season) * noon + warm
        dew_point = climate - 4 + (4 + 3 * land) * season + 0.5 * warm + 1.5 * moist
        humidity = np.clip(100 * _vapour(dew_point) / _vapour(temperature), 5, 100)
        noise = moving.standard_normal((4, *shape)) * np.array([0.15, 0.8, 0.25, 0.25])[:, None, None]
        values[step, ..., 0] = temperature + noise[0]
        values[step, ..., 1] = np.clip(humidity + noise[1], 0, 100)
        values[step, ..., 2] = east + noise[2]
        values[step, ..., 3] = north + noise[3]
    values = values.reshape(steps, rows * columns, 4)
    if missing:
        values[losing.random(values.shape, dtype=np.float32) < missing] = np.nan
    meta = Meta(
        name="simulated_weather",
        frequency="1h",
        targets=("temperature",),
        null_rule="NaN only: every number is a reading",
        units=dict(zip(_CHANNELS, ("degC", "%", "m/s", "m/s"), strict=True)),
        role="simulated weather of a fictitious region: for demonstrations and tests, no evidence about real weather",
    )
    places = np.stack([g.ravel() for g in np.meshgrid(latitude, longitude, indexing="ij")], axis=1)
    return Readings.from_array(
        values, start=_START, frequency="1h", channels=_CHANNELS, coordinates=places, grid=shape, meta=meta,
        nodes=[f"r{r}c{c}" for r in range(rows) for c in range(columns)], source="the simulated weather", copy=False,
    )  # fmt: skip


class _Wind:
    """A wind without divergence: (u, v) = (-dS/dy, dS/dx), S a sum of travelling waves that come and go."""

    def __init__(self, shape: tuple[int, int], rng: np.random.Generator):
        y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
        length = rng.uniform(18, 48, _WAVES)  # cells
        angle = rng.uniform(-0.9, 0.9, _WAVES)  # from east
        self._k = 2 * np.pi / length * np.cos(angle)
        self._l = 2 * np.pi / length * np.sin(angle)
        self._pace = 2 * np.pi / rng.uniform(48, 144, _WAVES)  # an hour
        self._phase = self._k[:, None, None] * x - self._l[:, None, None] * y  # rows run south
        self._strength = rng.standard_normal((2, _WAVES))
        self._mean = 0.0
        self._rng = rng

    def next(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Wind to the east and to the north in m/s: float64 [rows, columns] twice."""
        self._strength = 0.985 * self._strength + 0.17 * self._rng.standard_normal((2, _WAVES))
        self._mean = 0.98 * self._mean + 0.4 * self._rng.standard_normal()
        phase = self._phase - self._pace[:, None, None] * step
        slope = self._strength[0][:, None, None] * np.cos(phase) - self._strength[1][:, None, None] * np.sin(phase)
        slope = 2.5 * slope / np.hypot(self._k, self._l)[:, None, None]
        east = 3.5 + self._mean - np.einsum("w,wrc->rc", self._l, slope)
        return east, np.einsum("w,wrc->rc", self._k, slope)


def _carry(field: np.ndarray, upwind: np.ndarray) -> np.ndarray:
    """Take over what was at ``upwind`` (in cells), the edge value where that is outside, and diffuse it a little."""
    return ndimage.gaussian_filter(ndimage.map_coordinates(field, upwind, order=1, mode="nearest"), 0.3, mode="nearest")


def _smooth(shape: tuple[int, int], width: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of variance about 1 with a correlation length of about ``width`` cells: float64 [rows, columns]."""
    noise = ndimage.gaussian_filter(rng.standard_normal((shape[0] + 16, shape[1] + 16)), width, mode="wrap")
    return noise[8:-8, 8:-8] * (2 * np.sqrt(np.pi) * width)


def _vapour(temperature: np.ndarray) -> np.ndarray:
    """Saturation vapour pressure in hPa over water at degC (Magnus formula, WMO No. 8)."""
    return 6.112 * np.exp(17.62 * temperature / (243.12 + temperature))
