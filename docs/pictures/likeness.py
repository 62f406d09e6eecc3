"""What docs/simulators.md shows: the simulated and the real readings, and the statistics of its two tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.catalog.simulate import Simulation, Truth, WeatherTruth, simulate_city, simulate_weather
from fieldcast.data.formats import open_readings
from fieldcast.data.graph import Graph, from_npz
from fieldcast.data.readings import Readings
from fieldcast.workflows.tables import markdown_table

CONGESTED = 40.0  # mph
MARCH = slice(60 * 24, 91 * 24)  # rows of the simulated year
KM_PER_DEGREE = 111.195


@dataclass
class City:
    """Speeds or flows of one place: values [time, N], the clock, the graph of its roads, coordinates or None."""

    name: str
    hash: str
    values: np.ndarray
    time: pd.DatetimeIndex
    graph: Graph
    coordinates: np.ndarray | None = None


# What is shown


def cities(folder: Path) -> tuple[dict[str, City], Simulation[Truth]]:
    """The simulated city with as many sensors and days as each real set, and the real sets; flows in veh/h."""
    speed = simulate_city(207, 7)
    flow = simulate_city(170, 25, flow=True)
    loop, pems = (open_readings(folder / name) for name in ("los_loop_week", "pems08_tail"))
    roads = from_npz(folder / "los_loop_week" / "graph_dcrnn.npz", 207)
    links = from_npz(folder / "pems08_tail" / "graph.npz", 170)

    def city(name: str, readings: Readings, graph: Graph, channel: int = 0, factor: float = 1.0) -> City:
        values = readings.values[..., channel] * np.float32(factor)
        return City(name, readings.hash, values, readings.local_time(), graph, readings.coordinates)

    return {
        "speed": city("simulated city", speed.readings, speed.graph),
        "loop": city("los_loop_week", loop, roads),
        "flow": city("simulated city", flow.readings, flow.graph, 1),
        "pems": city("pems08_tail", pems, links, 0, 12),
    }, speed


def weather(folder: Path, days: int = 366) -> tuple[Simulation[WeatherTruth], Readings]:
    """Simulated days on the grid of the real month, and that month."""
    return simulate_weather(33, 49, days * 24), open_readings(folder / "era5_uk_t2m")


# Statistics


def correlations(values: np.ndarray) -> np.ndarray:
    """Correlation of every two sensors over the rows that both have: float64 [N, N]."""
    return pd.DataFrame(values).corr().to_numpy()


def kilometres(coordinates: np.ndarray) -> np.ndarray:
    """Distances in a plane that touches the earth at the mean latitude: float64 [N, N]."""
    plane = flat(coordinates)
    return np.hypot(*(plane[:, None] - plane).transpose(2, 0, 1))


def flat(coordinates: np.ndarray) -> np.ndarray:
    """Kilometres to the east and to the north of the middle: float64 [N, 2]."""
    away = (coordinates - coordinates.mean(axis=0)) * KM_PER_DEGREE
    return np.stack([away[:, 1] * np.cos(np.radians(coordinates[:, 0].mean())), away[:, 0]], axis=1)


def memory(values: np.ndarray) -> float:
    """Autocorrelation at one step, the median over sensors."""
    frame = pd.DataFrame(values)
    alive = frame.columns[frame.std() > 0]
    return float(frame[alive].apply(lambda series: series.autocorr(1)).median())


def last_value(values: np.ndarray, ahead: int) -> float:
    """Mean absolute error of repeating the last value, over all cells read at both ends."""
    return float(np.nanmean(np.abs(values[ahead:] - values[:-ahead])))


def congested(values: np.ndarray) -> float:
    """Share of the readings that are slow."""
    return float(np.mean(values[np.isfinite(values)] < CONGESTED))


def by_the_clock(values: np.ndarray, time: pd.DatetimeIndex) -> float:
    """Share of a sensor's variance on working days that the time of day explains, the median over sensors."""
    working = np.asarray(time.day_of_week < 5)
    frame = pd.DataFrame(values[working])
    slot = np.asarray(time.hour * 60 + time.minute)[working]
    rest = frame - frame.groupby(slot).transform("mean")
    return float((1 - rest.var() / frame.var()).median())


def city_row(city: City, unit: str) -> dict[str, Any]:
    likeness = correlations(city.values)
    source, target = city.graph.edge_index
    apart = source != target
    found = {
        "readings": f"{city.name}, {unit}",
        "mean": number(np.nanmean(city.values)),
        "sd": number(np.nanstd(city.values)),
        "lag-1 autocorrelation": f"{memory(city.values):.3f}",
        "explained by time of day": f"{by_the_clock(city.values, city.time):.2f}",
        "correlation along graph edges": f"{np.nanmedian(likeness[source[apart], target[apart]]):.2f}",
        "correlation of all pairs": f"{np.nanmedian(likeness[np.triu_indices(len(likeness), 1)]):.2f}",
    }
    found["time congested"] = f"{100 * congested(city.values):.1f} %" if unit == "mph" else "-"
    for ahead in (3, 6, 12):
        found[f"last value, {ahead} steps"] = number(last_value(city.values, ahead))
    return found


