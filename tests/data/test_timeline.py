"""The time axis: gaps, nights, order, repeats, clock changes; every row kept once or refused with its mend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fieldcast.data.timeline import Timeline, clean_timeline
from fieldcast.errors import FieldcastError

PLACE = "America/Los_Angeles"
STEPS = pd.date_range("2020-02-03", periods=24, freq="5min")


def clean(time: Any, rows: int | None = None, **options: Any) -> Timeline:
    return clean_timeline(time, len(time) if rows is None else rows, source="x", **options)


def column(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Values that name their row, all observed."""
    values = np.arange(rows, dtype=np.float32).reshape(rows, 1, 1)
    return values, np.ones_like(values, dtype=bool)


# A regular axis


def test_a_regular_axis_is_left_as_it_is() -> None:
    timeline = clean(STEPS)
    values, observed = column(24)
    again, seen = timeline.apply(values, observed)
    assert again is values and seen is observed
    assert timeline.frequency == "5min" and timeline.timezone is None
    assert (timeline.time == STEPS.to_numpy()).all() and timeline.time.dtype == "datetime64[ns]"
    assert timeline.segment.dtype == np.int64 and not timeline.segment.any()


@pytest.mark.parametrize("frequency", ["5min", "1h", "1D", "7D", "1MS", "1ME", "1YS", "3MS"])
def test_the_frequency_is_found_and_a_given_one_agrees(frequency: str) -> None:
    stamps = pd.date_range("2001-01-01", periods=40, freq=frequency)
    for given_frequency in (None, frequency):
        timeline = clean(stamps, frequency=given_frequency)
        assert timeline.frequency == frequency and not timeline.segment.any()


def test_without_timestamps_start_and_frequency_make_them() -> None:
    timeline = clean(None, rows=3, start="2012-03-01", frequency="5min")
    assert (timeline.time == pd.date_range("2012-03-01", periods=3, freq="5min").to_numpy()).all()
    monthly = clean(None, rows=14, start="2000-12-01", frequency="1MS")
    assert monthly.time[-1] == np.datetime64("2002-01-01") and monthly.frequency == "1MS"
    counted = clean([0, 1, 2, 5], start="2012-03-01", frequency="5min")
    assert counted.time[-1] == np.datetime64("2012-03-01T00:25") and counted.segment.tolist() == [0, 0, 0, 1]


def test_one_row_needs_a_frequency() -> None:
    assert clean(["2012-03-01"], frequency="1h").frequency == "1h"


# Refusals


@pytest.mark.parametrize(
    ("time", "options", "sentence"),
    [
        (None, {}, "needs a start and a frequency: give --start 2012-03-01 --frequency 5min"),
        (None, {"start": "2012-03-01"}, "needs a frequency: give --start"),
        (None, {"frequency": "5min"}, "needs a start: give --start"),
        (None, {"start": "spring", "frequency": "5min"}, "start='spring' for x is not a date"),
        (None, {"start": "2012-03-05", "frequency": "1MS"}, "is not the first day of a month"),
        (list(range(24)), {}, "holds numbers .*--start 2012-03-01 --frequency 5min"),
        (list(range(0, 120, 5)), {"start": "2012-03-01", "frequency": "5min"}, "do not count rows one by one"),
        (STEPS, {"start": "2012-03-01"}, "leave start out"),
        (STEPS[:1], {}, "one timestamp only, .* give --frequency"),
        (STEPS[:20], {}, "24 rows but 20 timestamps"),
        (STEPS, {"frequency": "1h"}, "frequency 1h contradicts .* lie 5min apart, .* give --frequency 5min"),
        (STEPS, {"frequency": "1min"}, "frequency 1min contradicts"),
        (STEPS, {"frequency": "1MS"}, "frequency 1MS contradicts"),
        (STEPS, {"frequency": "5T"}, "'5T' for x is not understood"),
        (STEPS, {"timezone": "America/Los_Angels"}, "did you mean 'America/Los_Angeles'"),
        (STEPS, {"unordered": "sorted"}, "did you mean 'sort'"),
        (STEPS, {"repeated": "average"}, "give one of refuse, first, last, mean"),
        (STEPS, {"fill_gap": -1}, "fill_gap is -1"),
        (STEPS, {"fill_gap": 1.5}, "fill_gap is 1.5"),
    ],
)
def test_refusals_name_the_mend(time: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence):
        clean(time, rows=1 if time is not None and len(time) == 1 else 24, **options)


