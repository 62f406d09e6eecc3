"""Draw the simulated city and the simulated weather beside real readings, and renew the tables of docs/simulators.md,
whose figures are kept in simulators.json beside the pictures.

python docs/pictures/simulators.py [FOLDER]     (the folder with los_loop_week, pems08_tail and era5_uk_t2m; default:
                                                 FIELDCAST_DATA, or shared/data beside the checkout; needs two minutes)
"""

from __future__ import annotations

import io
import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from likeness import (
    CONGESTED,
    MARCH,
    City,
    beside,
    cities,
    correlations,
    flat,
    kilometres,
    less_its_day,
    speed_table,
    statistics,
    upright,
    weather,
)
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, MonthLocator
from matplotlib.figure import Figure
from PIL import Image

from fieldcast.data.catalog.simulate import Simulation, Truth, WeatherTruth
from fieldcast.data.files import write_atomically
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError
from fieldcast.evaluation.protocol import machine_record, version_record
from fieldcast.reporting.pictures import INK, LINE, SOFT, STYLE, TRAINED

HERE = Path(__file__).parent
PAGE = HERE.parent / "simulators.md"
FIGURES = HERE / "simulators.json"
SPEED = HERE.parents[1] / "benchmarks" / "results" / "simulators.json"
SIMULATED, REAL = TRAINED[0][0], TRAINED[1][0]  # blue and orange, told apart by everybody
SPEEDS = {"cmap": "cividis", "vmin": 5, "vmax": 70}


# The city's picture


