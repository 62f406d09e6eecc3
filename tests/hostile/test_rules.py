"""meta.toml and splits: parts that follow one another as the rule says, or a refusal."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fieldcast.data.formats import open_readings
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from tests.hostile.common import ODD, attempt, harmed, some
from tests.tiny import tiny_readings

LOOKBACK, HORIZON, ROWS = 4, 2, 60
PLAIN = b"""targets = ["value"]
frequency = "1h"
null_rule = "zero is missing"
default_split = "mine"
[units]
value = "km/h"
[splits.mine]
ratios = [7, 1, 2]
"""
TEXTS = [
    "windows-first 7:1:2", "windows-first 0:0:0", "windows-first 1:0:0", "windows-first " + "9" * 400 + ":1:1",
    "rows 0:40 40:50 50:60",
    "rows 0:0 1:2 3:4", "rows 0:" + "9" * 400 + " 1:2 3:4", "until 2024-01-01T20:00 2024-01-02T06:00", "until nan nan",
    "until now now",
    "until 0001-01-01 9999-12-31", "until 2024-01-02 2024-01-02", "", "(", "x", "windows-first -1:1:1",
    "windows-first 1e5:1:1",
]  # fmt: skip
EDGES = st.one_of(
    st.lists(st.one_of(st.integers(-5, 70), st.sampled_from([0.5, "0", True, float("nan"), float("inf"), 10**30])),
    min_size=1, max_size=3),
    st.sampled_from(["04", 5, {"a": 1, "b": 2}]),
)  # fmt: skip
DATES = st.sampled_from(
    ["2024-01-02", "2024-01-02T12", "2024-01-01T20:00", "2024-01-02T10:00Z", "0001-01-01", "9999-12-31", "nan",
    "now", "", 5, [1],
     datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2), "2024-01-02 ", "24"]
)  # fmt: skip
RATIOS = st.one_of(
    st.lists(st.sampled_from([0, 1, 2, 7, 0.5, -1, float("nan"), float("inf"), 1e308, True, "7", [1], None]),
    max_size=4), ODD
)  # fmt: skip
RULES = st.one_of(
    st.sampled_from(TEXTS),
    st.fixed_dictionaries({"ratios": RATIOS}),
    st.fixed_dictionaries({"train": EDGES, "test": EDGES}, optional={"validation": EDGES, "windows": ODD,
    "note": ODD, "x": ODD}),
    st.fixed_dictionaries({"train_until": DATES, "validation_until": DATES}),
    st.dictionaries(st.sampled_from(["train", "test", "train_until", "validation_until"]), st.one_of(EDGES, DATES)),
)  # fmt: skip


@pytest.fixture(scope="module")
def readings() -> Readings:
    return tiny_readings(rows=ROWS)


@some(60)
@given(RULES, st.sampled_from([0, 0, 1, 5]))
@example({"ratios": [float("nan"), 1, 2]}, 0)
@example({"ratios": "712"}, 0)
@example({"train": [float("inf"), 40], "test": [50, 60]}, 0)
@example({"train": [0.5, 40.9], "test": [50, 60]}, 0)  # halves of rows were cut off
@example({"train_until": datetime.date(2024, 1, 2), "validation_until": "2024-01-02T12"}, 0)
@example({"train_until": "0001-01-01", "validation_until": "9999-12-31"}, 0)
@example(
    {"train_until": "2024-01-02", "validation_until": "2024-01-02T23", "train": [0, 5]}, 0
)  # rows were not looked at
def test_parts_follow_one_another_or_the_split_is_refused(readings: Readings, rule: Any, purge: int) -> None:
    windows = attempt(lambda: Windows(readings, LOOKBACK, HORIZON, split=rule, purge=purge))
    if windows is None:
        return
    split, length = windows.split, LOOKBACK + HORIZON
    parts = [split.train, split.validation, split.test]
    for starts in parts:
        assert len(starts) and starts.min() >= 0 and starts.max() + length <= ROWS and (np.diff(starts) == 1).all()
    for earlier, later in itertools.pairwise(parts):
        assert earlier.max() < later.min(), "no window is in two parts"
    assert split.train.max() + LOOKBACK <= split.train_rows[1] <= split.test.min() + LOOKBACK
    if isinstance(rule, dict) and "ratios" in rule and not purge:
        ratios, every = rule["ratios"], ROWS - length + 1
        assert [len(starts) for starts in parts[:2]] == [round(ratio / sum(ratios) * every) for ratio in ratios[:2]]
    if isinstance(rule, dict) and "train" in rule:
        assert not any(isinstance(edge, float) for part in ("train", "test") for edge in rule[part])
        assert split.train.min() == rule["train"][0] and split.test.max() + length == rule["test"][1]


def toml(value: Any) -> str:
    if isinstance(value, str):
        escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in value)
        return f'"{escaped}"'
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(key)} = {toml(each)}' for key, each in value.items())}}}"
    return {True: "true", False: "false", None: '""'}.get(value, repr(value)) if not isinstance(value,
    int | float) or isinstance(value, bool) else repr(value)  # fmt: skip


def open_with(folder: Path, meta: bytes) -> Readings | None:
    values = np.arange(float(ROWS))
    (folder / "data.csv").write_text(
        "time,a\n" + "".join(f"2024-01-0{1 + i // 24} {i % 24:02}:00,{v:g}\n" for i, v in enumerate(values))
    )
    (folder / "meta.toml").write_bytes(meta)
    found = attempt(lambda: open_readings(folder / "data.csv"))
    if found is not None:
        expected = [v for v in values if v or not found.meta.zero_is_missing()]
        assert found.values[found.observed].tolist() == expected
        attempt(lambda: Windows(found, LOOKBACK, HORIZON).rules)
    return found


KEYS = (
    "frequency",
    "targets",
    "null_rule",
    "scored_cells",
    "role",
    "default_split",
    "splits",
    "timezone",
    "units",
    "x",
)


@some(40)
@given(
    st.sampled_from(KEYS),
    st.one_of(ODD.filter(lambda value: value is not None), st.sampled_from(TEXTS), st.just({"value": 5})),
)
@example("units", {"value": 5})
@example("default_split", TEXTS[3])
def test_rules_of_any_kind(tmp_path: Path, key: str, value: Any) -> None:
    open_with(tmp_path, f"{toml(key)} = {toml(value)}\n".encode())


@some(30)
@given(harmed(PLAIN))
@example(b"targets = " + b"[" * 3000)
@example(b"\xff")
def test_harmed_rules(tmp_path: Path, meta: bytes) -> None:
    open_with(tmp_path, meta)


def test_the_rules_above_are_read_at_times(tmp_path: Path, readings: Readings) -> None:
    found = open_with(tmp_path, PLAIN)
    assert (
        found is not None
        and found.channels == ("value",)
        and not found.observed[0, 0, 0]
        and found.unit("value") == "km/h"
    )
    for rule in (
        TEXTS[0],
        TEXTS[4],
        TEXTS[7],
        {"ratios": [0.5, 1, 2]},
        {"train": [0, 40], "validation": [40, 48], "test": [48, 60]},
    ):
        assert attempt(lambda rule=rule: Windows(readings, LOOKBACK, HORIZON, split=rule)) is not None, rule
