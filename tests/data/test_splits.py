"""Splits: counts of the protocol, named splits of the real data, and no window across a border or a gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.formats import open_readings
from fieldcast.data.readings import Readings
from fieldcast.data.splits import PARTS, make_split, window_starts
from fieldcast.errors import FieldcastError
from tests.datasets import dataset_path
from tests.tiny import tiny_readings, with_gaps

# Rows and windows of the six benchmark datasets, protocol TSB-12v1 section 4.2(1).
BENCHMARKS = {
    "METR-LA": (34272, "7:1:2", (23974, 3425, 6850)),
    "PEMS-BAY": (52116, "7:1:2", (36465, 5209, 10419)),
    "PEMS03": (26208, "6:2:2", (15711, 5237, 5237)),
    "PEMS04": (16992, "6:2:2", (10181, 3394, 3394)),
    "PEMS07": (28224, "6:2:2", (16921, 5640, 5640)),
    "PEMS08": (17856, "6:2:2", (10700, 3567, 3566)),
}
# Windows of the default split of each real dataset, 12 -> 12 steps.
REAL = {
    "los_loop_week": (1395, 199, 399),
    "metr_la_10": (23974, 3425, 6850),
    "pems08_tail": (2833, 692, 3549),
    "nycbike1_grid": (381, 78, 841),
    "nycbike_drop": (692, 144, 868),
    "montevideo_bus": (433, 144, 144),
    "beijing_air": (24841, 4345, 5809),
    "noaa_daily": (707, 343, 342),
    "sst_pacific": (253, 25, 52),
    "era5_uk_t2m": (457, 73, 145),
}


def flat_readings(rows: int, **options: Any) -> Readings:
    options = {"start": "2012-03-01", "frequency": "5min"} | options
    return Readings.from_array(np.zeros((rows, 1), np.float32), **options)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_window_counts_of_the_protocol(name: str) -> None:
    rows, ratios, counts = BENCHMARKS[name]
    split = make_split(flat_readings(rows), 12, 12, f"windows-first {ratios}")
    assert tuple(len(getattr(split, part)) for part in PARTS) == counts
    every = np.concatenate([split.train, split.validation, split.test])
    assert every[0] == 0 and every[-1] + 24 == rows, "the last window ends with the last row"
    assert np.array_equal(every, np.arange(rows - 23)), "each window once, in order"
    assert split.train_rows == (0, counts[0] + 11), "the rows that training windows see as inputs"


@pytest.mark.parametrize("name", REAL)
def test_the_named_splits_of_the_real_data(name: str) -> None:
    readings = open_readings(dataset_path(name))
    split = make_split(readings, 12, 12)
    assert tuple(len(getattr(split, part)) for part in PARTS) == REAL[name]
    for text in readings.meta.splits:
        named = make_split(readings, 12, 12, text)
        assert named.name == text
        assert max(named.train) + 24 <= min(named.test) + 12, "no test label is a training row"


def test_the_pems08_test_windows_are_those_of_the_papers() -> None:
    split = make_split(open_readings(dataset_path("pems08_tail")), 12, 12, "tail")
    assert split.test[0] == 3571 and split.test[-1] + 24 == 7143 and split.train_rows == (0, 2856)


def test_the_last_tenth_of_training_is_held_out_where_no_validation_is_named() -> None:
    split = make_split(open_readings(dataset_path("los_loop_week")), 12, 3, "tgcn")
    assert split.train_rows == (0, 1451), "1612 rows less a tenth"
    assert split.train[-1] + 15 == 1451 and split.validation[0] == 1451 and split.validation[-1] + 15 == 1612
    assert split.test[0] == 1612 and len(split.test) == 404 - 14


@settings(deadline=None, max_examples=60)
@given(
    edges=st.lists(st.integers(0, 118), max_size=6, unique=True),
    lookback=st.integers(1, 8),
    horizon=st.integers(1, 8),
)
def test_no_window_crosses_a_gap_and_none_is_left_out(edges: list[int], lookback: int, horizon: int) -> None:
    segment = np.zeros(120, dtype=np.int64)
    for edge in edges:
        segment[edge + 1 :] += 1
    length = lookback + horizon
    expected = [row for row in range(120 - length + 1) if len(set(segment[row : row + length])) == 1]
    assert window_starts(segment, length).tolist() == expected


@settings(deadline=None, max_examples=40)
@given(
    first=st.integers(20, 50),
    second=st.integers(20, 50),
    gap=st.integers(0, 118),
    purge=st.integers(0, 3),
    form=st.sampled_from(["rows", "until", "table"]),
)
def test_windows_lie_inside_their_part(first: int, second: int, gap: int, purge: int, form: str) -> None:
    readings = with_gaps(tiny_readings(rows=140, nodes=1), [gap])
    a, b = first, first + second
    rule: Any = {
        "rows": f"rows 0:{a} {a}:{b} {b}:140",
        "until": f"until {readings.time[a - 1]} {readings.time[b - 1]}",
        "table": {"train": [0, a], "validation": [a, b], "test": [b, 140], "windows": "inside"},
    }[form]
    try:
        split = make_split(readings, 4, 3, rule, purge)
    except FieldcastError as error:
        assert "leaves no" in str(error)
        return
    every = window_starts(readings.segment, 7)
    for part, low, high in (("train", 0, a), ("validation", a, b), ("test", b, 140)):
        inside = every[(every >= low) & (every + 7 <= high)]
        kept = inside[: len(inside) - purge] if part != "test" else inside
        assert np.array_equal(getattr(split, part), kept)
    assert split.train_rows == (0, a)


def test_purge_leaves_no_label_row_in_two_parts() -> None:
    split = make_split(flat_readings(300), 6, 4, "windows-first 6:2:2", purge=3)
    plain = make_split(flat_readings(300), 6, 4, "windows-first 6:2:2")
    labels = [{row for w in getattr(split, part) for row in range(w + 6, w + 10)} for part in PARTS]
    assert not labels[0] & labels[1] and not labels[1] & labels[2]
    assert np.array_equal(split.test, plain.test) and split.train_rows == plain.train_rows
    assert len(plain.train) - len(split.train) == len(plain.validation) - len(split.validation) == 3


def test_a_date_on_both_sides_of_the_autumn_hour_takes_both() -> None:
    for rows in range(300, 400, 7):  # a bisection over a clock that goes back is right by chance
        utc = pd.date_range("2012-11-04T00:00", periods=rows, freq="30min", tz="UTC")
        stamps = utc.tz_convert("America/Los_Angeles").tz_localize(None)
        readings = Readings.from_array(
            np.ones((rows, 1), np.float32), stamps, frequency="30min", timezone="America/Los_Angeles"
        )
        wall = readings.local_time()
        split = make_split(readings, 2, 2, "until 2012-11-04T01:00 2012-11-07T00:00")
        assert wall[split.train_rows[1] - 1].isoformat() == "2012-11-04T01:00:00"
        assert (wall[split.train_rows[1] :] > "2012-11-04T01:00:00").all(), "the second 01:00 belongs to training too"


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("windows-frst 7:1:2", "other forms are"),
        ("windows-first 7:1", "other forms are"),
        ("windows-first 0:0:0", "add up to nothing"),
        ("windows-first 7:0:2", "leaves no validation window"),
        ("rows 0:100 100:150 150:500", "do not lie within the 200 rows"),
        ("rows 0:150 100:150 140:200", "parts must follow one another"),
        ("rows 0:100 100:160 140:200", "the validation rows of a split end at 160, after test rows begin at 140"),
        ("rows 50:40 50:60 60:200", "first row before the last"),
        ("until 2024-01-03 yesterdayish", "is no date"),
        ("until 2024-01-03 NaT", "is no date"),
        ("until 2024-01-03 2024-01-05T00:00+00:00", "on the wall clock"),
        ("until 2024-01-05 2024-01-03", "do not lie within"),
        ("rows 0:180 180:183 183:200", "leaves no validation window"),
        ({"train_until": "2024-01-03"}, "give validation_until too"),
        ({"train": [0, 100]}, "at least train and test"),
        ({"train": [0, 100], "test": [100, 200], "tset": [1, 2]}, "unknown key 'tset'"),
        ({"train": [0, 100], "test": [100, 200], "windows": "across"}, "only 'inside' exists"),
        ({"train": [0], "test": [100, 200]}, "the one behind the last"),
        ({"train": "0:100", "test": [100, 200]}, "the one behind the last"),
        ({"ratios": [7, 1]}, "three"),
        ({"ratios": [7, -1, 2]}, "three"),
        ({"ratios": [7, 1, 2], "purge": 4}, "unknown key 'purge'"),
    ],
)
def test_a_wrong_split_is_told_in_one_sentence(split: Any, said: str) -> None:
    with pytest.raises(FieldcastError, match=said) as caught:
        make_split(tiny_readings(rows=200), 6, 3, split)
    assert "\n" not in str(caught.value)


def test_a_misspelt_name_finds_its_neighbour() -> None:
    readings = tiny_readings(rows=200, splits={"tail": {"train": [0, 100], "test": [100, 200]}}, default_split="tail")
    assert make_split(readings, 6, 3).name == "tail"
    with pytest.raises(FieldcastError, match="did you mean 'tail'"):
        make_split(readings, 6, 3, "tial")


@pytest.mark.parametrize("split", ["windows-first 6:2:2", "rows 0:120 120:160 160:200"])
@pytest.mark.parametrize(("purge", "said"), [(40, "leaves no validation window"), (-1, "purge is -1")])
def test_a_purge_that_leaves_nothing_is_refused(split: str, purge: int, said: str) -> None:
    with pytest.raises(FieldcastError, match=said):
        make_split(tiny_readings(rows=200), 6, 3, split, purge)


def test_too_few_rows_are_told() -> None:
    with pytest.raises(FieldcastError, match="0 windows in all"):
        make_split(tiny_readings(rows=8), 6, 3)
