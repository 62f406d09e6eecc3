"""New readings of the same sensors in; labelled forecasts in real units out."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.forecaster import Forecaster, create, predict
from tests.contracts.cases import ROWS, Sizes, Subject, tiny_values, tiny_windows
from tests.contracts.checks import refused

SIZES = Sizes()
NODES = [f"node{i}" for i in range(5)]


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Subject("stid").build()


@pytest.fixture(autouse=True)
def no_warning_unless_expected() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def readings(values: np.ndarray | None = None, time: object = None, **changes: object) -> Readings:
    """New readings in the form of the trained ones, unless changed."""
    given = tiny_values(SIZES, seed=3) if values is None else values
    options: dict[str, object] = {"nodes": NODES, "channels": ["channel0", "channel1"], "frequency": "6h"}
    if time is None:
        options["start"] = "2025-06-01"
    return Readings.from_array(given, time, **(options | changes))  # type: ignore[arg-type]


def test_the_latest_origin_by_default(forecaster: Forecaster) -> None:
    forecast = predict(forecaster, readings())
    assert forecast.values.shape == (1, 3, 5, 1) and np.isfinite(forecast.values).all()
    assert forecast.nodes == tuple(NODES) and forecast.targets == ("channel0",)
    assert forecast.origin[0] == np.datetime64("2025-06-30T18:00")
    assert (forecast.time[0] == pd.date_range("2025-07-01", periods=3, freq="6h").to_numpy()).all()


def test_any_order_of_sensors_and_channels(forecaster: Forecaster) -> None:
    expected = predict(forecaster, readings(), "all")
    order = [3, 1, 4, 0, 2]
    values = tiny_values(SIZES, seed=3)
    other = readings(values[:, order][:, :, ::-1], nodes=[NODES[i] for i in order], channels=["channel1", "channel0"])
    actual = predict(forecaster, other, "all")
    assert actual.nodes == expected.nodes and np.array_equal(actual.values, expected.values)


def test_a_channel_too_many_is_left_out(forecaster: Forecaster) -> None:
    values = tiny_values(SIZES, seed=3)
    wide = np.concatenate([values[..., :1] * 9, values], axis=2)
    other = readings(wide, channels=["humidity", "channel0", "channel1"])
    assert np.array_equal(predict(forecaster, other).values, predict(forecaster, readings()).values)


def test_an_absent_sensor_warns_and_counts_as_unobserved(forecaster: Forecaster) -> None:
    values = tiny_values(SIZES, seed=3)
    values[:, 2] = np.nan
    with pytest.warns(UserWarning, match="1 of 5 sensors, first 'node2', have no reading in the last 6 steps"):
        expected = predict(forecaster, readings(values))
    with pytest.warns(UserWarning, match="lacks 1 of 5 sensors, first 'node2': they count as unobserved"):
        actual = predict(forecaster, readings(values[:, [0, 1, 3, 4]], nodes=[NODES[i] for i in (0, 1, 3, 4)]))
    assert np.array_equal(actual.values, expected.values) and actual.nodes == tuple(NODES)


def test_what_does_not_fit_is_refused_in_a_sentence(forecaster: Forecaster) -> None:
    values = tiny_values(SIZES, seed=3)
    unknown = readings(values, nodes=[*NODES[:4], "nodeX"])
    assert "did you mean" in refused(predict, forecaster, unknown, match="does not know, first 'nodeX'")
    refused(
        predict, forecaster, readings(values, frequency="3h"), match="every 3h, the forecaster was trained on every 6h"
    )
    refused(predict, forecaster, readings(values, channels=["channel0", "speed"]), match="lacks the channel 'channel1'")
    zoned = readings(values, timezone="Europe/Berlin")
    refused(predict, forecaster, zoned, match="timezone Europe/Berlin")
    refused(predict, forecaster, readings(values[:5]), match="5 rows without a gap, the forecaster looks back 6")
    refused(predict, forecaster, readings(values[:5]), "all", match="no 6 rows")


def test_exactly_enough_history(forecaster: Forecaster) -> None:
    values = tiny_values(SIZES, seed=3)[-6:]
    start = str(pd.Timestamp("2025-06-30T18:00") - 5 * pd.Timedelta("6h"))
    expected = predict(forecaster, readings())
    actual = predict(forecaster, readings(values, start=start))
    np.testing.assert_allclose(actual.values, expected.values, rtol=1e-6)
    assert actual.origin == expected.origin


def test_origins_by_stamp_and_all(forecaster: Forecaster) -> None:
    data = readings()
    everything = predict(forecaster, data, "all")
    assert len(everything.origin) == ROWS - 6 + 1 and everything.origin[0] == data.time[5]
    some = predict(forecaster, data, ["2025-06-05T12:00", pd.Timestamp("2025-06-03")])
    rows = [int(np.flatnonzero(everything.origin == stamp)[0]) for stamp in some.origin]
    np.testing.assert_allclose(some.values, everything.values[rows], rtol=1e-5)
    assert (some.origin == np.array(["2025-06-05T12:00", "2025-06-03"], dtype="datetime64[ns]")).all()
    one = predict(forecaster, data, "2025-06-05T12:00")
    np.testing.assert_allclose(one.values, some.values[:1], rtol=1e-5)
    in_parts = predict(forecaster, data, "all", batch_size=7)
    np.testing.assert_allclose(in_parts.values, everything.values, rtol=1e-5)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("soon", "'soon' is no date"),
        ("2025-06-05T13:00", "no row at 2025-06-05 13:00:00"),
        ("2031-01-01", "no row at 2031"),
        ("2025-06-01", "fewer than 6 rows"),
        (None, "is no date"),
        (pd.NaT, "is no date"),
    ],
)
def test_origins_that_are_none(forecaster: Forecaster, origin: object, said: str) -> None:
    refused(predict, forecaster, readings(), [origin], match=said)


def test_no_forecast_looks_across_a_gap(forecaster: Forecaster) -> None:
    time = pd.date_range("2025-06-01", periods=ROWS + 40, freq="6h").delete(range(60, 100))
    data = readings(time=time)
    assert data.segment.tolist() == [0] * 60 + [1] * 60
    forecast = predict(forecaster, data, "all")
    assert len(forecast.origin) == 2 * (60 - 6 + 1)
    refused(predict, forecaster, data, [time[62]], match="fewer than 6 rows")
    short = readings(tiny_values(SIZES, seed=3)[:63], time[:63])
    refused(predict, forecaster, short, match="ends with 3 rows without a gap")


def test_dates_that_training_never_saw_are_neutral() -> None:
    tiny = tiny_windows(SIZES)
    windows = Windows(tiny.readings, 6, 3, channels=("channel0", "channel1"), split="rows 0:20 20:30 30:120")
    assert len(windows.form.calendar.seen[1]) == 5, "twenty rows of four a day are five days"
    forecaster = create("stid", windows, seed=0).eval()
    forecast = predict(forecaster, readings(), "all")
    assert np.isfinite(forecast.values).all()


def test_what_is_known_ahead_is_needed_for_the_whole_horizon() -> None:
    tiny = tiny_windows(SIZES)
    windows = Windows(tiny.readings, 6, 3, channels=("channel0", "channel1"), targets=["channel0"], future=["channel1"])
    forecaster = create("stid", windows, seed=0).eval()
    values = tiny_values(SIZES, seed=3)
    values[-3:, :, 0] = np.nan
    forecast = predict(forecaster, readings(values))
    assert forecast.origin[0] == readings(values).time[-4]
    refused(predict, forecaster, readings(tiny_values(SIZES, seed=3)[:8]), match="3 rows of what is known ahead")


def test_the_mode_of_the_forecaster_stays(forecaster: Forecaster) -> None:
    expected = predict(forecaster, readings()).values
    assert np.array_equal(predict(forecaster.train(), readings()).values, expected), "dropout is off"
    assert forecaster.training
    forecaster.eval()


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_forecasts_are_written_and_read_back(forecaster: Forecaster, ending: str, tmp_path: Path) -> None:
    forecast = predict(forecaster, readings(), ["2025-06-05T12:00", "2025-06-06"])
    path = forecast.write(tmp_path / f"forecast.{ending}")
    table = pd.read_parquet(path) if ending == "parquet" else pd.read_csv(path, parse_dates=["origin", "time"])
    assert list(table.columns) == ["origin", "step", "time", "node", "channel0"] and len(table) == 2 * 3 * 5
    row = table[(table["origin"] == "2025-06-06") & (table["step"] == 2) & (table["node"] == "node3")].iloc[0]
    assert row["time"] == pd.Timestamp("2025-06-06T12:00")
    assert row["channel0"] == pytest.approx(forecast.values[1, 1, 3, 0], rel=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [f"forecast.{ending}"]


def test_another_ending_is_refused(forecaster: Forecaster, tmp_path: Path) -> None:
    refused(predict(forecaster, readings()).write, tmp_path / "forecast.xlsx", match=r"\.parquet or \.csv")


def test_as_a_labelled_cube(forecaster: Forecaster) -> None:
    forecast = predict(forecaster, readings(), "all")
    cube = forecast.to_xarray()
    assert cube["channel0"].dims == ("origin", "step", "node")
    value = cube["channel0"].sel(origin="2025-06-06T00:00", node="node3", step=2)
    row = int(np.flatnonzero(forecast.origin == np.datetime64("2025-06-06"))[0])
    assert float(value) == forecast.values[row, 1, 3, 0]


def test_origins_are_wall_clock_times() -> None:
    """Where the readings have a timezone, 08:00 is eight o'clock there; an hour that came twice needs its offset."""
    values = np.arange(200.0)[:, None]
    stamps = pd.date_range("2024-10-31", periods=200, freq="1h", tz="America/Los_Angeles")
    zoned = Readings.from_array(values, stamps, frequency="1h", timezone="America/Los_Angeles")
    forecaster = create("last_value", Windows(zoned, 6, 3)).eval()
    row = list(stamps).index(pd.Timestamp("2024-11-01 08:00", tz="America/Los_Angeles"))
    for origin in ("2024-11-01 08:00", "2024-11-01T08:00-07:00", "2024-11-01T15:00Z"):
        forecast = predict(forecaster, zoned, [origin])
        assert forecast.values[0, 0, 0, 0] == pytest.approx(values[row, 0])
        assert pd.Timestamp(forecast.to_frame()["local_time"][0]) == pd.Timestamp("2024-11-01 09:00")
    refused(predict, forecaster, zoned, ["2024-11-03 01:00"], match="came twice on the wall clock")
    assert predict(forecaster, zoned, ["2024-11-03T01:00-08:00"]).values.shape == (1, 3, 1, 1)
    refused(predict, forecaster, zoned, [], match="no origin in the list")


