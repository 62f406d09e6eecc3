"""Simulated weather is reproducible, behaves like what it simulates, and tells the truth about itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fieldcast.data.catalog.simulate import Simulation, WeatherTruth, simulate_weather, simulated_weather
from fieldcast.errors import FieldcastError

KM = 0.25 * 111.195  # a cell from north to south

Weather = Simulation[WeatherTruth]


@pytest.fixture(scope="module")
def month() -> Weather:
    return simulate_weather(12, 16, 24 * 30, seed=2)


@pytest.fixture(scope="module")
def half_year() -> Weather:
    """From January into the end of July."""
    return simulate_weather(6, 8, 24 * 210)


@pytest.fixture(scope="module")
def planted() -> Weather:
    return simulate_weather(
        8, 10, 24 * 30, seed=4, useless=3, dead=2, duplicates=4, driven=6, missing=0.05, outages=0.8
    )  # fmt: skip


def temperature(weather: Weather) -> np.ndarray:
    return weather.readings.values[..., 0]


def anomaly(weather: Weather) -> np.ndarray:
    """Temperature less its year and its day: float32 [time, N]."""
    return temperature(weather) - weather.truth.cycle(np.arange(len(temperature(weather))))


# The same bits, the right form


def test_weather_is_a_grid_with_units_and_the_same_bits() -> None:
    readings = simulated_weather(5, 7, 48, seed=1)
    assert readings.shape == (48, 35, 4) and readings.grid == (5, 7) and readings.frequency == "1h"
    assert readings.targets == ("temperature",) and readings.unit("temperature") == "degC"
    assert readings.meta.name == "simulated_weather" and readings.meta.role.startswith("simulated")
    assert readings.coordinates is not None and readings.coordinates[0, 0] > readings.coordinates[-1, 0]
    assert readings.hash == simulated_weather(5, 7, 48, seed=1).hash != simulated_weather(5, 7, 48, seed=2).hash


def test_every_option_gives_the_same_bits_again() -> None:
    options = {
        "missing": 0.1, "clusters": 3, "useless": 1, "dead": 1, "duplicates": 2, "driven": 2, "own_dynamics": 1.0,
    }  # fmt: skip
    first, again = (simulate_weather(5, 7, 48, 1, **options) for _ in range(2))
    assert first.readings.hash == again.readings.hash and first.truth.outages == again.truth.outages
    assert np.array_equal(first.truth.regime, again.truth.regime)


def test_the_plain_form_is_the_same_weather() -> None:
    whole = simulate_weather(4, 6, 30, 3, missing=0.2, outages=0)
    assert simulated_weather(4, 6, 30, 3, missing=0.2).hash == whole.readings.hash
    assert whole.graph.nodes == 24 and len(whole.graph.edge_weight) == 2 * (4 * 5 + 3 * 6 + 2 * 3 * 5)
    truth = whole.truth
    assert not truth.outages and truth.hub is None and not truth.own_dynamics.any() and not truth.regime.any()
    assert set(truth.cluster) == {0}


def test_a_second_thread_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = simulated_weather(5, 7, 24)
    monkeypatch.setattr("fieldcast.data.catalog.simulate.weather._LARGE", 1)
    assert simulated_weather(5, 7, 24).hash == alone.hash


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    steps=st.integers(1, 30),
    seed=st.integers(0, 2**32),
    missing=st.sampled_from([0.0, 0.2, 0.9]),
    outages=st.sampled_from([0.0, 0.5, 1.0]),
    own=st.sampled_from([0.0, 2.0]),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_any_small_weather(
    rows: int, columns: int, steps: int, seed: int, missing: float, outages: float, own: float, data: st.DataObject
) -> None:
    cells = rows * columns
    clusters = data.draw(st.integers(1, cells))
    useless, dead = (data.draw(st.integers(0, (cells - 1) // 2)) for _ in range(2))
    duplicates = cells - useless - dead - 1
    readings, graph, truth = simulate_weather(
        rows, columns, steps, seed, missing=missing, outages=outages, clusters=clusters, own_dynamics=own,
        useless=useless, dead=dead, duplicates=duplicates,
    )  # fmt: skip
    assert readings.shape == (steps, cells, 4) and graph.nodes == cells
    seen = readings.values[readings.observed]
    assert np.isfinite(seen).all()
    humidity = readings.values[..., 1][readings.observed[..., 1]]
    assert ((humidity >= 0) & (humidity <= 130)).all()
    assert set(truth.cluster) == set(range(clusters)) and truth.regime.shape == (steps, clusters)
    for outage in truth.outages:
        assert 0 <= outage.node < cells and 0 <= outage.start < outage.end <= steps


# What it simulates


def test_weather_has_days_seasons_and_neighbours(half_year: Weather) -> None:
    warmth, humidity = temperature(half_year), half_year.readings.values[..., 1]
    hours = warmth.reshape(210, 24, -1).mean(axis=(0, 2))
    assert hours[14:19].min() > hours[3:8].max() + 1
    assert warmth[24 * 180 :].mean() > warmth[: 24 * 30].mean() + 5
    assert humidity.min() >= 0 and humidity.max() <= 100
    daily = np.diff(anomaly(half_year).reshape(210, 24, 6, 8).mean(axis=1), axis=0)
    near = np.corrcoef(daily[:, 2, 2], daily[:, 2, 3])[0, 1]
    assert near > 0.8 and near > np.corrcoef(daily[:, 0, 0], daily[:, 5, 7])[0, 1]


def test_the_truth_knows_the_day_and_the_year_of_every_cell(half_year: Weather) -> None:
    cycle = half_year.truth.cycle(np.arange(24 * 210))
    for parts in ((210, 24), (7, 720)):  # means by the hour; by the month
        axis = 0 if parts[1] == 24 else 1
        seen, known = (each.reshape(*parts, -1).mean(axis=axis) for each in (temperature(half_year), cycle))
        seen, known = seen - seen.mean(axis=0), known - known.mean(axis=0)
        assert (seen * known).sum() / np.square(known).sum() == pytest.approx(1, abs=0.2)
    assert abs(anomaly(half_year).mean()) < 1 and 1 < anomaly(half_year).std() < 3
    clear = temperature(half_year)[: 24 * 209].reshape(209, 24, -1).mean(axis=0)
    warmest = clear.argmax(axis=0)[half_year.truth.land > 0.5]
    away = (warmest - half_year.truth.noon[half_year.truth.land > 0.5] + 12) % 24 - 12
    assert np.abs(away).max() <= 1.5


def test_the_truth_knows_the_wind(month: Weather) -> None:
    blown = np.stack([np.stack(month.truth.wind.at(row), axis=-1).reshape(-1, 2) for row in range(24 * 30)])
    noise = month.readings.values[..., 2:] - blown
    np.testing.assert_allclose(noise.std(axis=(0, 1)), month.truth.noise[2:], rtol=0.02)
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.02 * noise.var()


def test_the_wind_has_no_divergence(month: Weather) -> None:
    """What flows into a cell flows out again, up to the differences between neighbours being finite."""
    for row in (0, 300, 700):
        east, north = month.truth.wind.at(row)
        across, along = np.gradient(east, axis=1), -np.gradient(north, axis=0)  # rows run south
        inner = (slice(1, -1), slice(1, -1))
        assert np.abs((across + along)[inner]).max() < 0.1 * np.abs(across[inner]).max()


def test_what_the_wind_brings_was_upwind_before(month: Weather) -> None:
    """Carried along the true wind, an anomaly foretells the next hour better than left in place or sent back."""
    field = anomaly(month).reshape(-1, 12, 16)
    assert month.readings.coordinates is not None
    narrow = np.cos(np.radians(month.readings.coordinates[:, 0].reshape(12, 16)))
    y, x = np.indices((12, 16))
    error = {1: 0.0, 0: 0.0, -1: 0.0}
    for row in range(0, len(field) - 1, 2):
        east, north = month.truth.wind.at(row + 1)
        for way in error:
            upwind = np.stack([y + way * 3.6 * north / KM, x - way * 3.6 * east / (KM * narrow)])
            carried = ndimage.map_coordinates(field[row], upwind, order=1, mode="nearest")
            error[way] += float(np.square(carried - field[row + 1])[2:-2, 2:-2].sum())
    assert error[1] < 0.85 * error[0] < 0.85 * error[-1]


# What it says is true


def test_regions_share_a_climate() -> None:
    weather = simulate_weather(12, 16, 24 * 30, seed=2, clusters=3)
    plain, truth = simulate_weather(12, 16, 24 * 30, seed=2), weather.truth
    likeness = np.corrcoef(anomaly(weather).T, truth.regime.T)[:192, 192:]
    assert (likeness.argmax(axis=1) == truth.cluster).all()
    alike = np.corrcoef(anomaly(weather).T)
    place = np.indices((12, 16)).reshape(2, -1).T
    apart = np.abs(place[:, None] - place).sum(axis=-1)
    same = truth.cluster[:, None] == truth.cluster
    for cells in (1, 3):  # a border tells more than the distance
        assert alike[(apart == cells) & same].mean() > alike[(apart == cells) & ~same].mean() + 0.2
    assert np.array_equal(weather.readings.values[..., 2:], plain.readings.values[..., 2:])  # winds know no border
    with pytest.raises(FieldcastError, match="give as many or fewer"):
        simulate_weather(2, 2, 3, clusters=5)


def test_dead_cells_are_constant_and_useless_ones_noise(planted: Weather) -> None:
    truth, values = planted.truth, planted.readings.values
    assert len(truth.dead) == 2 and len(truth.useless) == 3
    assert (np.nanstd(values[:, truth.dead], axis=0) == 0).all()
    assert (np.nanstd(np.delete(values, truth.dead, axis=1), axis=0) > 0).all()
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    filled = filled - filled.mean(axis=0)
    memory = np.mean(filled[1:] * filled[:-1], axis=0) / np.maximum(filled.var(axis=0), 1e-9)  # [N, C]
    assert (np.abs(memory[truth.useless]) < 0.12).all()
    ordinary = np.setdiff1d(np.arange(80), [*truth.dead, *truth.useless])
    assert (memory[ordinary][:, [0, 2, 3]] > 0.5).all()


def test_duplicates_are_equal_to_the_bit_and_missing_together(planted: Weather) -> None:
    copies, originals = planted.truth.duplicates
    assert len(copies) == 4
    assert np.array_equal(planted.readings.values[:, copies], planted.readings.values[:, originals], equal_nan=True)
    assert np.array_equal(planted.readings.observed[:, copies], planted.readings.observed[:, originals])


def test_the_hub_is_found_in_the_readings_by_its_lag() -> None:
    weather = simulate_weather(8, 10, 24 * 30, seed=4, driven=6)
    hub, change = weather.truth.hub, np.diff(anomaly(weather), axis=0)
    assert hub is not None and hub.lag == 3
    driver, rows = change[:-9, hub.node], len(change) - 9
    for node in range(80):
        likeness = [np.corrcoef(driver, change[lag : rows + lag, node])[0, 1] for lag in range(1, 9)]
        assert (1 + int(np.argmax(likeness)) == hub.lag and max(likeness) > 0.5) == (node in hub.driven), node


def test_own_dynamics_are_those_that_the_truth_names() -> None:
    own, plain = simulate_weather(6, 7, 24 * 40, seed=4, own_dynamics=1.5), simulate_weather(6, 7, 24 * 40, seed=4)
    added = (temperature(own) - temperature(plain)).astype(np.float64)
    assert added.std() == pytest.approx(1.5, abs=0.15)
    for node in range(42):
        past = np.stack([added[1:-1, node], added[:-2, node]], axis=1)
        found = np.linalg.lstsq(past, added[2:, node], rcond=None)[0]
        np.testing.assert_allclose(found, own.truth.own_dynamics[:, node], atol=0.08)
    assert np.array_equal(own.readings.values[..., 1:], plain.readings.values[..., 1:])


def test_outages_are_the_missing_blocks(planted: Weather) -> None:
    lost, told = ~planted.readings.observed, np.zeros((24 * 30, 80), dtype=bool)
    for outage in planted.truth.outages:
        told[outage.start : outage.end, outage.node] = True
    assert told.any() and lost[told].all()  # in all channels
    assert not lost[~told].all(axis=-1).any()  # what is lost one by one is lost in a channel
    assert lost.mean() == pytest.approx(0.05, rel=0.25)


def test_planting_leaves_the_other_cells_as_they_are() -> None:
    plain, weather = simulate_weather(4, 5, 30), simulate_weather(4, 5, 30, useless=2, dead=2, duplicates=2, driven=2)
    truth = weather.truth
    changed = np.flatnonzero((plain.readings.values != weather.readings.values).any(axis=(0, 2)))
    assert truth.hub is not None
    roles = [*truth.useless, *truth.dead, *truth.duplicates[0], truth.hub.node, *truth.hub.driven]
    assert len(set(roles)) == len(roles) == 9 and set(changed) == set(roles)


@pytest.mark.parametrize(
    "options",
    [
        {"rows": 0}, {"steps": 0}, {"missing": -0.1}, {"rows": 171}, {"seed": -1}, {"outages": 2.0}, {"clusters": 0},
        {"dead": -1}, {"own_dynamics": float("nan")},
    ],
)  # fmt: skip
def test_weather_that_cannot_be_simulated_is_refused(options: dict) -> None:
    with pytest.raises(FieldcastError, match="give"):
        simulate_weather(**({"rows": 3, "columns": 3, "steps": 2} | options))


def test_more_roles_than_cells_are_refused() -> None:
    with pytest.raises(FieldcastError, match="plant fewer"):
        simulate_weather(2, 2, 3, useless=3, dead=2)
