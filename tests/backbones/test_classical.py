"""Each closed form against plain numpy over the same training rows and masks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.workflows.scoring import evaluate
from tests.backbones.common import forecast, solved
from tests.tiny import tiny_readings, tiny_values, with_gaps

SIZES = given(
    lookback=st.integers(1, 8), horizon=st.integers(1, 8), missing=st.sampled_from([0.0, 0.4, 0.9]),
    seed=st.integers(0, 1000), kind=st.sampled_from(["channel", "node"]),
)  # fmt: skip


def case(lookback: int, horizon: int, missing: float, seed: int, kind: str) -> Windows:
    """Two targets of three channels, some cells missing, in an order of their own."""
    values = tiny_values(120, 3, 3, missing, seed)
    values[:3] = tiny_values(3, 3, 3)  # each channel has a training reading
    readings = tiny_readings(values=values)
    return Windows(readings, lookback, horizon, channels=["c2", "c0", "c1"], targets=["c1", "c2"], scaler=kind)


def history(windows: Windows, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets of the look-back [T, N, O] with NaN where missing, and the training means [N, O] that stand in."""
    form = windows.form
    rows = slice(start, start + form.lookback)
    values = windows.readings.values[rows][..., windows.readings.channel_index(form.targets)]
    mean = np.broadcast_to(form.scaler.mean[:, form.target_index], values.shape[1:])
    return values, mean


@settings(deadline=None, max_examples=25)
@SIZES
def test_last_value_is_the_last_observed_reading(**sizes) -> None:
    windows = case(**sizes)
    starts = windows.starts("test")[::7]
    got = forecast(solved("last_value", windows), windows.batch(starts))
    for i, start in enumerate(starts):
        past, mean = history(windows, start)
        for n in range(3):
            for o in range(2):
                seen = past[~np.isnan(past[:, n, o]), n, o]
                np.testing.assert_allclose(got[i, :, n, o], seen[-1] if len(seen) else mean[n, o], rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=25)
@SIZES
def test_window_mean_is_the_mean_of_the_observed(**sizes) -> None:
    windows = case(**sizes)
    starts = windows.starts("test")[::7]
    got = forecast(solved("window_mean", windows), windows.batch(starts))
    for i, start in enumerate(starts):
        past, mean = history(windows, start)
        for n in range(3):
            for o in range(2):
                seen = past[~np.isnan(past[:, n, o]), n, o]
                expected = seen.mean() if len(seen) else mean[n, o]
                np.testing.assert_allclose(got[i, :, n, o], expected, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=25)
@SIZES
def test_inertia_repeats_the_last_steps_in_order(**sizes) -> None:
    windows = case(**sizes)
    lookback, horizon = sizes["lookback"], sizes["horizon"]
    starts = windows.starts("test")[::7]
    got = forecast(solved("historical_inertia", windows), windows.batch(starts))
    for i, start in enumerate(starts):
        past, mean = history(windows, start)
        filled = pd.DataFrame(past.reshape(lookback, -1)).ffill().to_numpy().reshape(past.shape)
        filled = np.where(np.isnan(filled), mean, filled)
        copied = filled[-horizon:] if lookback >= horizon else np.concatenate([filled] * horizon)[:horizon]
        np.testing.assert_allclose(got[i], copied, rtol=1e-4, atol=1e-4)


def test_inertia_of_a_day_is_the_day_before() -> None:
    windows = Windows(tiny_readings(rows=240), 24, 24, split="rows 0:100 100:150 150:240")
    batch = windows.batch(windows.starts("test"))
    np.testing.assert_allclose(forecast(solved("historical_inertia", windows), batch), batch.x, rtol=1e-5)


# Climatology


def training(windows: Windows) -> tuple[np.ndarray, pd.DatetimeIndex]:
    stop = windows.split.train_rows[1]
    values = windows.readings.values[:stop][..., windows.readings.channel_index(windows.form.targets)]
    return values.astype(np.float64), windows.readings.local_time()[:stop]


def ahead(windows: Windows, start: int) -> pd.DatetimeIndex:
    first = start + windows.form.lookback
    return windows.readings.local_time()[first : first + windows.form.horizon]


def mean_of(values: np.ndarray, rows: np.ndarray, *fallbacks: np.ndarray) -> np.ndarray:
    """Mean over ``rows`` where observed [N, O], else over the first of the fallback rows that has a value."""
    result = np.full(values.shape[1:], np.nan)
    for chosen in (rows, *fallbacks, np.ones(len(values), bool)):
        part = np.ma.masked_invalid(values[chosen])
        mean = part.mean(axis=0).filled(np.nan) if len(part) else np.full(values.shape[1:], np.nan)
        result = np.where(np.isnan(result), mean, result)
    return result


