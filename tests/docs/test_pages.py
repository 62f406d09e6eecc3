"""Every block of code on every page runs as written, in order, in a folder of the page's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldcast.core.registry import BACKBONES, STAGES
from tests.docs.pages import DOCS, PAGES, blocks, run_page, shows

MOST_NOT_RUN = 4


def _named(path: Path) -> str:
    return path.relative_to(DOCS).with_suffix("").as_posix()


WITH_CODE = [path for path in PAGES if any(block.language in ("python", "bash") for block in blocks(path))]


@pytest.mark.filterwarnings("ignore:.*(count as unobserved|have no reading in the last).*")  # the pages speak of it
@pytest.mark.parametrize("page", WITH_CODE, ids=_named)
def test_the_page_runs(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for registry in (BACKBONES, STAGES):
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    run_page(page, capsys)


def test_few_blocks_are_not_run() -> None:
    marked = [f"{_named(path)}:{block.line}" for path in PAGES for block in blocks(path) if block.not_run]
    assert len(marked) <= MOST_NOT_RUN, marked


def test_every_mark_stands_before_a_block() -> None:
    """A mark that drifted away from its block would leave the block unmarked, and nobody the wiser."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        marks = text.count("<!-- not run") + text.count("<!-- exit")
        assert marks == sum(bool(block.not_run or block.exit_code) for block in blocks(path)), path


def page(folder: Path, text: str) -> Path:
    (folder / "page.md").write_text(text, encoding="utf-8")
    return folder / "page.md"


def test_a_page_that_does_not_work_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tests.docs.pages.DOCS", tmp_path)
    good = "```python\na = 3\n```\n\n```python\nprint('a', a, 1.5)\n```\n\n```text\na 3 2.7\n```\n"
    run_page(page(tmp_path, good), capsys)
    marked = "<!-- not run: it never ends -->\n\n```bash\nfalse\n```\n<!-- exit 1 -->\n```bash\nfalse\n```\n"
    run_page(page(tmp_path, marked), capsys)
    for broken in (
        good.replace("a = 3", "b = 3"),
        good.replace("a 3 2.7", "b 3 2.7"),
        good.replace("a 3 2.7", "a 4 2.7"),
        marked.replace("exit 1", "exit 2"),
        "```bash\nfieldcast data describe nowhere.csv\n```\n",
        "```yaml\na: 3\n```\n",
        "```text\nnothing printed this\n```\n",
        "```bash\ntrue\n",
    ):
        with pytest.raises((AssertionError, NameError)):
            run_page(page(tmp_path, broken), capsys)


def test_figures_may_differ_and_words_may_not() -> None:
    shows("MAE  1.25\n...\n", "MAE 3.5\nother\n", "here")
    with pytest.raises(AssertionError):
        shows("MAE  1.25\n", "RMSE 3.5\n", "here")