def draw_city(shown: dict[str, City], truth: Truth) -> Figure:
    figure = Figure(figsize=(13.5, 10.2), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(3, 4, height_ratios=(1, 1.15, 1.15))
    for place, (key, unit) in enumerate([("speed", "mph"), ("loop", "mph"), ("flow", "veh/h"), ("pems", "veh/h")]):
        axes = figure.add_subplot(grid[0, place])
        draw_profile(axes, shown[key], unit)
        axes.set_ylim(*((20, 72) if unit == "mph" else (0, 8500)))
    roads = {"speed": busiest_road(shown["speed"], truth), "loop": freeway(shown["loop"])}
    for place, key in enumerate(("speed", "loop")):
        image = draw_road(figure.add_subplot(grid[1, 2 * place : 2 * place + 2]), shown[key], roads[key])
    places = [figure.add_subplot(grid[2, place]) for place in (0, 1)]
    for axes, key in zip(places, ("speed", "loop"), strict=True):
        draw_map(axes, shown[key])
    figure.colorbar(image, ax=places, location="left", shrink=0.9, label="speed, mph (all maps)", extend="both")
    draw_likeness(figure.add_subplot(grid[2, 2]), [shown["speed"], shown["loop"]])
    draw_histogram(figure.add_subplot(grid[2, 3]), [shown["speed"], shown["loop"]])
    figure.suptitle(
        "A simulated city (seed 0, nothing chosen by eye) beside real readings of as many sensors and days",
        fontsize=10, color=SOFT,
    )  # fmt: skip
    return figure


def draw_profile(axes: Axes, city: City, unit: str) -> None:
    """Mean over sensors at each time of day, and between which tenths of the sensors' means lie."""
    minute = np.asarray(city.time.hour * 60 + city.time.minute)
    for days, chosen, color, dash in (
        ("Monday to Friday", city.time.day_of_week < 5, SIMULATED, "-"),
        ("weekend", city.time.day_of_week >= 5, REAL, "--"),
    ):
        each = pd.DataFrame(city.values[chosen]).groupby(minute[chosen]).mean().to_numpy()  # [slot, N]
        hours = np.unique(minute[chosen]) / 60
        axes.fill_between(hours, *np.nanpercentile(each, (10, 90), axis=1), color=color, alpha=0.16, linewidth=0)
        axes.plot(hours, np.nanmean(each, axis=1), color=color, linestyle=dash, linewidth=1.8, label=days)
    what = "speed" if unit == "mph" else "flow"
    axes.set(title=f"{city.name}: {what} by hour", xlabel="hour", ylabel=f"{what}, {unit}", xlim=(0, 24))
    axes.set_xticks(range(0, 25, 6))
    place = "lower left" if unit == "mph" else "upper left"
    axes.legend(frameon=False, fontsize=8, loc=place, title="mean; band: 10 to 90 % of sensors", title_fontsize=7)


def draw_road(axes: Axes, city: City, nodes: np.ndarray) -> Any:
    """Speeds of a road over its first Friday, the traffic going up."""
    friday = np.flatnonzero((city.time.day_of_week == 4) & (city.time < city.time[0] + pd.Timedelta(days=7)))
    kilometre = np.r_[0, np.cumsum(np.hypot(*np.diff(flat(city.coordinates)[nodes], axis=0).T))]
    image = axes.imshow(
        city.values[friday][:, nodes].T, origin="lower", aspect="auto", interpolation="nearest",
        extent=(0, 24, -0.5, len(nodes) - 0.5), **SPEEDS,
    )  # fmt: skip
    axes.set(
        title=f"{city.name}: one road over a Friday ({len(nodes)} sensors, {kilometre[-1]:.0f} km)",
        xlabel="hour", ylabel="sensor, traffic goes up",
    )  # fmt: skip
    axes.set_xticks(range(0, 25, 3))
    axes.grid(visible=False)
    return image


def busiest_road(city: City, truth: Truth) -> np.ndarray:
    """The nodes of the road with the most congestion, in the direction of travel."""
    slow = [np.nanmean(city.values[:, truth.road == road] < CONGESTED) for road in range(truth.road.max() + 1)]
    return np.flatnonzero(truth.road == int(np.argmax(slow)))


def freeway(city: City) -> np.ndarray:
    """The longest way through one-way edges, from each sensor on by the strongest that turns by at most 40 degrees."""
    weight, place = np.zeros((len(city.coordinates),) * 2), flat(city.coordinates)
    weight[tuple(city.graph.edge_index)] = city.graph.edge_weight
    np.fill_diagonal(weight, 0)
    ways = []
    for start in range(len(weight)):
        way, heading = [start], None
        while True:
            step = place - place[way[-1]]
            length = np.hypot(*step.T)
            fit = (weight[way[-1]] > weight[:, way[-1]]) & (length > 0.2)
            if heading is not None:
                fit &= step @ heading > np.cos(np.radians(40)) * length
            fit[way] = False
            if not fit.any():
                break
            following = int(np.argmax(np.where(fit, weight[way[-1]], 0)))
            heading = step[following] / length[following]
            way.append(following)
        ways.append(way)
    return np.array(max(ways, key=len))


def draw_map(axes: Axes, city: City) -> None:
    """Where the sensors are, coloured by their mean speed on working days from 17:00 to 18:00."""
    chosen = (city.time.day_of_week < 5) & (city.time.hour == 17)
    place = flat(city.coordinates)
    axes.scatter(*place.T, c=np.nanmean(city.values[chosen], axis=0), s=15, linewidth=0.3, edgecolor=SOFT, **SPEEDS)
    axes.set(title=f"{city.name}:\nmean speed, 17 to 18 h", xlabel="km east", ylabel="km north")
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(axis="both")


def draw_likeness(axes: Axes, two: list[City]) -> None:
    """Correlation of sensors against how far they are apart: the median and the middle half."""
    edges = np.array([0.0, 0.5, 1, 2, 3, 4, 6, 8, 11, 15, 20, 26])
    for city, (color, dash, marker) in zip(two, ((SIMULATED, "-", "o"), (REAL, "--", "s")), strict=True):
        pairs = np.triu_indices(city.values.shape[1], 1)
        away, like = kilometres(city.coordinates)[pairs], correlations(city.values)[pairs]
        bins = [like[(away >= a) & (away < b)] for a, b in pairwise(edges)]
        middle = [(a + b) / 2 for (a, b), found in zip(pairwise(edges), bins, strict=True) if len(found)]
        low, half, high = np.array([np.nanpercentile(found, (25, 50, 75)) for found in bins if len(found)]).T
        axes.fill_between(middle, low, high, color=color, alpha=0.16, linewidth=0)
        axes.plot(middle, half, color=color, linestyle=dash, marker=marker, markersize=4, label=city.name)
    axes.set(title="Correlation against distance", xlabel="distance, km", ylabel="correlation of speeds", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8, title="median; band: middle half", title_fontsize=7)


def draw_histogram(axes: Axes, two: list[City]) -> None:
    for city, (color, dash) in zip(two, ((SIMULATED, "-"), (REAL, "--")), strict=True):
        seen = city.values[np.isfinite(city.values)]
        share, edges = np.histogram(seen, bins=np.arange(0, 76, 1), weights=np.full(len(seen), 100 / len(seen)))
        axes.stairs(share, edges, color=color, linestyle=dash, linewidth=1.6, label=city.name)
    axes.set(title="Histogram of speeds", xlabel="speed, mph", ylabel="% of readings in 1 mph", yscale="log")
    axes.legend(frameon=False, fontsize=8)


# The weather's picture


def draw_weather(simulation: Simulation[WeatherTruth], month: Readings) -> Figure:
    figure = Figure(figsize=(13.5, 8.8), layout="constrained", facecolor="white")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=(1, 0.92, 1.2))
    values = simulation.readings.values.reshape(-1, 33, 49, 4)
    first = (121 + 9) * 24  # 10 May
    rows = first + np.array([0, 6, 12, 18])
    warm = {"cmap": "inferno", "vmin": values[rows, ..., 0].min(), "vmax": values[rows, ..., 0].max()}
    maps = top.subplots(1, 4)
    for axes, row in zip(maps, rows, strict=True):
        image = axes.imshow(values[row, ..., 0], **warm)
        blown = values[row, 2::5, 2::5, 2:]
        axes.quiver(
            np.arange(2, 49, 5), np.arange(2, 33, 5), blown[..., 0], blown[..., 1],
            color="white", scale=130, width=0.007,
        )  # fmt: skip
        map_title(axes, "temperature and wind", simulation.readings, row)
    top.colorbar(image, ax=maps, label="degC", shrink=0.9)
    maps = middle.subplots(1, 4)
    for axes, row in zip(maps, rows, strict=True):
        image = axes.imshow(values[row, ..., 1], cmap="cividis", vmin=20, vmax=100)
        map_title(axes, "relative humidity", simulation.readings, row)
    middle.colorbar(image, ax=maps, label="%", shrink=0.9)
    year, day, reach = bottom.subplots(1, 3, width_ratios=(2, 1, 1))
    draw_year(year, simulation)
    draw_day(day, simulation, month)
    draw_reach(reach, simulation, month)
    figure.suptitle(
        "Simulated weather of a fictitious region, 33 x 49 cells of 0.25 degrees (seed 0), beside one real month of "
        "2 m temperature over the British Isles (era5_uk_t2m)", fontsize=10, color=SOFT,
    )  # fmt: skip
    return figure


