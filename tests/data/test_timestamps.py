"""Reading timestamps of any kind, and refusing what would have to be guessed."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from fieldcast.data.timestamps import looks_like_stamp, parse_stamps, row_numbers
from fieldcast.errors import FieldcastError

HOURS = pd.date_range("2012-03-01", periods=3, freq="h")


@pytest.mark.parametrize(
    "given",
    [
        HOURS,
        HOURS.to_numpy(),
        HOURS.to_numpy().astype("datetime64[s]"),
        pd.Series(HOURS),
        list(HOURS),
        [each.to_pydatetime() for each in HOURS],
        HOURS.to_period("h"),
        ["2012-03-01", "2012-03-01 01:00", "2012-03-01T02:00:00"],
        ["2012-3-1 0:00", "2012-3-1 1:00", "2012-3-1 2:00"],
        ["2012/03/01 00:00", "2012/03/01 01:00", "2012/03/01 02:00"],
        ["01 Mar 2012 00:00", "01 Mar 2012 01:00", "01 Mar 2012 02:00"],
        np.array([b"2012-03-01 00:00", b"2012-03-01 01:00", b"2012-03-01 02:00"]),
        pd.Series(["2012-03-01 00:00", "2012-03-01 01:00", "2012-03-01 02:00"], dtype="category"),
    ],
)
def test_the_same_hours_however_they_are_written(given: object) -> None:
    assert parse_stamps(given, "x").equals(HOURS.as_unit("ns"))


def test_days_as_dates_and_as_eight_digits() -> None:
    days = pd.DatetimeIndex(["2012-02-28", "2012-02-29", "2012-03-01"]).as_unit("ns")
    assert parse_stamps([dt.date(2012, 2, 28), dt.date(2012, 2, 29), dt.date(2012, 3, 1)], "x").equals(days)
    assert parse_stamps([20120228, 20120229, 20120301], "x").equals(days)
    assert parse_stamps(["20120228", "20120229", "20120301"], "x").equals(days)


@pytest.mark.parametrize(
    ("given", "first"),
    [
        (["13/02/2012 11:00 PM", "14/02/2012 12:30 AM"], "2012-02-13 23:00"),
        (["02/13/2012 00:05", "03/01/2012 00:10"], "2012-02-13 00:05"),
        (["31.12.2012", "01.01.2013"], "2012-12-31"),
    ],
)
def test_slashed_dates_are_read_as_the_column_proves(given: list[str], first: str) -> None:
    assert parse_stamps(given, "x")[0] == pd.Timestamp(first)


def test_aware_stamps_keep_their_instants() -> None:
    mixed = parse_stamps(["2012-03-11T01:00-08:00", "2012-03-11T03:00-07:00"], "x")
    assert (mixed.tz_convert("UTC") == pd.DatetimeIndex(["2012-03-11 09:00", "2012-03-11 10:00"], tz="UTC")).all()
    assert parse_stamps(["2012-03-01T00:00Z", "2012-03-01T01:00Z"], "x")[1] == pd.Timestamp(
        "2012-03-01 01:00", tz="UTC"
    )
    aware = [
        dt.datetime(2012, 3, 1, tzinfo=dt.UTC),
        dt.datetime(2012, 3, 1, tzinfo=dt.timezone(dt.timedelta(hours=-1))),
    ]
    assert parse_stamps(aware, "x")[1] == pd.Timestamp("2012-03-01 01:00", tz="UTC")
    named = HOURS.tz_localize("Europe/Berlin")
    assert str(parse_stamps(named, "x").tz) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["2012-03-01", "2012-03-02", "soon"], "row 2 of x, 'soon', is not a date"),
        (["2012-03-01 23:00", "2012-03-01 24:00"], "row 1 of x, '2012-03-01 24:00', is not a date"),
        (["now", "today"], "row 0 of x, 'now', is not a date"),
        (["2012-03-01", ""], "row 1 of x has no timestamp"),
        (["2012-03-01", None], "row 1 of x has no timestamp"),
        ([pd.Timestamp("2012"), pd.NaT], "row 1 of x has no timestamp"),
        (["01/02/2012", "02/02/2012"], "can be read day first or month first"),
        (["13/02/2012", "02/13/2012"], "can be read day first or month first"),
        (["13/02/2012", "2012"], "row 1 of x, '2012', is not a date"),
        (["01/03/12"], "row 0 of x, '01/03/12', is not a date"),
        (["2012-03-01T00:00Z", "2012-03-01T01:00"], "row 1 of x, '2012-03-01T01:00', differs from row 0"),
        ([dt.datetime(2012, 1, 1), dt.datetime(2012, 1, 2, tzinfo=dt.UTC)], "row 1 of x, .* differs from the first"),
        ([0, 1, 2], r"holds numbers \(0, 1, 2\), not dates"),
        (["0", "1", "2"], r"holds numbers \(0, 1, 2\), not dates"),
        ([1330560000.5, 1330560300.5], "holds numbers"),
        ([1330560000, 1330560300], "--start 2012-03-01 --frequency 5min"),
        ([True, False], "holds numbers"),
        (pd.to_timedelta([0, 1], unit="h"), "holds durations"),
        ([dt.datetime(2012, 1, 1), 3], "row 1 of x, '3', is not a date"),
        (np.array(["2012-01-01", "3012-01-01"], dtype="datetime64[s]"), "row 1 of x, .* lies outside the years"),
        (np.array([["2012-01-01"]]), "have shape"),
    ],
)
def test_what_is_no_date_is_refused_with_its_row(given: object, sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence):
        parse_stamps(given, "x")


def test_columns_that_only_count() -> None:
    assert row_numbers([3, 4, 6], "x").tolist() == [3, 4, 6]  # pyright: ignore[reportOptionalMemberAccess]
    assert row_numbers(["0", "1"], "x").tolist() == [0, 1]  # pyright: ignore[reportOptionalMemberAccess]
    for other in ([0.5, 1.5], [20120301, 20120302], ["2012-03-01"], HOURS, [True, False], [0.0, np.nan]):
        assert row_numbers(other, "x") is None


@pytest.mark.parametrize("cell", ["2012-03-01", "2012-03", "1/3/2012 00:05", "2012-03-01T00:05Z", "1 Mar 2012"])
def test_a_cell_that_looks_like_a_stamp(cell: str) -> None:
    assert looks_like_stamp(cell)


@pytest.mark.parametrize("cell", ["12.5", "773869", "20120301", "-3", "", "NA", "sensor1", "58_-10", "1e5", "1.2.3"])
def test_a_cell_that_does_not(cell: str) -> None:
    assert not looks_like_stamp(cell)