def test_rows_off_the_grid_are_refused_with_both_stamps() -> None:
    stamps = STEPS.to_numpy().copy()
    stamps[7] += np.timedelta64(2, "m")
    with pytest.raises(
        FieldcastError, match=r"row 7 of x, 2020-02-03 00:37:00, .* 5min after row 6, 2020-02-03 00:30:00"
    ):
        clean(stamps)
    order = np.arange(24)
    order[[6, 7, 20]] = order[[20, 6, 7]]  # the odd stamp now stands in row 20
    with pytest.raises(FieldcastError, match=r"row 20 of x, 2020-02-03 00:37:00, .* after row 7, 2020-02-03 00:30:00"):
        clean(stamps[order], unordered="sort")


def test_months_off_their_first_day_are_refused() -> None:
    middles = ["2012-01-15", "2012-02-15", "2012-03-15", "2012-04-15"]
    with pytest.raises(FieldcastError, match="for monthly rows the first day of each month"):
        clean(middles)
    with pytest.raises(FieldcastError, match=r"row 0 of x, .* is not on the grid of 1MS"):
        clean(middles, frequency="1MS")


def test_nothing_given_is_refused() -> None:
    with pytest.raises(FieldcastError, match="x has no rows"):
        clean([], rows=0)


# Gaps


def test_a_gap_begins_a_segment_and_a_short_one_may_be_filled() -> None:
    stamps = STEPS.delete([4, 10, 11, 12])
    assert clean(stamps).segment.tolist() == [0] * 4 + [1] * 5 + [2] * 11
    filled = clean(stamps, fill_gap=1)
    assert filled.segment.tolist() == [0] * 10 + [1] * 11
    values, seen = filled.apply(*column(20))
    assert np.isnan(values[4, 0, 0]) and not seen[4, 0, 0] and seen.sum() == 20
    assert (filled.time == STEPS.delete([10, 11, 12]).to_numpy()).all()
    whole = clean(stamps, fill_gap=3)
    assert (whole.time == STEPS.to_numpy()).all() and not whole.segment.any()


def test_nights_without_rows_make_segments() -> None:
    days = pd.date_range("2020-02-03", periods=24 * 5, freq="1h")
    open_hours = days[(days.hour >= 6) & (days.hour < 22)]
    timeline = clean(open_hours)
    assert timeline.frequency == "1h" and np.bincount(timeline.segment).tolist() == [16] * 5


def test_months_have_gaps_too() -> None:
    stamps = pd.date_range("2000-01-01", periods=24, freq="MS").delete([5, 6])
    assert clean(stamps).segment.tolist() == [0] * 5 + [1] * 17
    filled = clean(stamps, fill_gap=2)
    assert (filled.time == pd.date_range("2000-01-01", periods=24, freq="MS").to_numpy()).all()


# Order and repeats


def test_rows_out_of_order_are_refused_or_sorted() -> None:
    order = np.arange(24)
    order[[5, 6]] = order[[6, 5]]
    with pytest.raises(
        FieldcastError, match=r"row 6 of x goes back in time, from 2020-02-03 00:30:00 to .*00:25:00: give --un"
    ):
        clean(STEPS[order])
    timeline = clean(STEPS[order], unordered="sort")
    values, _ = timeline.apply(*column(24))
    assert (values[:, 0, 0] == np.argsort(order)).all() and (timeline.time == STEPS.to_numpy()).all()


def test_repeated_rows_are_refused_or_made_one() -> None:
    stamps = STEPS.insert(3, STEPS[2]).insert(4, STEPS[2])  # rows 2, 3 and 4
    with pytest.raises(
        FieldcastError, match="row 3 of x repeats the timestamp 2020-02-03 00:10:00 of row 2: give --repeated"
    ):
        clean(stamps)
    values, observed = column(26)
    observed[3] = False
    values[3] = np.nan
    for how, expected in (("first", 2.0), ("last", 4.0), ("mean", 3.0)):
        timeline = clean(stamps, repeated=how)
        kept, seen = timeline.apply(values, observed)
        assert kept[2, 0, 0] == expected and len(kept) == 24 and seen.all()
        assert kept[3, 0, 0] == 5 and not timeline.segment.any()
    observed[2:5] = False
    kept, seen = clean(stamps, repeated="mean").apply(values, observed)
    assert np.isnan(kept[2, 0, 0]) and not seen[2, 0, 0]
    assert values[2, 0, 0] == 2, "what was given is not written to"