def map_title(axes: Axes, what: str, readings: Readings, row: int) -> None:
    when = pd.Timestamp(readings.time[row]).strftime("%-d May, %-H h")
    axes.set_title(f"simulated {what}\n{when}", fontsize=9)
    axes.set(xticks=[], yticks=[])


def draw_year(axes: Axes, simulation: Simulation[WeatherTruth]) -> None:
    """Daily means of two cells over the year, and what the truth says of their season."""
    truth, values = simulation.truth, simulation.readings.values[..., 0]
    low = np.where(truth.height < 0.05, truth.land, 0.5)
    days = pd.DatetimeIndex(simulation.readings.time[::24])
    for node, name, color, dash in (
        (int(low.argmax()), "land", REAL, "-"), (int(low.argmin()), "sea", SIMULATED, "-"),
    ):  # fmt: skip
        axes.plot(
            days,
            values[:, node].reshape(366, 24).mean(axis=1),
            color=color,
            linestyle=dash,
            linewidth=1,
            label=f"a cell of {name}",
        )
        cycle = truth.cycle(np.arange(len(values)))[:, node].reshape(366, 24).mean(axis=1)
        axes.plot(
            days,
            cycle,
            color=INK,
            linestyle=":" if name == "sea" else "--",
            linewidth=1.2,
            label="its season in the truth",
        )
    axes.set(title="simulated: daily mean temperature over a year", ylabel="degC")
    axes.xaxis.set_major_locator(MonthLocator())
    axes.xaxis.set_major_formatter(DateFormatter("%b"))
    axes.margins(x=0.01)
    axes.legend(frameon=False, fontsize=8, ncols=2)


