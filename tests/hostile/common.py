"""Harm done to files, and what must hold whatever was done: one sentence, or a right result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from fieldcast.errors import UNPRINTABLE, FieldcastError

Result = TypeVar("Result")


def some(examples: int = 40) -> Callable[[Any], Any]:
    """The same examples on every machine; a folder of the test may be written to again and again."""
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        deadline=None, derandomize=True, max_examples=examples, database=None, suppress_health_check=quiet
    )  # fmt: skip


def many(test: Any) -> Any:
    """The slow tier of a property: other examples on every run, and more of them."""
    return pytest.mark.slow(settings(some(1000), derandomize=False)(test))


def sentence(error: FieldcastError, names: str = "") -> str:
    """The one line of a refusal, which says what it is about."""
    said = str(error)
    assert not UNPRINTABLE.search(said) and said.endswith(".") and names in said, said
    return said


def attempt(read: Callable[[], Result], names: str = "") -> Result | None:
    """What ``read`` gives, or None where it refuses in a sentence; anything else that is raised is a fault."""
    try:
        return read()
    except FieldcastError as error:
        sentence(error, names)
        return None


class Canary:
    """An object whose unpickling makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


CONTENTS = st.sampled_from(
    [b"\0", b"\n", b"\r", b"\r\n", b'"', b"'", b",", b";", b"\t", b"\xff", b"\xe4", b"\xef\xbb\xbf", b"1e400", b"-",
    b"/", b"+",
     b"\xe2\x80\xa8", b"\xc2\xa0", b"\x1b[2J", b"#", b":", b"[", b"{", b"&a ", b"*a", b"!!python/name:canary.x ",
     b"inf"]
)  # fmt: skip


@st.composite
def harmed(draw: st.DrawFn, whole: bytes, most: int = 3) -> bytes:
    """A file with bits flipped, bytes put in, taken out or repeated, an end cut off, or another encoding."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        to = min(len(content), at + draw(st.integers(1, 12)))
        how = draw(st.sampled_from(["flip", "flip", "insert", "insert", "delete", "repeat", "cut", "encode"]))
        if how == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "insert":
            content[at:at] = draw(CONTENTS)
        elif how == "delete":
            del content[at:to]
        elif how == "repeat":
            content[at:at] = content[at:to]
        elif how == "cut":
            del content[at:]
        elif how == "encode":
            text = content.decode("utf-8", errors="replace")
            code = draw(st.sampled_from(["utf-16", "utf-16-le", "utf-8-sig", "latin-1", "utf-32"]))
            content = bytearray(text.encode(code, errors="replace"))
    return bytes(content)


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, -1, 1, 2, 3.5, 0.0, -0.0, 1e308, 1e400, -1e400, float("nan"), 10**30, -(2**63), "", " ",
    "x",
     "1", "1e-3", "nan", "canary.sing", "a\nb", "é", "\x1b[2J", [], [1], [None], ["x"], [["x"]], [True], {}, {"x": 1},
     {"class_path": "canary.sing"}, "2024-01-01", "0x10", 2**53 + 1, "None", "../x", "/", "\0"]
)  # fmt: skip
"""Plain values that stand where they should not."""
