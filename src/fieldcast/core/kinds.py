"""Whether a plain value is of the kind that an annotation asks for, and what to give instead."""

from __future__ import annotations

import re
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin

_NUMBERS = {int: Integral, float: Real}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a kind that settings have; annotations of other kinds take anything."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return isinstance(value, str) and value in inner
    if kind in (list, tuple):
        return isinstance(value, list | tuple) and all(fits(each, inner[0]) for each in value)
    if inner:  # one of several
        return any(fits(value, each) for each in inner)
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    return type(value) is hint if hint in (bool, str, type(None)) else True


def in_words(hint: Any) -> str:
    """What to give, as the end of a sentence."""
    kinds = {
        "list": "a list", "tuple": "a list", "int": "a whole number", "float": "a number", "str": "text",
        "bool": "true or false",
    }  # fmt: skip
    if choices := re.search(r"Literal\[(.*?)\]", str(hint)):
        number = "give a whole number or " if re.search(r"\bint\b", str(hint)) else ""
        return f"{number}choose {choices[1].replace(chr(39), '')}"
    said = next((words for kind, words in kinds.items() if re.search(rf"\b{kind}\b", str(hint))), "another value")
    return f"give {said}"
