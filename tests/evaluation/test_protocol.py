"""The record beside every number, the spread over seeds, and the table."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.metrics import score_arrays
from fieldcast.evaluation.protocol import (
    across_seeds,
    format_table,
    protocol_record,
    score_row,
    to_jsonable,
)
from fieldcast.evaluation.rules import Arithmetic, ScoreRule


def record(**changes):
    given = {
        "dataset": "pems08_tail",
        "dataset_hash": "ab" * 32,
        "split": "tail",
        "null_rule": "none",
        "rule": ScoreRule("targets > 0", above=0.0),
        "lookback": 12,
        "horizon": 12,
        "windows": {"train": 2833, "validation": 692, "test": np.int64(3549)},
        "seeds": [0, 1, 2],
    }
    return protocol_record(**(given | changes))


def seed_scores(seed, horizon=4):
    rng = np.random.default_rng(seed)
    target = np.random.default_rng(99).normal(50, 10, (6, horizon, 3, 2))
    return score_arrays(target + rng.normal(0, 2, target.shape), target, channels=["in", "out"])


def test_record_says_how_the_number_was_made():
    made = record()
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["protocol"] == "TSB-12v1" and made["departures"] == []
    assert made["scored_cells"] == "targets > 0" and made["null_rule"] == "none" and made["split"] == "tail"
    assert made["windows"] == {"train": 2833, "validation": 692, "test": 3549} and made["seeds"] == [0, 1, 2]
    assert made["horizons_reported"] == [3, 6, 12] and made["averages_reported"] == ["mean12", "pooled12"]
    assert set(made["versions"]) == {"python", "torch", "numpy", "lightning", "fieldcast"}
    assert made["versions"]["numpy"] == np.__version__
    assert made["machine"]["cores"] >= 1 and made["machine"]["cpu"] and made["machine"]["platform"]


def test_foreign_arithmetic_stands_in_the_header():
    made = record(arithmetic=Arithmetic(mask="none"), compatibility={"split": "rows", "scaler": "all"})
    assert made["departures"] == ["mask=none", "split=rows", "scaler=all"]
    assert record(rule="all cells; targets > 0 beside")["scored_cells"] == "all cells; targets > 0 beside"


def test_evaluation_does_not_import_torch():
    code = "import sys, fieldcast.evaluation as e; e.protocol.machine_record(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_mean_and_sample_deviation_over_seeds():
    runs = [seed_scores(seed) for seed in range(3)]
    summary = across_seeds(runs)
    assert summary["seeds"] == 3
    values = [run["channels"]["out"]["mean"]["mae"] for run in runs]
    assert summary["mean"]["channels"]["out"]["mean"]["mae"] == pytest.approx(np.mean(values))
    assert summary["sd"]["channels"]["out"]["mean"]["mae"] == pytest.approx(np.std(values, ddof=1))
    per_step = [run["channels"]["in"]["per_horizon"]["rmse"] for run in runs]
    np.testing.assert_allclose(summary["sd"]["channels"]["in"]["per_horizon"]["rmse"], np.std(per_step, 0, ddof=1))
    assert summary["mean"]["channels"]["in"]["pooled"]["count"] == 72  # equal counts stay whole numbers
    assert summary["mean"]["rule"] == "observed cells" and summary["mean"]["channels"]["in"]["per_hour"] is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
@settings(deadline=None)
def test_spread_of_any_numbers(values):
    summary = across_seeds([{"a": [value, 1]} for value in values])
    assert summary["mean"]["a"][0] == pytest.approx(np.mean(values), abs=1e-9)
    if len(values) == 1:
        assert summary["sd"]["a"] == [None, None]
    else:
        assert summary["sd"]["a"][0] == pytest.approx(np.std(values, ddof=1), abs=1e-9) and summary["sd"]["a"][1] == 0


def test_a_seed_without_a_figure_is_not_left_out_of_the_mean():
    summary = across_seeds([{"mae": 1.0}, {"mae": float("nan")}, {"mae": None}])
    assert math.isnan(summary["mean"]["mae"]) and math.isnan(summary["sd"]["mae"])
    assert to_jsonable(summary) == {"seeds": 3, "mean": {"mae": None}, "sd": {"mae": None}}
    assert across_seeds([{"mae": None}, {"mae": None}])["mean"] == {"mae": None}


@pytest.mark.parametrize(
    ("runs", "word"),
    [
        ([], "at least one seed"),
        ([{"a": 1}, {"b": 1}], "names"),
        ([{"a": [1, 2]}, {"a": [1]}], "length"),
        ([{"rule": "all cells"}, {"rule": "observed cells"}], "scores.rule"),
        ([{"a": 1}, {"a": True}], "scores.a"),
        ([{"a": {"b": 1}}, {"a": 1}], "scores.a"),
    ],
)
def test_runs_of_different_settings_are_never_averaged(runs, word):
    with pytest.raises(FieldcastError, match=word):
        across_seeds(runs)


def test_scores_and_summary_round_trip_through_json():
    result = to_jsonable(seed_scores(0))
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    again = across_seeds([json.loads(json.dumps(to_jsonable(seed_scores(seed)))) for seed in range(3)])
    assert to_jsonable(again) == to_jsonable(across_seeds([seed_scores(seed) for seed in range(3)]))


def test_plain_forms_of_what_a_record_may_hold():
    @dataclass
    class Pair:
        left: float
        right: tuple[int, ...]

    days = np.array(["2016-08-20", "2016-08-21"], dtype="datetime64[D]")
    assert to_jsonable({1: Pair(float("inf"), (1, 2))}) == {"1": {"left": None, "right": [1, 2]}}
    assert to_jsonable([days, days[0], np.bool_(True), np.int64(3), np.float32(0.5), np.array([1.5, np.nan])]) == [
        ["2016-08-20", "2016-08-21"],
        "2016-08-20",
        True,
        3,
        0.5,
        [1.5, None],
    ]
    with pytest.raises(TypeError, match="set"):
        to_jsonable({1, 2})
    with pytest.raises(TypeError):
        to_jsonable(PurePosixPath("a"))


def test_row_shows_the_horizons_and_both_averages():
    run = seed_scores(0, horizon=12)
    row = score_row(run, "in")
    assert list(row) == [
        "MAE@3",
        "MAE@6",
        "MAE@12",
        "MAE mean12",
        "RMSE mean12",
        "MAPE mean12",
        "MAE pooled12",
        "RMSE pooled12",
    ]
    assert row["MAE@6"] == (run["channels"]["in"]["per_horizon"]["mae"][5], None)
    summary = across_seeds([seed_scores(seed, horizon=12) for seed in range(3)])
    assert score_row(summary, "out")["RMSE pooled12"] == (
        summary["mean"]["channels"]["out"]["pooled"]["rmse"],
        summary["sd"]["channels"]["out"]["pooled"]["rmse"],
    )
    with pytest.raises(FieldcastError, match="in, out"):
        score_row(run)
    with pytest.raises(FieldcastError, match="speed"):
        score_row(summary, "speed")


def test_table_is_aligned_and_shows_spread_and_gaps():
    text = format_table(
        [
            {"model": "last value", "windows": 869, "MAE@3": (13.456, None), "RMSE": 0.12345},
            {"model": "stid", "windows": 869, "MAE@3": (1.5, 0.012), "RMSE": float("nan"), "note": None},
        ]
    )
    assert text.split("\n") == [
        "model       windows        MAE@3    RMSE  note",
        "last value      869        13.46  0.1235     -",
        "stid            869  1.50 ± 0.01       -     -",
    ]
    assert "1.2000" in format_table([{"a": 1.2}], decimals=4)
    assert "(5.123" not in format_table([{"a": 5.1234}]) and "5.123" in format_table([{"a": 5.1234}])
    assert format_table([]) == ""


def test_gpu_is_named_when_torch_uses_one(monkeypatch):
    cuda = SimpleNamespace(is_available=lambda: True, get_device_name=lambda: "Some GPU")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert record()["machine"]["gpu"] == "Some GPU"
    monkeypatch.delitem(sys.modules, "torch")
    assert record()["machine"]["gpu"] is None