def test_what_is_known_ahead_never_comes_from_behind_a_gap() -> None:
    time = pd.date_range("2024-01-01", periods=120, freq="1h").to_numpy(copy=True)
    time[100:] += np.timedelta64(48, "h")
    values = np.stack([np.sin(np.arange(120.0)), np.arange(120.0)], axis=1)[:, None]
    gapped = Readings.from_array(values, time, channels=["y", "holiday"], frequency="1h")
    windows = Windows(gapped, 6, 3, channels=["y", "holiday"], targets=["y"], future=["holiday"])
    forecaster = create("stid", windows, seed=0, width=4).eval()
    forecast = predict(forecaster, gapped, "all")
    steps = forecast.time[:, -1] - forecast.origin
    assert (steps == np.timedelta64(3, "h")).all()
    rows = np.searchsorted(time, forecast.origin)
    assert not np.isin(rows, [97, 98, 99]).any() and 96 in rows
    refused(predict, forecaster, gapped, [str(time[98])], match="choose a later one")


def test_what_is_known_ahead_changes_the_forecast() -> None:
    values = np.random.default_rng(0).normal(size=(120, 1, 2)).astype(np.float32)
    rows = Readings.from_array(values, start="2024-01-01", frequency="1h", channels=["y", "z"])
    windows = Windows(rows, 6, 3, channels=["y", "z"], targets=["y"], future=["z"])
    other = values.copy()
    other[-3:, :, 1] += 5
    moved = Readings.from_array(other, start="2024-01-01", frequency="1h", channels=["y", "z"])
    for name in ("stid", "lstm"):
        forecaster = create(name, windows, seed=0).eval()
        origin = [str(rows.time[-4])]
        assert not np.array_equal(predict(forecaster, rows, origin).values, predict(forecaster, moved, origin).values)