def remarks(shown: dict[str, City]) -> dict[str, dict[str, str]]:
    """What the page says of the picture in figures, by city."""

    def span(city: City) -> float:
        noon = np.nanmean(city.values[(city.time.hour == 12) & (city.time.day_of_week < 5)], axis=0)  # [N]
        low, high = np.nanpercentile(noon, (10, 90))
        return float(high / low)

    def far(city: City) -> float:
        assert city.coordinates is not None
        pairs = np.triu_indices(len(city.coordinates), 1)
        return float(np.nanmedian(correlations(city.values)[pairs][kilometres(city.coordinates)[pairs] >= 4]))

    def between(values: np.ndarray) -> float:
        seen = values[np.isfinite(values)]
        return 100 * float(np.mean((seen >= 40) & (seen < 50)))

    flows, speeds = (shown["flow"], shown["pems"]), (shown["speed"], shown["loop"])
    return {
        "sensors' means at noon, 90th over 10th percentile": {city.name: f"{span(city):.1f}" for city in flows},
        "correlation of sensors 4 km apart and more, median": {city.name: f"{far(city):.2f}" for city in speeds},
        "readings from 40 to 50 mph, %": {city.name: f"{between(city.values):.1f}" for city in speeds},
        "largest reading, mph": {city.name: f"{np.nanmax(city.values):.0f}" for city in speeds},
    }


def weather_row(name: str, values: np.ndarray, grid: tuple[int, int]) -> dict[str, Any]:
    field = values.reshape(-1, *grid)
    anomaly = less_its_day(values).reshape(-1, *grid)
    east = [np.corrcoef(a, b)[0, 1] for a, b in zip(*beside(anomaly, 1), strict=True)]
    far = [np.corrcoef(a, b)[0, 1] for a, b in zip(*beside(anomaly, 10), strict=True)]
    days = field[: len(field) // 24 * 24].reshape(-1, 24, *grid)
    found = {
        "temperature, degC": name,
        "mean": number(values.mean()),
        "sd": number(values.std()),
        "sd of a cell over time": number(np.median(values.std(axis=0))),
        "range of the mean day": number(np.median(np.ptp(days.mean(axis=0), axis=0))),
        "lag-1 autocorrelation": f"{memory(values):.3f}",
        "correlation 1 cell east, less the day": f"{np.median(east):.3f}",
        "10 cells east": f"{np.median(far):.3f}",
    }
    for ahead in (3, 6, 12):
        found[f"last value, {ahead} h"] = number(last_value(values, ahead))
    return found


def less_its_day(values: np.ndarray) -> np.ndarray:
    """Hourly values [time, N] less their cell's mean at each hour of the day."""
    hour = np.arange(len(values)) % 24
    mean = np.stack([values[hour == each].mean(axis=0) for each in range(24)])
    return values - mean[hour]


def beside(field: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Series of cells and of those ``cells`` to the east: [pairs, time] twice."""
    west, east = field[:, :, :-cells], field[:, :, cells:]
    return west.reshape(len(field), -1).T, east.reshape(len(field), -1).T


def number(value: float) -> str:
    """Three figures, or whole from a hundred."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


# Tables


def speed_table(results: Path) -> str:
    """What benchmarks/simulators.py measured."""
    measured = json.loads(results.read_text(encoding="utf-8"))["measured"]
    rows = []
    for name, each in measured.items():
        steps, nodes, channels = each["shape"]
        size = f"{nodes:,} x {steps:,} x {channels}"
        cost = {"seconds": f"{each['seconds']:.0f}", "CPU seconds": f"{each['cpu_seconds']:.0f}"}
        memory = {"readings and mask, GiB": each["readings_and_mask_gib"], "peak, GiB": each["peak_gib"]}
        rows.append(
            {"simulated": name, "nodes x steps x channels": size, **cost, **{k: f"{v:.2f}" for k, v in memory.items()}}
        )
    return markdown_table(rows)


def statistics(shown: dict[str, City], simulation: Simulation[WeatherTruth], month: Readings) -> dict[str, Any]:
    """The rows of the two tables of likeness, what is said besides, and of which readings they are."""
    units = {"speed": "mph", "loop": "mph", "flow": "veh/h", "pems": "veh/h"}
    march = simulation.readings.values[MARCH, :, 0]
    real = month.values[..., 0] - np.float32(273.15)
    return {
        "city": [city_row(shown[key], unit) for key, unit in units.items()],
        "weather": [
            weather_row("simulated weather, March", march, (33, 49)), weather_row("era5_uk_t2m", real, (33, 49)),
        ],
        "remarks": remarks(shown),
        "hashes": {shown[key].name: shown[key].hash for key in ("loop", "pems")} | {"era5_uk_t2m": month.hash},
    }  # fmt: skip


def upright(rows: list[dict[str, Any]]) -> str:
    """A table with one column for each of ``rows``."""
    first, *others = rows[0]
    return markdown_table([{first: what, **{row[first]: row[what] for row in rows}} for what in others])