def test_daily_climatology_is_the_mean_of_the_slot() -> None:
    values = tiny_values(24 * 12, 3, 2, missing=0.5)
    values[np.arange(len(values)) % 24 == 5, 1] = np.nan  # node 1 never reads at five o'clock
    windows = Windows(tiny_readings(values=values), 6, 30, targets=["c1", "c0"], channels=["c0", "c1"])
    train, clock = training(windows)
    starts = windows.starts("test")[::5]
    got = forecast(solved("daily_climatology", windows), windows.batch(starts))
    for i, start in enumerate(starts):
        for h, stamp in enumerate(ahead(windows, start)):
            np.testing.assert_allclose(got[i, h], mean_of(train, clock.hour == stamp.hour), rtol=1e-5)


def test_daily_readings_take_the_days_around_the_same_day_of_the_year() -> None:
    wave = np.sin(2 * np.pi * np.arange(1200) / 365.25)[:, None, None]
    values = (50 + 20 * wave + np.random.default_rng(0).normal(0, 1, (1200, 2, 1))).astype(np.float32)
    values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    windows = Windows(tiny_readings(values=values, frequency="1D", start="2020-01-01"), 7, 14)
    train, clock = training(windows)
    starts = windows.starts("test")[::11]
    for reach in (10, 0):
        got = forecast(solved("daily_climatology", windows, reach=reach), windows.batch(starts))
        for i, start in enumerate(starts):
            for h, stamp in enumerate(ahead(windows, start)):
                apart = np.abs(clock.day_of_year - stamp.day_of_year)
                near = np.minimum(apart, 366 - apart) <= reach
                np.testing.assert_allclose(got[i, h], mean_of(train, near), rtol=1e-5)