# Clocks that change


def wall_clock(first: str, last: str, frequency: str) -> tuple[pd.DatetimeIndex, np.ndarray]:
    utc = pd.date_range(first, last, freq=frequency, tz=PLACE)
    return utc.tz_localize(None), utc.tz_convert("UTC").tz_localize(None).to_numpy()


@pytest.mark.parametrize("frequency", ["5min", "30min", "1h"])
@pytest.mark.parametrize("day", ["2012-03-11", "2012-11-04"])
def test_local_stamps_become_utc_continuous_over_the_change(day: str, frequency: str) -> None:
    wall, utc = wall_clock(f"{day} 00:00", f"{day} 23:00", frequency)
    timeline = clean(wall, timezone=PLACE)
    assert (timeline.time == utc).all() and not timeline.segment.any()
    assert (timeline.timezone, timeline.frequency) == (PLACE, frequency)


def test_without_a_timezone_spring_is_a_gap_and_autumn_is_refused() -> None:
    spring, _ = wall_clock("2012-03-11 00:00", "2012-03-11 06:00", "5min")
    assert clean(spring).segment.tolist() == [0] * 24 + [1] * (len(spring) - 24)
    autumn, _ = wall_clock("2012-11-04 00:00", "2012-11-04 06:00", "5min")
    with pytest.raises(
        FieldcastError, match=r"row 24 of x goes back .* --timezone America/Los_Angeles .*--unordered sort"
    ):
        clean(autumn)
    with pytest.raises(FieldcastError, match=r"row 24 of x repeats .* of row 12: .*--timezone .*--repeated first"):
        clean(autumn, unordered="sort")
    hours, _ = wall_clock("2012-11-03 00:00", "2012-11-04 06:00", "1h")
    with pytest.raises(FieldcastError, match=r"row 26 of x repeats .* of row 25: .*--timezone"):
        clean(hours)
    with pytest.raises(FieldcastError) as refusal:
        clean(STEPS.insert(3, STEPS[2]))
    assert "timezone" not in str(refusal.value)


def test_a_clock_that_never_changed_is_refused_with_a_timezone() -> None:
    with pytest.raises(FieldcastError, match=r"row 24 of x .* does not exist in America/Los_Angeles"):
        clean(pd.date_range("2012-03-11", periods=100, freq="5min"), timezone=PLACE)


def test_blocks_in_the_wrong_order_are_sorted_over_the_change() -> None:
    wall, utc = wall_clock("2012-11-04 00:00", "2012-11-04 06:00", "5min")
    order = np.concatenate([np.arange(40, len(wall)), np.arange(40)])
    timeline = clean(wall[order], timezone=PLACE, unordered="sort")
    assert (timeline.time == utc).all()
    assert (timeline.apply(*column(len(wall)))[0][:, 0, 0] == np.argsort(order)).all()


def test_days_keep_the_wall_clock_on_which_they_are_equally_long() -> None:
    days = pd.date_range("2012-03-01", periods=30, freq="D")
    for given_days in (days, days.tz_localize(PLACE)):
        timeline = clean(given_days, timezone=PLACE)
        assert (timeline.time == days.to_numpy()).all() and timeline.frequency == "1D" and timeline.timezone is None


def test_aware_stamps_are_instants_in_whichever_zone() -> None:
    utc = pd.date_range("2012-03-11", periods=100, freq="5min", tz="UTC")
    assert clean(utc).timezone == "UTC"
    assert clean(utc.tz_convert(PLACE)).timezone == PLACE
    assert clean(utc, timezone=PLACE).timezone == PLACE
    for each in (utc, utc.tz_convert(PLACE), utc.tz_convert("+05:30"), utc.strftime("%Y-%m-%dT%H:%MZ")):
        assert (clean(each).time == utc.tz_localize(None).to_numpy()).all()


def test_a_local_start_counts_equal_steps_over_the_change() -> None:
    timeline = clean(None, rows=48, start="2012-11-04", frequency="1h", timezone=PLACE)
    assert (
        timeline.time[0] == np.datetime64("2012-11-04T07:00")
        and (np.diff(timeline.time) == np.timedelta64(1, "h")).all()
    )
    assert clean(None, rows=2, start="2012-11-04", frequency="1D", timezone=PLACE).timezone is None


