"""Calendar ids equal pandas, and an id that training never saw is neutral."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.calendar import NEUTRAL, Calendar, steps_per_day
from fieldcast.data.formats import open_readings
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from tests.datasets import dataset_path
from tests.tiny import tiny_readings


@pytest.mark.parametrize(
    ("frequency", "slots"),
    [("5min", 288), ("15min", 96), ("30min", 48), ("1h", 24), ("6h", 4), ("7h", 4), ("1min", 1440), ("30s", 1440),
     ("100ms", 1440), ("1D", 1),
     ("7D", 1), ("1MS", 1), ("1ME", 1), ("3MS", 1), ("1YS", 1)],
)  # fmt: skip
def test_slots_of_a_day(frequency: str, slots: int) -> None:
    assert steps_per_day(frequency) == slots


@settings(deadline=None, max_examples=60)
@given(
    start=st.datetimes(min_value=pd.Timestamp("1970-01-01"), max_value=pd.Timestamp("2100-01-01")),
    frequency=st.sampled_from(["5min", "15min", "1h", "6h", "1D"]),
)
def test_ids_equal_pandas(start: pd.Timestamp, frequency: str) -> None:
    index = pd.date_range(pd.Timestamp(start).floor(frequency), periods=500, freq=frequency)
    ids = Calendar(frequency).raw(index)
    step = pd.Timedelta("1D" if frequency == "1D" else frequency)
    assert ids[:, 0].tolist() == [int((stamp - stamp.normalize()) // step) for stamp in index]
    assert ids[:, 1].tolist() == [stamp.day_of_week for stamp in index]
    assert ids[:, 2].tolist() == [stamp.day_of_year - 1 for stamp in index]
    assert ids.dtype == np.int64 and (ids < Calendar(frequency).sizes).all() and (ids >= 0).all()


def test_readings_beside_the_grid_of_slots_stay_inside() -> None:
    index = pd.date_range("2024-12-31 23:03", periods=5, freq="7min")
    ids = Calendar("7min").raw(index)
    assert steps_per_day("7min") == 206 and (ids[:, 0] < 206).all() and (np.diff(ids[:1, 0]) >= 0).all()


def test_the_leap_day_has_an_id() -> None:
    assert Calendar("1D").raw(pd.DatetimeIndex(["2024-12-31"]))[0, 2] == 365


def test_unseen_ids_are_neutral() -> None:
    hours = pd.date_range("2024-01-01 06:00", periods=6, freq="1h")  # a Monday morning
    calendar = Calendar("1h").fitted(hours)
    near = (*range(11), *range(356, 366))  # ten days around New Year
    assert calendar.seen == ((6, 7, 8, 9, 10, 11), (0,), near)
    ids = calendar.ids(pd.DatetimeIndex(["2024-01-01 07:00", "2024-01-22 12:00", "2025-01-01 08:00"]))
    assert ids.tolist() == [[7, 0, 0], [NEUTRAL, 0, NEUTRAL], [8, NEUTRAL, 0]]
    again = Calendar.from_json(json.loads(json.dumps(calendar.to_json())))
    assert again == calendar and again.ids(hours).tolist() == calendar.ids(hours).tolist()


def test_a_week_of_data_has_neutral_test_days() -> None:
    """los_loop_week trains from Thursday to Monday and is tested on Tuesday and Wednesday."""
    windows = Windows(open_readings(dataset_path("los_loop_week")), 12, 12)
    assert windows.form.calendar.seen[1] == (0, 3, 4, 5, 6), "Thursday to Monday"
    test = windows.batch(windows.starts("test"))
    assert (test.calendar[..., 1] == NEUTRAL).mean() > 0.9
    assert (test.calendar[-1, :, 1] == NEUTRAL).all() and (test.calendar[..., 0] >= 0).all()


def test_monthly_readings_have_one_slot() -> None:
    readings = tiny_readings(rows=120, frequency="1MS", start="1990-01-01")
    windows = Windows(readings, 12, 3)
    assert windows.form.calendar.sizes == (1, 7, 366)
    batch = windows.batch(windows.starts("train")[:1])
    assert batch.calendar[0, :, 0].tolist() == [0] * 15
    assert batch.calendar[0, :3, 2].tolist() == [0, 31, 59]


def test_the_wall_clock_of_the_timezone_decides() -> None:
    time = np.datetime64("2024-03-08T00:00") + np.arange(24 * 8) * np.timedelta64(1, "h")
    stamps = pd.DatetimeIndex(time).tz_localize("UTC").tz_convert("America/New_York").tz_localize(None)
    readings = Readings.from_array(np.ones((192, 1), np.float32), stamps, timezone="America/New_York", frequency="1h")
    windows = Windows(readings, 6, 3)
    ids = windows.batch(np.arange(150)).calendar[:, 0, 0]
    assert ids.tolist() == stamps.hour[:150].tolist(), "the hour that the clock on the wall shows, summer time too"


def test_ids_go_on_beyond_the_last_row() -> None:
    windows = Windows(tiny_readings(rows=240), 6, 3)
    ids = windows._gather.calendar
    assert len(ids) == 243 and ids[240:, 0].tolist() == [0, 1, 2]
