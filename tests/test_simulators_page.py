"""The tables of docs/simulators.md are those that its command makes."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from tests.datasets import data_folder, dataset_path

ROOT = Path(__file__).resolve().parents[1]


PAGE = (ROOT / "docs" / "simulators.md").read_text(encoding="utf-8")
FIGURES = json.loads((ROOT / "docs" / "pictures" / "simulators.json").read_text(encoding="utf-8"))


@pytest.fixture
def likeness(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module beside the page's pictures, which is no part of the package."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "pictures")
    yield importlib.import_module("likeness")
    del sys.modules["likeness"]


def stands(name: str, table: str) -> bool:
    return f"<!-- statistics {name} -->\n{table}\n<!-- /statistics {name} -->" in PAGE


def test_the_table_of_speed_is_what_was_measured(likeness: ModuleType) -> None:
    assert stands("speed", likeness.speed_table(ROOT / "benchmarks" / "results" / "simulators.json"))


def test_the_tables_of_likeness_are_those_of_the_figures(likeness: ModuleType) -> None:
    assert all(stands(table, likeness.upright(FIGURES[table])) for table in ("city", "weather"))


def test_the_statistics_are_what_they_are_called(likeness: ModuleType) -> None:
    """On series whose answers are known."""
    time = pd.date_range("2024-01-01", periods=4 * 24, freq="1h")  # a Monday
    clock = np.tile(np.arange(24.0), 4)
    values = np.stack([clock, np.tile([1.0, -1.0], 48), np.arange(96.0)], axis=1)
    assert likeness.last_value(values[:, 2:], 6) == pytest.approx(6)
    assert likeness.memory(values[:, 1:2]) == pytest.approx(-1)
    assert likeness.by_the_clock(values[:, :1], time) == pytest.approx(1)
    assert likeness.by_the_clock(values[:, 2:], time) < 0.1
    assert likeness.congested(np.array([[39.0, np.nan], [40.0, np.nan]])) == 0.5
    assert likeness.correlations(values)[0, 2] == pytest.approx(np.corrcoef(values[:, 0], values[:, 2])[0, 1])
    assert likeness.kilometres(np.array([[40.0, 10.0], [41.0, 10.0]]))[0, 1] == pytest.approx(111.195)
    assert np.abs(likeness.less_its_day(np.stack([clock], axis=1))).max() == 0


@pytest.mark.slow
def test_the_figures_follow_from_the_readings(likeness: ModuleType) -> None:
    for name in ("los_loop_week", "pems08_tail", "era5_uk_t2m"):
        dataset_path(name)
    shown, _ = likeness.cities(data_folder())
    air, month = likeness.weather(data_folder(), days=91)  # to the end of March
    found = likeness.statistics(shown, air, month)
    assert found == {each: FIGURES[each] for each in found}