def test_steps_of_hours_that_follow_the_wall_clock_are_refused_with_their_mend() -> None:
    stamps = pd.date_range("2012-03-09", periods=30, freq="6h")
    with pytest.raises(FieldcastError, match="leave the timezone out"):
        clean(stamps, timezone=PLACE)
    assert clean(stamps).frequency == "6h"


# Properties


@st.composite
def axes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Row positions with gaps, some repeated and shuffled, and their timestamps."""
    ways = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, 7]), min_size=2, max_size=40))
    positions = np.concatenate([[0], np.cumsum(ways)])
    repeats = draw(st.lists(st.integers(1, 3), min_size=len(positions), max_size=len(positions)))
    rows = np.repeat(positions, repeats)
    rows = rows[np.array(draw(st.permutations(range(len(rows)))))]
    return rows, np.datetime64("2020-02-03", "ns") + rows * np.timedelta64(15, "m")


def mended(stamps: np.ndarray, **options: Any) -> Timeline:
    return clean(stamps, frequency="15min", unordered="sort", **options)


@settings(deadline=None, max_examples=60)
@given(axes(), st.integers(0, 4), st.sampled_from(["first", "last", "mean"]))
def test_segments_never_join_over_a_gap_and_never_break_within_one(
    axis: tuple[np.ndarray, np.ndarray], fill_gap: int, repeated: str
) -> None:
    rows, stamps = axis
    distinct = np.unique(rows)
    assume((np.diff(distinct) == 1).any())
    timeline = mended(stamps, repeated=repeated, fill_gap=fill_gap)
    ways = np.diff(timeline.time) // np.timedelta64(15, "m")
    crossed = np.diff(timeline.segment)
    assert ((crossed == 0) == (ways == 1)).all() and set(crossed) <= {0, 1} and timeline.segment[0] == 0
    assert (ways[ways > 1] > fill_gap + 1).all()
    _, seen = timeline.apply(*column(len(rows)))
    # Every given moment is there once, and what was put in is unobserved.
    moments = np.datetime64("2020-02-03", "ns") + distinct * np.timedelta64(15, "m")
    assert (timeline.time[seen[:, 0, 0]] == moments).all()


@settings(deadline=None, max_examples=60)
@given(axes())
def test_first_and_last_keep_one_given_row_each_and_mean_averages_the_observed(
    axis: tuple[np.ndarray, np.ndarray],
) -> None:
    rows, stamps = axis
    assume((np.diff(np.unique(rows)) == 1).any())
    values, observed = column(len(rows))
    observed[::3] = False
    frame = pd.DataFrame({"position": rows, "row": np.arange(len(rows), dtype=float)})
    groups = frame.groupby("position")["row"]
    for how, expected in (("first", groups.min()), ("last", groups.max())):
        kept, seen = mended(stamps, repeated=how).apply(values, observed)
        assert (kept[:, 0, 0] == expected.to_numpy()).all()
        assert (seen[:, 0, 0] == observed[expected.to_numpy().astype(int), 0, 0]).all()
    frame.loc[~observed[:, 0, 0], "row"] = np.nan
    kept, seen = mended(stamps, repeated="mean").apply(values, observed)
    mean = frame.groupby("position")["row"].mean().to_numpy()
    assert (seen[:, 0, 0] == np.isfinite(mean)).all()
    np.testing.assert_allclose(kept[seen], mean[np.isfinite(mean)], rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.permutations(range(24)))
def test_sorting_is_a_permutation(order: list[int]) -> None:
    timeline = clean(STEPS[order], unordered="sort")
    values, seen = timeline.apply(*column(24))
    assert seen.all() and (np.array(order)[values[:, 0, 0].astype(int)] == np.arange(24)).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 365 * 24), st.integers(2, 400), st.sampled_from([5, 15, 30, 60]))
def test_any_stretch_of_local_time_comes_back_in_utc(begin: int, rows: int, minutes: int) -> None:
    utc = pd.date_range("2012-01-01", periods=1, freq="h", tz="UTC")[0] + pd.Timedelta(hours=begin)
    stamps = pd.date_range(utc, periods=rows, freq=f"{minutes}min")
    wall = stamps.tz_convert(PLACE).tz_localize(None)
    ambiguous = wall.tz_localize(PLACE, ambiguous="NaT").isna()
    # A stretch within the repeated hour alone shows no order of its passes.
    assume(not ambiguous.all() and not (ambiguous[0] and ambiguous[-1]))
    assert (clean(wall, timezone=PLACE, frequency=f"{minutes}min").time == stamps.tz_localize(None).to_numpy()).all()
