"""Real data through the whole pipeline: the scores of simple models equal the figures that stand beside the data."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from fieldcast.data.formats import open_readings
from fieldcast.data.windows import Windows
from fieldcast.forecaster import create
from fieldcast.workflows.scoring import Evaluation, evaluate
from tests.datasets import dataset_path


@cache
def windows_of(path: Any, horizon: int, split: str | None) -> Windows:
    return Windows(open_readings(path), 12, horizon, split=split)


def scored(name: str, backbone: str, horizon: int = 12, split: str | None = None) -> Evaluation:
    windows = windows_of(dataset_path(name), horizon, split)
    return evaluate(create(backbone, windows).eval(), windows)


def figures(scores: dict[str, Any], digits: int = 2) -> tuple[float, ...]:
    """Means over the horizon: MAE, RMSE, MAPE."""
    (channel,) = scores["channels"].values()
    return tuple(round(channel["mean"][measure], digits) for measure in ("mae", "rmse", "mape"))


def test_the_window_mean_on_pems08_is_the_published_ha() -> None:
    result = scored("pems08_tail", "window_mean")
    assert result.scores["rule"] == "targets > 0" and figures(result.scores) == (32.06, 46.56, 20.35)
    (kept,) = result.beside
    assert kept["rule"] == "all cells" and figures(kept)[0] == 31.98
    assert result.protocol["windows"]["test"] == 3549 and result.protocol["split"] == "tail"


def test_the_last_value_on_pems08() -> None:
    result = scored("pems08_tail", "last_value")
    assert figures(result.scores) == (25.30, 37.81, 15.66)
    steps = result.scores["channels"]["flow_veh_per_5min"]["per_horizon"]["mae"]
    assert [round(steps[step - 1], 2) for step in (3, 6, 12)] == [19.57, 24.27, 34.73]


def test_the_last_value_on_metr_la_carries_over_gaps() -> None:
    """The README carries the last known value without end, the window sees twelve steps: a sensor that is silent
    longer gets the training mean, hence the small differences to 3.360 / 3.985 / 5.053."""
    per_horizon = scored("metr_la_10", "last_value").scores["channels"]["speed_mph"]["per_horizon"]
    mae = [per_horizon["mae"][step - 1] for step in (3, 6, 12)]
    assert mae == pytest.approx([3.360, 3.985, 5.053], abs=0.02)
    rmse = [per_horizon["rmse"][step - 1] for step in (3, 6, 12)]
    assert rmse == pytest.approx([5.988, 7.471, 9.617], abs=0.06)


def test_the_last_value_on_nycbike_drop_with_and_without_zeros() -> None:
    result = scored("nycbike_drop", "last_value")
    kept, (left_out,) = result.scores, result.beside
    assert kept["rule"] == "all cells" and figures(kept)[0] == 3.27
    assert kept["channels"]["dropoffs"]["pooled"]["rmse"] == pytest.approx(5.29, abs=0.01)
    assert left_out["rule"] == "targets > 0" and figures(left_out) == (3.95, 5.84, 117.36)


def test_the_last_value_on_los_loop_by_the_protocol_of_tgcn() -> None:
    """The loop of T-GCN leaves out the last window (389 test windows at three steps), hence row 2015."""
    for horizon, rmse, mae in ((3, 5.5428, 3.1561), (12, 8.4555, 4.4332)):
        result = scored("los_loop_week", "last_value", horizon, "rows 0:1451 1451:1612 1612:2015")
        pooled = result.scores["channels"]["speed_mph"]["pooled"]
        assert (pooled["rmse"], pooled["mae"]) == pytest.approx((rmse, mae), abs=5e-5)


def test_the_last_value_on_the_bike_grid_scores_active_cells() -> None:
    result = scored("nycbike1_grid", "last_value", 1)
    (above,) = result.beside
    assert above["rule"] == "targets > 5"
    mae = [above["channels"][channel]["mean"]["mae"] for channel in ("inflow", "outflow")]
    assert mae == pytest.approx([10.70, 11.07], abs=0.1)