def draw_day(axes: Axes, simulation: Simulation[WeatherTruth], month: Readings) -> None:
    """Mean over March at each hour, less the day's mean: over land and sea, and over all cells of the real month."""
    march = simulation.readings.values[MARCH, :, 0]
    for values, name, color, dash in (
        (march[:, simulation.truth.land > 0.7], "simulated, land", SIMULATED, "-"),
        (march[:, simulation.truth.land < 0.3], "simulated, sea", SIMULATED, ":"),
        (march, "simulated, all cells", INK, "-"),
        (month.values[..., 0], "era5_uk_t2m, all cells", REAL, "--"),
    ):
        day = values.reshape(-1, 24, values.shape[1]).mean(axis=(0, 2))
        axes.plot(range(24), day - day.mean(), color=color, linestyle=dash, linewidth=1.6, label=name)
    axes.set(title="The day in March", xlabel="hour of the clock", ylabel="degC from the day's mean")
    axes.set_xticks(range(0, 25, 6))
    axes.legend(frameon=False, fontsize=7)


def draw_reach(axes: Axes, simulation: Simulation[WeatherTruth], month: Readings) -> None:
    """Correlation of temperature, less its mean day, with cells further east."""
    for values, name, color, dash, marker in (
        (simulation.readings.values[MARCH, :, 0], "simulated, March", SIMULATED, "-", "o"),
        (month.values[..., 0], "era5_uk_t2m", REAL, "--", "s"),
    ):
        field = less_its_day(values).reshape(-1, 33, 49)
        cells = [1, 2, 4, 6, 9, 12, 16, 20, 25, 30]
        like = [
            np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(*beside(field, each), strict=True)]) for each in cells
        ]
        axes.plot(cells, like, color=color, linestyle=dash, marker=marker, markersize=4, label=name)
    axes.axhline(0, color=LINE, linewidth=1)
    axes.set(
        title="Correlation with cells further east", xlabel="cells of 0.25 degrees", ylabel="correlation, less the day"
    )
    axes.legend(frameon=False, fontsize=8)


# The page


def write_picture(figure: Figure, path: Path) -> None:
    """As a PNG of 256 colours, a third of the size."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    buffer.seek(0)
    reduced = Image.open(buffer).convert("RGB").quantize(256, kmeans=4, dither=Image.Dither.NONE)
    write_atomically(path, lambda out: reduced.save(out, format="png", optimize=True))


def paste(page: Path, name: str, text: str) -> None:
    """Renew what stands between ``<!-- statistics NAME -->`` and ``<!-- /statistics NAME -->``."""
    head, opening, rest = page.read_text(encoding="utf-8").partition(f"<!-- statistics {name} -->")
    _, closing, tail = rest.partition(f"<!-- /statistics {name} -->")
    if not opening or not closing:
        raise FieldcastError(f"{page} has no <!-- statistics {name} --> and <!-- /statistics {name} -->: add them.")
    write_atomically(page, f"{head}{opening}\n{text}\n{closing}{tail}")


if __name__ == "__main__":
    default = os.environ.get("FIELDCAST_DATA", HERE.parents[2] / "shared" / "data")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    try:
        shown, speed = cities(folder)
        air, month = weather(folder)
        with rc_context(STYLE):  # pyright: ignore[reportArgumentType]
            write_picture(draw_city(shown, speed.truth), HERE / "simulated_city.png")
            write_picture(draw_weather(air, month), HERE / "simulated_weather.png")
        figures = {
            "what": "statistics of simulated (seed 0) and of real readings", **statistics(shown, air, month),
            "machine": machine_record(), "versions": version_record(), "command": "python docs/pictures/simulators.py",
        }  # fmt: skip
        write_atomically(FIGURES, json.dumps(figures, indent=1) + "\n")
        paste(PAGE, "city", upright(figures["city"]))
        paste(PAGE, "weather", upright(figures["weather"]))
        paste(PAGE, "speed", speed_table(SPEED))
    except (FieldcastError, OSError) as error:
        sys.exit(f"simulators.py: {error}")
