"""A simulated region's weather on a grid: what the wind carries, with seasons, days and nights, and known truth."""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np

from fieldcast.data.catalog.simulate.faults import (
    HubKind,
    Look,
    OwnDynamics,
    apply_plants,
    check_options,
    draw_plants,
    lose_readings,
    write_copies,
)
from fieldcast.data.catalog.simulate.truth import Simulation, WeatherTruth
from fieldcast.data.catalog.simulate.wind import Wind, carry, smooth
from fieldcast.data.graph import from_grid
from fieldcast.data.meta import Meta
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

_START = "2024-01-01"
_NORTH_WEST = (44.0, -42.0)  # latitude, longitude: open ocean, so that no map takes it for a real place
_CELL = 0.25  # degrees
_KM_PER_DEGREE = 111.195
_UNITS = {"temperature": "degC", "humidity": "%", "wind_east": "m/s", "wind_north": "m/s"}
_NOISE = np.array([0.15, 0.8, 0.25, 0.25])
_MEMORY = (96, 72)  # hours, of the anomalies of temperature and of moisture
_FADING = 1 - 1 / np.array(_MEMORY)[:, None, None]
_STIR = np.array([0.35, 0.13])[:, None, None]  # degC an hour
_NOON = 14.5  # the sun's hour at which the day is warmest
_HUB = HubKind(lag=180, deviation=4.0, memory=360)  # degC
_REGIME_MEMORY = 36  # hours
_LARGE = 20_000  # cells from which a second thread pays
_LOOKS = (
    Look(12.0, 8.0, -np.inf, (-10.0, 30.0)),
    Look(60.0, 10.0, 0.0, (0.0, 100.0)),
    Look(3.5, 4.0, -np.inf, (-10.0, 10.0)),
    Look(0.0, 4.0, -np.inf, (-10.0, 10.0)),
)  # fmt: skip


def simulated_weather(
    rows: int = 16, columns: int = 24, steps: int = 24 * 60, seed: int = 0, *, missing: float = 0.0
) -> Readings:
    """The readings alone of :func:`simulate_weather` with nothing planted; what is missing falls cell by cell."""
    return simulate_weather(rows, columns, steps, seed, missing=missing, outages=0).readings


