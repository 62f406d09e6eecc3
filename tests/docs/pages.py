"""The blocks of a page, and how they are run: commands in this process, everything else as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldcast.cli.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.relative_to(DOCS).parts)

_OPENING = re.compile(r"^(?P<fence>[`:]{3,})(?P<directive>\{[\w-]+\})? *(?P<language>.*?) *$")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.*) -->")
_EXIT = re.compile(r"<!-- exit (?P<code>\d+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the file that it is to be saved as, and the marks before it."""

    language: str
    text: str
    line: int
    caption: str | None = None
    not_run: str | None = None
    exit_code: int = 0


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page in order; a mark counts for the block that follows it, blank lines apart."""
    found = []
    lines = path.read_text(encoding="utf-8").splitlines()
    at, before = 0, ""
    while at < len(lines):
        opening = _OPENING.match(lines[at])
        if opening is None:
            before = lines[at].strip() or before
            at += 1
            continue
        stop = next((i for i in range(at + 1, len(lines)) if lines[i].rstrip() == opening["fence"]), None)
        assert stop is not None, f"{path}:{at + 1} opens a block and never closes it"
        body = lines[at + 1 : stop]
        if opening["directive"] not in (None, "{code-block}"):  # a picture, a list of pages, a formula
            assert not any(_OPENING.match(line) for line in body), f"{path}:{at + 1} hides blocks from their tests"
            before, at = "", stop + 1
            continue
        caption = None
        while body and opening["directive"] and body[0].startswith(":"):
            name, _, value = body.pop(0)[1:].partition(":")
            caption = value.strip() if name == "caption" else caption
        not_run, code = _NOT_RUN.fullmatch(before), _EXIT.fullmatch(before)
        found.append(Block(
            opening["language"], "\n".join(body) + "\n", at + 1, caption, not_run and not_run["reason"],
            int(code["code"]) if code else 0,
        ))  # fmt: skip
        before, at = "", stop + 1
    return found


def run_page(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a page from top to bottom in the present folder.

    A block with a caption is saved under that name. Python blocks share one namespace. A text block after one that was
    run is what it printed, in full lines; a line of three dots stands for any others.
    """
    namespace: dict[str, object] = {"__name__": "page"}
    printed = ""
    for block in blocks(path):
        where = f"{path.relative_to(DOCS)}:{block.line}"
        if block.not_run:
            printed = ""
        elif block.caption:
            Path(block.caption).parent.mkdir(parents=True, exist_ok=True)
            Path(block.caption).write_text(block.text, encoding="utf-8")
            if block.language == "toml":
                tomllib.loads(block.text)
        elif block.language == "python":
            exec(compile("\n" * block.line + block.text, where, "exec"), namespace)
            printed = "".join(capsys.readouterr())
        elif block.language == "bash":
            printed = "".join(_command(words, block.exit_code, where, capsys) for words in _commands(block.text))
        elif block.language == "text":
            assert printed, f"{where} shows what nothing before it printed"
            shows(block.text, printed, where)
            printed = ""
        else:
            raise AssertionError(f"{where} is {block.language or 'of no language'}: a page has python, bash and text")


def shows(text: str, printed: str, where: str) -> None:
    """Hold a text block to what was printed, line by line; only numbers with a decimal point may be others."""
    lines = {_shape(line) for line in printed.splitlines()}
    for line in text.splitlines():
        if line.strip() not in ("", "..."):
            assert _shape(line) in lines, f"{where}: no line like this was printed: {line}\n{printed}"


def _shape(line: str) -> str:
    return " ".join(re.sub(r"[-+]?\b\d+\.\d+\b", "#", line).split())


def _commands(script: str) -> list[str]:
    joined = script.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _command(line: str, code: int, where: str, capsys: pytest.CaptureFixture[str]) -> str:
    words = shlex.split(line, comments=True)
    if words[0] == "fieldcast":
        try:
            given = main(words[1:])
        except SystemExit as end:  # --help
            given = int(end.code or 0)
        printed = "".join(capsys.readouterr())
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], env=os.environ | {"PATH": path}, capture_output=True, text=True
        )
        given, printed = result.returncode, result.stdout + result.stderr
    assert given == code, f"{where}: {line}\n{printed}"
    return printed
