"""Wall clocks over clock changes: the passes of the repeated hour are told apart by the order of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fieldcast.data.clock import check_timezone, fills_autumn_hour, own_timezone, steps_back_like_autumn, to_utc
from fieldcast.errors import FieldcastError

MINUTE = 60 * 10**9
PLACES = ["America/Los_Angeles", "Europe/Berlin", "Australia/Sydney", "America/Santiago", "Asia/Tokyo", "UTC"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
def test_a_whole_year_of_wall_clock_comes_back_in_utc(place: str, minutes: int) -> None:
    utc = pd.date_range("2012-01-01", "2013-01-01", freq=f"{minutes}min", tz="UTC")
    wall = utc.tz_convert(place).tz_localize(None)
    assert (to_utc(wall, place, minutes * MINUTE, "x") == utc.tz_localize(None).to_numpy()).all()


@pytest.mark.parametrize("lost", [slice(0, 5), slice(5, 12), slice(12, 20), slice(15, 24), slice(0, 12), slice(12, 24)])
def test_rows_lost_in_the_repeated_hour(lost: slice) -> None:
    utc = pd.date_range("2012-11-04 07:00", "2012-11-04 12:00", freq="5min", tz="UTC")
    hour = utc.get_loc(pd.Timestamp("2012-11-04 08:00", tz="UTC"))
    kept = utc.delete(np.arange(len(utc))[hour:][lost])
    wall = kept.tz_convert("America/Los_Angeles").tz_localize(None)
    found = to_utc(wall, "America/Los_Angeles", 5 * MINUTE, "x")
    assert (np.diff(found) > np.timedelta64(0)).all()
    if lost not in (slice(0, 5), slice(0, 12)):
        # Of one pass alone, or with its beginning lost, the stamps show no more than that an hour is missing.
        assert (found == kept.tz_localize(None).to_numpy()).all()


def test_data_that_begin_or_end_in_the_repeated_hour() -> None:
    wall = pd.DatetimeIndex(["2012-11-04 01:00", "2012-11-04 02:00", "2012-11-04 03:00"])
    assert to_utc(wall, "America/Los_Angeles", 60 * MINUTE, "x")[0] == np.datetime64("2012-11-04T09:00")
    wall = pd.DatetimeIndex(["2012-11-04 00:00", "2012-11-04 01:00"])
    assert to_utc(wall, "America/Los_Angeles", 60 * MINUTE, "x")[1] == np.datetime64("2012-11-04T08:00")


def test_the_hour_that_spring_leaves_out_is_refused() -> None:
    wall = pd.date_range("2012-03-11 01:50", periods=5, freq="5min")
    with pytest.raises(
        FieldcastError, match=r"row 2 of x .* 2012-03-11 02:00:00, which does not exist in America/Los_"
    ):
        to_utc(wall, "America/Los_Angeles", 5 * MINUTE, "x")


def test_a_repeated_hour_out_of_order_is_refused() -> None:
    wall = pd.DatetimeIndex([f"2012-11-04 01:{minute:02}" for minute in (30, 10, 40, 20, 50)])
    with pytest.raises(FieldcastError, match=r"rows 0 to 4 of x, .* give these timestamps in UTC"):
        to_utc(wall, "America/Los_Angeles", 10 * MINUTE, "x")


def test_timezones_by_name() -> None:
    assert check_timezone("Europe/Berlin") == "Europe/Berlin"
    with pytest.raises(FieldcastError, match="did you mean 'Europe/Berlin'"):
        check_timezone("Europe/Berln")
    for wrong in ("../etc", "America", ""):
        with pytest.raises(FieldcastError, match="is not known"):
            check_timezone(wrong)
    hours = pd.date_range("2012", periods=2, freq="h")
    assert own_timezone(hours.tz_localize("Europe/Berlin")) == "Europe/Berlin"
    assert own_timezone(hours.tz_localize("UTC")) == "UTC"
    assert own_timezone(hours.tz_localize("+02:00")) == "UTC"


def test_what_looks_like_an_autumn_change() -> None:
    def at(text: str) -> np.datetime64:
        return np.datetime64(text, "ns")

    assert steps_back_like_autumn(at("2012-11-04T01:55"), at("2012-11-04T01:00"), 5 * MINUTE)
    assert not steps_back_like_autumn(at("2012-11-04T13:55"), at("2012-11-04T13:00"), 5 * MINUTE)
    assert not steps_back_like_autumn(at("2012-07-04T01:55"), at("2012-07-04T01:00"), 5 * MINUTE)
    hour = pd.date_range("2012-10-28 02:00", periods=12, freq="5min").to_numpy()
    assert fills_autumn_hour(hour, 5 * MINUTE)
    assert not fills_autumn_hour(hour[:3], 5 * MINUTE)
    assert not fills_autumn_hour(hour + np.timedelta64(12, "h"), 5 * MINUTE)
    assert not fills_autumn_hour(hour[:0], 5 * MINUTE)