def simulate_weather(
    rows: int = 16,
    columns: int = 24,
    steps: int = 24 * 60,
    seed: int = 0,
    *,
    missing: float = 0.0,
    outages: float = 0.5,
    clusters: int = 1,
    useless: int = 0,
    dead: int = 0,
    duplicates: int = 0,
    driven: int = 0,
    own_dynamics: float = 0.0,
) -> Simulation[WeatherTruth]:
    """Simulate hourly temperature, humidity and wind on a grid of 0.25 degrees from 1 January 2024, with their truth.

    Anomalies q of temperature and of moisture obey dq/dt + u dq/dx + v dq/dy = K (d2q/dx2 + d2q/dy2) - q / tau + noise
    and are stepped semi-Lagrangian: every cell takes over what was upwind an hour ago, between cells by linear
    interpolation, which with a narrow filter is the diffusion. The wind (u, v) comes from a few travelling pressure
    waves, so that it has no divergence, above a mean wind from the west. On top of the anomalies lie the season, the
    day (larger over land, with its peak after noon by the sun), latitude and height. The relative humidity follows from
    moisture and temperature by the Magnus formula. The same arguments give the same bits.

    Args:
        rows: of the grid, from north to south, 1 to 170.
        columns: of the grid, from west to east, 1 or more.
        steps: hours.
        seed: 0 or more.
        missing: share of the cells that are missing, less than 1.
        outages: share of the missing cells that are missing in blocks of hours, in all channels at once; the others
            are missing one by one, each channel for itself.
        clusters: how many regions there are, each with a climate and with spells of its own (AR(1), some days).
        useless: how many cells show white noise; no cell is two of this and the next three.
        dead: how many show a constant.
        duplicates: how many repeat another cell, to the bit.
        driven: how many a hub drives with a lag of three hours, in temperature; 0 for no hub.
        own_dynamics: standard deviation, in degC, of a dynamics that every cell's temperature has of its own.

    Planting cells leaves the readings of the others as they are, up to where outages fall.

    Shapes: readings [steps, rows * columns, 4], node = row * columns + column; degC, %, m/s. The graph joins each cell
    with its eight neighbours.

    Raises FieldcastError on values that cannot be simulated.
    """
    _check(rows, columns, steps, clusters)
    check_options(
        missing, outages, own_dynamics, clusters, seed,
        useless=useless, dead=dead, duplicates=duplicates, driven=driven,
    )  # fmt: skip
    # A stream for each part, so that an option changes nothing but what it is about.
    ground, moving, losing, planting, living, parting = np.random.default_rng(seed).spawn(6)
    shape, cells = (rows, columns), rows * columns
    air = _Air(shape, steps, clusters, ground, moving, parting)
    own = OwnDynamics(cells, own_dynamics, living)
    east = np.arange(1, cells + 1)
    east[columns - 1 :: columns] = -1
    plants = draw_plants(
        east, steps, 60, 1.0, _HUB,
        useless=useless, dead=dead, duplicates=duplicates, driven=driven, rng=planting,
    )  # fmt: skip

    graph = from_grid(rows, columns)  # before the readings take their memory
    values = np.empty((steps, rows, columns, 4), dtype=np.float32)
    with ThreadPoolExecutor(1) as beside:  # it starts no thread before it is given work
        for step in range(steps):
            air.blow(step, values[step], beside if cells >= _LARGE else None)
    values = values.reshape(steps, cells, 4)
    if own_dynamics:
        for step in range(steps):
            values[step, :, 0] += own.next()
    apply_plants(values, plants, -np.inf, np.inf, _LOOKS, planting)
    lost = lose_readings(values, missing, outages, 60, losing, together=False)
    lost = write_copies(values, plants, lost)

    meta = Meta(
        name="simulated_weather",
        frequency="1h",
        targets=("temperature",),
        null_rule="NaN only: every number is a reading",
        units=_UNITS,
        role="simulated weather of a fictitious region: for demonstrations and tests, no evidence about real weather",
    )
    places = np.stack([g.ravel() for g in np.meshgrid(air.latitude, air.longitude, indexing="ij")], axis=1)
    readings = Readings.from_array(
        values, start=_START, frequency="1h", channels=tuple(_UNITS), coordinates=places, grid=shape, meta=meta,
        nodes=[f"r{r}c{c}" for r in range(rows) for c in range(columns)], source="the simulated weather", copy=False,
    )  # fmt: skip
    truth = WeatherTruth(
        wind=air.wind,
        land=_flat(air.land, shape),
        height=_flat(air.height, shape),
        climate=_flat(air.climate, shape),
        season=_flat(air.season, shape),
        day=_flat(air.day, shape),
        noon=_flat((_NOON - air.longitude / 15) % 24, shape),
        memory=_MEMORY,
        noise=_NOISE.astype(np.float32),
        cluster=air.region.ravel(),
        regime=air.regime,
        useless=plants.useless,
        dead=plants.dead,
        duplicates=plants.duplicates,
        own_dynamics=own.told(plants),
        hub=plants.hub,
        outages=lost,
    )
    return Simulation(readings, graph, truth)


