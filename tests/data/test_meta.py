"""The rules of a dataset: read strictly, and applied as they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldcast.data.meta import Meta
from fieldcast.errors import FieldcastError

TOML = """
frequency = "5min"
targets = ["flow"]
null_rule = "none (0.3 % zeros)"
scored_cells = "all cells"
default_split = "tail"
timezone = "UTC"

[units]
flow = "veh"

[splits.tail]
train = [0, 10]
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "meta.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_it_is_read_as_written(tmp_path: Path) -> None:
    meta = Meta.from_toml(written(tmp_path, TOML), name="tail")
    assert (meta.name, meta.targets, meta.frequency, meta.timezone) == ("tail", ("flow",), "5min", "UTC")
    assert meta.splits["tail"]["train"] == [0, 10] and meta.units["flow"] == "veh"
    assert Meta.from_toml(written(tmp_path, ""), name="x") == Meta(name="x")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("target = ['flow']", r"unknown key 'target' \(did you mean 'targets'\?\)"),
        ("targets = 'flow'", "gives targets as 'flow': give a list of channel names"),
        ("targets = [1]", "give a list of channel names"),
        ("frequency = 5", "gives frequency as 5: give text in quotes"),
        ("splits = 'tail'", "give a table"),
        ("[splits]\ntail = 1", "give a table"),
        ("units = 'mph'", "give a table"),
        ("targets = [", "is not valid TOML"),
        (b"role = '\xff'", "is not valid TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence):
        Meta.from_toml(written(tmp_path, text), name="x")


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match="cannot be read"):
        Meta.from_toml(tmp_path / "meta.toml", name="x")


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        ("none", False), ("none; 47 cells are always zero", False), ("NaN only", False), ("NaN is land", False),
        ("zero is missing", True), ("Zero is missing (already NaN here)", True),
    ],
)  # fmt: skip
def test_the_null_rule_is_how_it_begins(rule: str, missing: bool) -> None:
    assert Meta(null_rule=rule).zero_is_missing() is missing


def test_a_null_rule_that_is_not_understood_is_refused() -> None:
    with pytest.raises(FieldcastError, match="null rule '-999 is missing' of readings is not understood"):
        Meta(null_rule="-999 is missing").zero_is_missing()


def test_zeros_of_targets_alone_are_masked() -> None:
    values = np.array([[[0, 0], [1, 0]]], dtype=np.float32)  # [1 row, 2 nodes, 2 channels]
    channels = ("speed", "rain")
    assert Meta(null_rule="none").mask_zeros(values, channels).all()
    one = Meta(null_rule="zero is missing", targets=("speed",)).mask_zeros(values, channels)
    assert one.tolist() == [[[False, True], [True, True]]]
    every = Meta(null_rule="zero is missing").mask_zeros(values, channels)
    assert every.tolist() == [[[False, False], [True, False]]]
