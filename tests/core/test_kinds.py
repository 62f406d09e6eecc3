"""Settings are of the kinds that their annotations name."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from fieldcast.core.kinds import fits, in_words


@pytest.mark.parametrize(
    ("value", "hint", "right"),
    [
        (3, int, True), (np.int64(3), int, True), (True, int, False), (3.0, int, False), ("3", int, False),
        (3, float, True), (0.5, float, True), (np.float32(0.5), float, True), (True, float, False), ("a", float, False),
        (True, bool, True), (1, bool, False), ("a", str, True), (1, str, False),
        (None, int | None, True), (3, int | None, True), ("a", int | None, False),
        ("mae", Literal["mae", "mse"], True), ("rmse", Literal["mae", "mse"], False), (1, Literal["mae"], False),
        ([1, 2], list[int], True), ((1, 2), tuple[int, ...], True), ([1, "a"], list[int], False), (1, list[int], False),
        (object(), Any, True), ("a", np.ndarray, True),
    ],
)  # fmt: skip
def test_what_fits(value: Any, hint: Any, right: bool) -> None:
    assert fits(value, hint) is right


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (int, "give a whole number"), (float | None, "give a number"), (bool, "give true or false"), (str, "give text"),
        (list[int], "give a list"), (Literal["mae", "mse"], "choose mae, mse"), (np.ndarray, "give another value"),
    ],
)  # fmt: skip
def test_what_to_give_instead(hint: Any, said: str) -> None:
    assert in_words(hint) == said