class _Air:
    """The air over the region: what lies still (land, height, climate) and what moves, step by step."""

    def __init__(
        self,
        shape: tuple[int, int],
        steps: int,
        clusters: int,
        ground: np.random.Generator,
        moving: np.random.Generator,
        parting: np.random.Generator,
    ):
        rows, columns = shape
        self.shape, self._rng = shape, moving
        self.latitude = _NORTH_WEST[0] - _CELL * np.arange(rows)
        self.longitude = _NORTH_WEST[1] + _CELL * np.arange(columns)
        self._rough = rough = np.empty((2, rows + 16, columns + 16))
        self.land = 1 / (1 + np.exp(-3 * smooth(rough[:1], 3.0, ground)[0]))
        self.height = 0.6 * self.land * np.maximum(smooth(rough[:1], 2.0, ground)[0], 0)  # km
        self.wind = Wind(shape, steps, moving)
        self._anomalies = smooth(rough, 3.0, moving) * np.array([2.5, 0.8])[:, None, None]
        self._warm, self._moist = self._anomalies
        self.climate = 16 - 0.55 * (self.latitude[:, None] - self.latitude.mean()) - 6.5 * self.height
        self.season, self.day = 4 + 5 * self.land, 0.8 + 4.0 * self.land
        self._wet_season = 4 + 3 * self.land
        self.region = np.zeros(shape, dtype=np.int64)
        self.regime = np.zeros((steps, clusters), dtype=np.float32)
        if clusters > 1:
            self._part(steps, clusters, parting)
        self._ahead: Future[tuple[np.ndarray, np.ndarray]] | None = None
        self._noise, self._moved, self._room = np.empty((4, *shape)), np.empty((2, *shape)), self.wind.room()
        self._y, self._x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        self._east_km = _CELL * _KM_PER_DEGREE * np.cos(np.radians(self.latitude))[:, None]
        self._north_km = _CELL * _KM_PER_DEGREE

    def _part(self, steps: int, clusters: int, rng: np.random.Generator) -> None:
        """Give every cell to the nearest of ``clusters`` centres, and every region its climate and its spells."""
        y, x = np.indices(self.shape)
        nearest = np.full(self.shape, np.inf)
        for region, centre in enumerate(rng.permutation(y.size)[:clusters]):
            away = np.hypot(y - y.flat[centre], x - x.flat[centre])
            self.region[away < nearest] = region
            np.minimum(nearest, away, out=nearest)
        self.climate = self.climate + 2.0 * rng.standard_normal(clusters)[self.region]
        self.season = self.season * rng.uniform(0.7, 1.3, clusters)[self.region]
        self.day = self.day * rng.uniform(0.6, 1.5, clusters)[self.region]
        memory = np.exp(-1 / _REGIME_MEMORY)
        state = 2.5 * rng.standard_normal(clusters)
        for step in range(steps):
            state = memory * state + 2.5 * np.sqrt(1 - memory**2) * rng.standard_normal(clusters)
            self.regime[step] = state

    def blow(self, step: int, out: np.ndarray, beside: Executor | None = None) -> None:
        """One hour on; the four channels of every cell into ``out`` float32 [rows, columns, 4].

        ``beside`` works out the wind of the next hour meanwhile. All chance is drawn here, in order.
        """
        east, north = self._ahead.result() if self._ahead else self.wind.at(self.wind.next(), self._room)
        stir = smooth(self._rough, 3.0, self._rng)
        noise = self._rng.standard_normal(out=self._noise)
        if beside and step + 1 < len(self.wind.mean):
            self._ahead = beside.submit(self.wind.at, self.wind.next(), self._room)
        upwind = np.stack([self._y + 3.6 * north / self._north_km, self._x - 3.6 * east / self._east_km])
        carry(self._anomalies, upwind, self._moved)
        self._anomalies *= _FADING
        stir *= _STIR
        self._anomalies += stir
        self._warm += 0.01 * north  # air from the south is warm
        season = np.cos(2 * np.pi * (step / 24 - 200) / 365.25)
        noon = np.cos(2 * np.pi * ((step + self.longitude[None, :] / 15) % 24 - _NOON) / 24)
        temperature = self.climate + self.season * season
        temperature += self.day * (1 + 0.3 * season) * noon
        temperature += self._warm
        dew_point = self.climate - 4
        dew_point += self._wet_season * season
        dew_point += 0.5 * self._warm
        dew_point += 1.5 * self._moist
        if self.regime.shape[1] > 1:
            spell = self.regime[step][self.region]
            temperature += spell
            dew_point += 0.5 * spell
        humidity = np.clip(100 * _vapour(dew_point) / _vapour(temperature), 5, 100)
        noise *= _NOISE[:, None, None]
        for channel, clean in enumerate((temperature, humidity, east, north)):
            noise[channel] += clean
        np.clip(noise[1], 0, 100, out=noise[1])
        out[...] = np.moveaxis(noise, 0, -1)


def _vapour(temperature: np.ndarray) -> np.ndarray:
    """Saturation vapour pressure in hPa over water at degC (Magnus formula, WMO No. 8)."""
    return 6.112 * np.exp(17.62 * temperature / (243.12 + temperature))


def _flat(field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(field, shape).astype(np.float32).ravel()


def _check(rows: int, columns: int, steps: int, clusters: int) -> None:
    if rows < 1 or columns < 1 or steps < 1:
        raise FieldcastError(
            f"weather on {rows} x {columns} cells and {steps} steps cannot be simulated: give 1 or more of each."
        )
    if rows > 170:
        raise FieldcastError(f"{rows} rows of {_CELL} degrees reach beyond the equator: give at most 170.")
    if clusters > rows * columns:
        raise FieldcastError(f"{clusters} clusters do not fit on {rows * columns} cells: give as many or fewer.")
