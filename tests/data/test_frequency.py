"""Steps: their text, their arithmetic, and how they are read off timestamps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fieldcast.data.frequency import Step
from fieldcast.errors import FieldcastError

JANUARY = np.datetime64("2000-01-01", "ns")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("5min", "5min"), ("60min", "1h"), ("h", "1h"), ("24h", "1D"), ("1h30min", "90min"), ("30s", "30s"),
        ("D", "1D"), ("W", "7D"), ("W-MON", "7D"), ("MS", "1MS"), ("1MS", "1MS"), ("ME", "1ME"), ("QS", "3MS"),
        ("YS", "1YS"), ("2YS", "2YS"), ("12MS", "1YS"), (np.timedelta64(5, "m"), "5min"), (pd.Timedelta("1h"), "1h"),
    ],
)  # fmt: skip
def test_a_frequency_is_written_in_one_way(given: object, text: str) -> None:
    assert Step.parse(given, "x").text(JANUARY) == text


@pytest.mark.parametrize("given", ["5T", "M", "B", "0min", "-5min", "often", "", "5"])
def test_what_is_no_step_is_refused(given: str) -> None:
    with pytest.raises(FieldcastError, match="not understood: write one such as 5min"):
        Step.parse(given, "x")


@pytest.mark.parametrize("frequency", ["5min", "1h", "1D", "7D", "1MS", "1ME", "3MS", "1YS", "1YS-APR", "1YE", "2YS"])
def test_a_step_is_read_off_its_stamps_and_agrees_with_pandas(frequency: str) -> None:
    stamps = pd.date_range("1999-06-01", periods=30, freq=frequency).to_numpy("datetime64[ns]")
    step = Step.infer(stamps)
    assert step is not None and step.text(stamps[0]) == frequency
    position, on_grid = step.positions(stamps)
    assert on_grid.all() and (position == np.arange(30)).all()
    assert (step.stamps(stamps[0], np.arange(30)) == stamps).all()


def test_the_most_common_difference_wins_over_gaps() -> None:
    stamps = pd.date_range("2020-01-01", periods=20, freq="1h").delete([3, 4, 5, 10]).to_numpy("datetime64[ns]")
    step = Step.infer(stamps)
    assert step is not None and step.text(stamps[0]) == "1h"
    assert Step.infer(stamps[:1]) is None


def test_a_stamp_off_the_months_is_off_the_grid() -> None:
    stamps = np.array(["2000-01-01", "2000-02-01", "2000-03-02", "2000-04-01"], dtype="datetime64[ns]")
    assert Step(months=1).positions(stamps)[1].tolist() == [True, True, False, True]
