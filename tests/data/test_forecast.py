"""A forecast says of every number when it was made, for when, for which sensor, in which unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fieldcast.data.forecast import Forecast
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from tests.tiny import tiny_readings


def label(readings: Readings, rows: list[int], horizon: int = 3, **settings: object) -> Forecast:
    form = Windows(readings, 6, horizon, **settings).form  # type: ignore[arg-type]
    shape = (len(rows), horizon, len(form.nodes), len(form.targets))
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Forecast.label(values, readings, np.array(rows), form)


def test_the_frame_labels_every_value() -> None:
    readings = tiny_readings(channels=2, units={"c0": "km/h", "c1": "veh"})
    forecast = label(readings, [100, 239], targets=["c1", "c0"], channels=["c0", "c1"])
    frame = forecast.to_frame()
    assert list(frame.columns) == ["origin", "step", "time", "node", "c1", "c0"] and len(frame) == 2 * 3 * 3
    for _, row in frame.iterrows():
        origin = [100, 239].index(int((row["origin"] - pd.Timestamp("2024-01-01")) / pd.Timedelta("1h")))
        assert row["time"] == row["origin"] + row["step"] * pd.Timedelta("1h")
        values = forecast.values[origin, row["step"] - 1, readings.nodes.index(row["node"])]
        assert row["c1"] == values[0] and row["c0"] == values[1]
    assert forecast.units == {"c1": "veh", "c0": "km/h"}
    assert frame["time"].max() == pd.Timestamp("2024-01-11 02:00"), "beyond the last row"


def test_the_dataset_holds_the_same() -> None:
    forecast = label(tiny_readings(units={"c0": "km/h"}), [50, 60])
    dataset = forecast.to_xarray()
    assert dataset["c0"].dims == ("origin", "step", "node") and dataset["c0"].attrs["units"] == "km/h"
    np.testing.assert_array_equal(dataset["c0"].values, forecast.values[..., 0])
    assert dataset["step"].values.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(dataset["time"].values, forecast.time)


def test_months_are_months() -> None:
    forecast = label(tiny_readings(rows=120, frequency="1MS", start="2000-01-01"), [0, 119])
    assert forecast.time.astype("datetime64[D]").astype(str).tolist() == [
        ["2000-02-01", "2000-03-01", "2000-04-01"], ["2010-01-01", "2010-02-01", "2010-03-01"],
    ]  # fmt: skip


def test_local_time_follows_the_clock_on_the_wall() -> None:
    utc = pd.date_range("2024-03-01", periods=240, freq="1h", tz="UTC")
    stamps = utc.tz_convert("America/New_York").tz_localize(None)
    readings = Readings.from_array(np.ones((240, 1), np.float32), stamps, timezone="America/New_York", frequency="1h")
    row = int(np.flatnonzero(readings.time == np.datetime64("2024-03-10T06:00"))[0])
    frame = label(readings, [row]).to_frame()
    assert frame["time"].dt.hour.tolist() == [7, 8, 9], "UTC"
    assert frame["local_time"].dt.hour.tolist() == [3, 4, 5], "two o'clock does not exist that night"
    assert "from 2024-03-10T01:00 America/New_York, 3 steps" in repr(label(readings, [row]))


@pytest.mark.parametrize("name", ["f.csv", "f.parquet"])
def test_written_and_read_again(name: str, tmp_path: Path) -> None:
    forecast = label(tiny_readings(), [10, 20])
    path = forecast.write(tmp_path / "deep" / name)
    again = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, parse_dates=["origin", "time"])
    frame = forecast.to_frame()
    assert list(again.columns) == list(frame.columns) and len(again) == len(frame)
    assert (again["time"].to_numpy() == frame["time"].to_numpy()).all()
    np.testing.assert_allclose(again["c0"], frame["c0"])
    assert [each.name for each in path.parent.iterdir()] == [name], "nothing is left beside it"


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match=r"end the name in \.parquet or \.csv"):
        label(tiny_readings(), [10]).write(tmp_path / "forecast.xlsx")
    assert not list(tmp_path.iterdir())


def test_the_text_says_what_it_is() -> None:
    assert repr(label(tiny_readings(), [10, 20])) == "Forecast(c0: 2 origins from 2024-01-01T10:00, 3 steps, 3 nodes)"
