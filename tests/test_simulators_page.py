"""The tables of docs/simulators.md are those that its command makes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.datasets import data_folder, dataset_path

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_tables_follow_from_the_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("los_loop_week", "pems08_tail", "era5_uk_t2m"):
        dataset_path(name)
    monkeypatch.syspath_prepend(ROOT / "docs" / "pictures")
    sys.modules.pop("likeness", None)
    import likeness  # pyright: ignore[reportMissingImports]

    page = (ROOT / "docs" / "simulators.md").read_text(encoding="utf-8")
    shown, _ = likeness.cities(data_folder())
    air, month = likeness.weather(data_folder(), days=91)  # to the end of March
    for name, table in (("city", likeness.city_table(shown)), ("weather", likeness.weather_table(air, month))):
        assert f"<!-- statistics {name} -->\n{table}\n<!-- /statistics {name} -->" in page
