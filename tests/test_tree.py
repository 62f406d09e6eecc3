"""Nothing that belongs to one machine stands in the tree: no path of its own, no package registry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root)/")
REGISTRY = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|download\.pytorch\.org|registry\.npmjs\.org|anaconda\.org)\b"
    r"|--(extra-)?index-url|--find[-]links|file:[/]{3}"
)


def tracked_texts() -> list[Path]:
    """Every text file that git tracks, as a path from the root; skips where the tree is no checkout."""
    try:
        command = ["git", "-C", str(ROOT), "ls-files", "-z"]
        listing = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the tree is not a git checkout")
    paths = [Path(name) for name in listing.split("\0") if name and (ROOT / name).is_file()]
    texts = [path for path in paths if b"\0" not in (ROOT / path).read_bytes()]
    if not texts:
        pytest.skip("git tracks no file yet")
    return texts


def matches(pattern: re.Pattern[str]) -> list[str]:
    """``file:line: text`` of each tracked line in which the pattern occurs."""
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in tracked_texts()
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_machine_path_is_tracked() -> None:
    assert not matches(MACHINE_PATH)


def test_no_registry_is_tracked() -> None:
    assert not matches(REGISTRY)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (MACHINE_PATH, "see " + "/wo" + "rk/main", True),
        (MACHINE_PATH, "/ro" + "ot/.cache", True),
        (MACHINE_PATH, "a file in src/work/main", False),
        (MACHINE_PATH, "../work/main", False),
        (REGISTRY, "https://" + "pypi" + ".org/simple", True),
        (REGISTRY, "pip install -" + "-index-url x", True),
        (REGISTRY, "https://keepachangelog.com", False),
    ],
)
def test_the_patterns_find_what_they_should(pattern: re.Pattern[str], text: str, found: bool) -> None:
    assert bool(pattern.search(text)) is found
