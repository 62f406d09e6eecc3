"""What is said of readings and of backbones is true."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fieldcast.core.registry import BACKBONES
from fieldcast.data.formats import open_readings
from fieldcast.data.readings import Readings
from fieldcast.workflows.describing import describe, describe_models, describe_text
from tests.datasets import dataset_path
from tests.tiny import tiny_readings, tiny_values, with_gaps


def test_figures_of_the_channels() -> None:
    values = tiny_values(100, 3, 2, missing=0.25)
    values[:10, :, 0] = 0
    readings = tiny_readings(values=values, targets=("c1",), units={"c0": "km/h"})
    summary = describe(readings)
    assert (summary["rows"], summary["nodes"], summary["frequency"], summary["segments"]) == (100, 3, "1h", 1)
    first, second = summary["channels"]
    seen = values[..., 0][~np.isnan(values[..., 0])].astype(np.float64)
    assert first["mean"] == pytest.approx(seen.mean()) and first["sd"] == pytest.approx(seen.std())
    assert (first["min"], first["max"]) == (seen.min(), seen.max()) and first["unit"] == "km/h"
    assert first["missing_percent"] == pytest.approx(100 * np.isnan(values[..., 0]).mean())
    assert first["zero_percent"] == pytest.approx(100 * (seen == 0).mean())
    assert not first["target"] and second["target"]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    text = describe_text(summary)
    assert "tiny: 100 rows x 3 nodes every 1h" in text and "1 segment without a gap" in text and "c1 *" in text


def test_gaps_are_named() -> None:
    readings = with_gaps(tiny_readings(rows=100), list(range(9, 89, 10)))
    summary = describe(readings)
    assert summary["segments"] == 9 and len(summary["gaps"]) == 8
    assert summary["gaps"][0] == {"after": "2024-01-01T09:00:00.000000000", "next": "2024-01-03T10:00:00.000000000"}
    text = describe_text(summary)
    assert text.count("gap       after") == 5 and "and 3 more gaps" in text and "9 segments" in text


def test_times_are_those_of_the_wall_clock() -> None:
    stamps = pd.date_range("2024-03-09T12:00", periods=24, freq="1h", tz="America/New_York").tz_localize(None)
    stamps = stamps[stamps.hour != 2]
    readings = Readings.from_array(np.ones((len(stamps), 1)), stamps, timezone="America/New_York", frequency="1h")
    summary = describe(readings)
    assert summary["first"][:16] == "2024-03-09T12:00" and summary["last"][:16] == f"{stamps[-1]:%Y-%m-%dT%H:%M}"
    said = f"2024-03-09T12:00 to {summary['last'][:16]}"
    assert f"{said}, America/New_York" in describe_text(summary) and f"{said} America/New_York" in repr(readings)


def test_a_channel_without_readings_has_no_figures() -> None:
    values = tiny_values(50, 2, 2)
    values[..., 1] = np.nan
    channel = describe(tiny_readings(values=values))["channels"][1]
    assert channel["mean"] is None and channel["missing_percent"] == 100 and channel["zero_percent"] == 0
    assert "c1" in describe_text(describe(tiny_readings(values=values)))


def test_a_real_dataset() -> None:
    text = describe_text(describe(open_readings(dataset_path("nycbike1_grid"))))
    assert "1369 rows x 128 nodes every 1h, grid 16 x 8" in text and "tail (named: tail)" in text


def test_every_backbone_is_listed() -> None:
    models = {each["name"]: each for each in describe_models()}
    assert set(models) >= {"stid", "lstm", "last_value", "ridge_var"} and set(models) == set(BACKBONES.names())
    assert models["stid"]["parameters"] == 117_868 and models["lstm"]["parameters"] == 97_932
    assert models["last_value"]["fitted"] == "solved" and models["last_value"]["parameters"] == 0
    assert models["ridge_var"]["cost"] == "N^2" and models["lstm"]["unseen sensors"] == "yes"
    json.dumps(list(models.values()))