def test_weekly_climatology_falls_back_to_the_slot_of_day() -> None:
    values = tiny_values(24 * 30, 3, 1, missing=0.3)
    hour = np.arange(len(values))
    values[(hour // 24 % 7 == 2) & (hour % 24 == 8), 0] = np.nan  # node 0 never reads on Wednesdays at eight
    values[:, 2] = np.where(hour[:, None] % 24 < 12, np.nan, values[:, 2])  # node 2 never in the morning
    windows = Windows(tiny_readings(values=values), 6, 24)
    train, clock = training(windows)
    starts = windows.starts("test")[::9]
    got = forecast(solved("weekly_climatology", windows), windows.batch(starts))
    for i, start in enumerate(starts):
        for h, stamp in enumerate(ahead(windows, start)):
            day = clock.hour == stamp.hour
            expected = mean_of(train, day & (clock.day_of_week == stamp.day_of_week), day)
            np.testing.assert_allclose(got[i, h], expected, rtol=1e-5)


def test_weekly_climatology_needs_two_training_weeks() -> None:
    short, silent = tiny_values(20 * 24, 3, 1), tiny_values(20 * 24, 3, 1)
    silent[24:48] = np.nan  # the first of two Tuesdays
    hole = with_gaps(tiny_readings(values=short), [5 * 24 - 1], hours=7 * 24)  # seventeen days with a week of silence
    for readings, rows, said in (
        (tiny_readings(values=short), 14 * 24, None),
        (tiny_readings(values=short), 13 * 24, "readings on 1 Sunday, so use daily_climatology"),
        (tiny_readings(values=silent), 14 * 24, "readings on 1 Tuesday"),
        (hole, 10 * 24, "readings on 1 Thursday"),
        (tiny_readings(values=short), 6 * 24, "readings on 0 Sundays"),
    ):
        windows = Windows(readings, 6, 3, split=f"rows 0:{rows} {rows}:400 400:480")
        if said is None:
            solved("weekly_climatology", windows)
        else:
            with pytest.raises(FieldcastError, match=f"needs two training weeks: .*{said}"):
                solved("weekly_climatology", windows)


def test_a_node_without_any_training_reading_gets_the_training_mean() -> None:
    values = tiny_values(240, 3, 1)
    values[:200, 1] = np.nan
    windows = Windows(tiny_readings(values=values), 6, 3)
    got = forecast(solved("daily_climatology", windows), windows.batch(windows.starts("test")[:2]))
    np.testing.assert_allclose(got[:, :, 1], windows.form.scaler.mean[0, 0], rtol=1e-6)


# Ridge VAR


def lagged(series: np.ndarray, segment: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with intercept and lags, latest first, and what follows them; none across a gap."""
    rows = [t for t in range(order, len(series)) if segment[t] == segment[t - order]]
    return np.stack([np.r_[1, series[t - order : t][::-1].ravel()] for t in rows]), np.stack([series[t] for t in rows])


def carried(series: np.ndarray, seen: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Each missing value is the last observed one of its segment, else 0."""
    filled = np.where(seen, series, 0.0)
    for t in range(1, len(series)):
        if segment[t] == segment[t - 1]:
            filled[t] = np.where(seen[t], series[t], filled[t - 1])
    return filled


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("kind", ["channel", "node"])
def test_ridge_var_equals_least_squares(order: int, kind: str) -> None:
    readings = with_gaps(tiny_readings(rows=300, channels=2, missing=0.1), [60, 150])
    windows = Windows(readings, 6, 5, channels=["c1", "c0"], targets=["c1", "c0"], scaler=kind)
    series = windows.training_series()
    flat = series.values.reshape(len(series.values), -1).astype(np.float64)
    seen = series.observed.reshape(flat.shape)
    z, _ = lagged(carried(flat, seen, series.segment), series.segment, order)
    (_, y), (_, there) = lagged(flat, series.segment, order), lagged(seen.astype(float), series.segment, order)
    # each target by the rows in which it was observed
    columns = [np.linalg.lstsq(z[there[:, i] > 0], y[there[:, i] > 0, i], rcond=None)[0] for i in range(y.shape[1])]
    expected = np.stack(columns, axis=1)
    forecaster = solved("ridge_var", windows, order=order, ridge=0.0)
    backbone = forecaster.backbone
    np.testing.assert_allclose(backbone.intercept.numpy().ravel(), expected[0], atol=1e-6)
    np.testing.assert_allclose(backbone.coefficients.numpy().reshape(order * 6, 6), expected[1:], atol=1e-6)
    # and the forecast is that equation, iterated
    batch = windows.batch(windows.starts("test")[:4])
    past = np.where(batch.observed, windows.form.scaler.transform(batch.x), 0).reshape(4, 6, -1)
    known = batch.observed.reshape(past.shape)
    past = np.stack([carried(past[i].astype(np.float64), known[i], np.zeros(6)) for i in range(4)])
    for i in range(4):
        steps = list(past[i].astype(np.float64))
        for _ in range(5):
            steps.append(np.r_[1, np.stack(steps[-order:])[::-1].ravel()] @ expected)
        scaled = np.stack(steps[6:]).reshape(5, 3, 2)
        real = scaled * windows.form.scaler.scale + windows.form.scaler.mean
        np.testing.assert_allclose(forecast(forecaster, batch)[i], real, rtol=1e-4, atol=1e-4)


def test_the_penalty_is_ridge_times_the_mean_square_and_spares_the_intercept() -> None:
    windows = Windows(tiny_readings(rows=300), 6, 3)
    series = windows.training_series()
    z, y = lagged(series.values[..., 0].astype(np.float64), series.segment, 2)
    penalty = 0.5 * np.trace(z[:, 1:].T @ z[:, 1:]) / 6 * np.diag([0, 1, 1, 1, 1, 1, 1])
    expected = np.linalg.solve(z.T @ z + penalty, z.T @ y)
    backbone = solved("ridge_var", windows, order=2, ridge=0.5).backbone
    np.testing.assert_allclose(backbone.intercept.numpy().ravel(), expected[0], atol=1e-6)
    np.testing.assert_allclose(backbone.coefficients.numpy().reshape(6, 3), expected[1:], atol=1e-6)


def test_a_simulated_var_is_recovered() -> None:
    """Check 34 of the protocol: VAR(2) over 20 nodes, coefficients within three standard errors."""
    rng = np.random.default_rng(0)
    nodes, rows = 20, 6000
    truth = rng.normal(0, 1, (2, nodes, nodes))
    companion = np.block([[truth[0], truth[1]], [np.eye(nodes), np.zeros((nodes, nodes))]])
    while np.abs(np.linalg.eigvals(companion)).max() > 0.9:  # shrink until it is stable
        truth *= 0.9
        companion[:nodes] = np.hstack([truth[0], truth[1]])
    series = np.zeros((rows, nodes))
    for t in range(2, rows):
        series[t] = truth[0] @ series[t - 1] + truth[1] @ series[t - 2] + rng.normal(0, 1, nodes)
    readings = tiny_readings(values=series[..., None].astype(np.float32))
    windows = Windows(readings, 2, 1, scaler="none", split="rows 0:5000 5000:5500 5500:6000")
    backbone = solved("ridge_var", windows, order=2, ridge=0.0).backbone
    got = backbone.coefficients.numpy().reshape(2 * nodes, nodes)
    expected = np.concatenate([truth[0].T, truth[1].T])  # from node to node
    z, y = lagged(series[:5000], np.zeros(5000), 2)
    noise = (y - z @ np.linalg.lstsq(z, y, rcond=None)[0]).var(axis=0)
    error = np.sqrt(np.diag(np.linalg.inv(z.T @ z))[1:, None] * noise)
    score = np.abs(got - expected) / error
    assert (score < 3).mean() > 0.985 and score.max() < 5, "three in a thousand lie beyond three by chance"
    assert np.abs(got - expected).max() < 0.1


def test_the_best_ridge_on_validation_is_taken() -> None:
    values = np.random.default_rng(0).normal(0, 1, (150, 12, 1)).astype(np.float32)  # noise: shrink it
    windows = Windows(tiny_readings(values=values), 3, 4)
    chosen = solved("ridge_var", windows).backbone.coefficients
    batch = windows.batch(windows.starts("validation"))
    errors = {}
    for ridge in (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0):
        forecaster = solved("ridge_var", windows, ridge=ridge)
        errors[ridge] = np.abs(forecast(forecaster, batch) - batch.y).mean()
        if np.array_equal(forecaster.backbone.coefficients, chosen):
            found = ridge
    assert found == min(errors, key=lambda ridge: errors[ridge]) and found > 1e-2


def test_a_dead_sensor_is_told_and_a_ridge_mends_it() -> None:
    values = tiny_values(240, 3, 1)
    values[:, 1] = values[:, 0]  # a copied sensor: the equations are singular
    windows = Windows(
        tiny_readings(values=np.concatenate([values, np.zeros_like(values)], axis=1)), 6, 3, scaler="none"
    )
    with pytest.raises(FieldcastError, match="raise its ridge"):
        solved("ridge_var", windows, ridge=0.0)
    assert np.isfinite(forecast(solved("ridge_var", windows), windows.batch(windows.starts("test")))).all()


@pytest.mark.parametrize(("hyper", "said"), [({"order": 0}, "order 0"), ({"ridge": -1.0}, "ridge -1.0")])
def test_impossible_settings_are_told(hyper: dict, said: str) -> None:
    with pytest.raises(FieldcastError, match=said):
        solved("ridge_var", Windows(tiny_readings(), 6, 3), **hyper)


def test_too_few_rows_are_told() -> None:
    windows = Windows(tiny_readings(rows=60), 3, 1, split="rows 0:4 4:30 30:60")
    with pytest.raises(FieldcastError, match="more than 3 training rows"):
        solved("ridge_var", windows)


def test_a_look_back_shorter_than_the_order_leaves_only_so_many_lags() -> None:
    backbone = solved("ridge_var", Windows(tiny_readings(), 2, 3), order=5).backbone
    assert backbone.order == 2 and backbone.coefficients.shape[0] == 2


def test_weekly_climatology_follows_the_wall_clock() -> None:
    """In a timezone the usual eight o'clock stays eight o'clock when summer time begins."""
    utc = pd.date_range("2024-02-05", periods=24 * 40, freq="1h", tz="UTC")
    clock = utc.tz_convert("America/New_York").tz_localize(None)
    values = (clock.hour.to_numpy() + 100 * clock.day_of_week.to_numpy()).astype(np.float32)[:, None]
    readings = Readings.from_array(values, clock, timezone="America/New_York", frequency="1h")
    windows = Windows(readings, 6, 3, split="rows 0:700 700:760 760:960")  # the clock changes in the test rows
    batch = windows.batch(windows.starts("test"))
    np.testing.assert_allclose(forecast(solved("weekly_climatology", windows), batch), batch.y, rtol=1e-5, atol=1e-3)


def test_ridge_var_keeps_its_worth_where_readings_are_missing() -> None:
    """On an autoregression with a third of its readings lost it still beats the last value."""
    rng = np.random.default_rng(0)
    values = np.zeros((3000, 2))
    for t in range(1, len(values)):
        values[t] = 0.8 * values[t - 1] + rng.normal(size=2)
    values[rng.random(values.shape) < 0.3] = np.nan
    windows = Windows(tiny_readings(values=values[..., None].astype(np.float32)), 6, 3)
    errors = {}
    for name in ("ridge_var", "last_value"):
        scores = evaluate(solved(name, windows), windows).scores["channels"]["c0"]
        errors[name] = scores["mean"]["mae"]
    assert errors["ridge_var"] < 0.95 * errors["last_value"]
