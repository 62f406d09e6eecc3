"""The site builds without a warning, says all that the code has, and loads nothing from elsewhere."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fieldcast
from fieldcast.cli.__main__ import COMMANDS
from fieldcast.core.registry import BACKBONES
from fieldcast.data.formats import known_formats
from fieldcast.data.meta import _KNOWN as META_KEYS

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("sphinx", reason="sphinx comes with the dev extra")
pytest.importorskip("myst_parser", reason="myst-parser comes with the dev extra")

pytestmark = pytest.mark.slow  # one build for all, about 20 s


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-d", str(out / "trees")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run(
        [*command, str(ROOT / "docs"), str(out / "html")], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return out / "html"


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_backbone_has_its_section(site: Path) -> None:
    page = (site / "backbones.html").read_text(encoding="utf-8")
    names = [name for name in BACKBONES.names() if BACKBONES.get(name).__module__.startswith("fieldcast.")]
    assert len(names) > 5
    for name in names:
        assert re.search(rf"<h2>{name}<", page), name


def test_every_command_and_format_and_key_is_described(site: Path) -> None:
    commands, data = text(site / "commands.html"), text(site / "your_data.html")
    for name in COMMANDS:
        assert f"$ fieldcast {name} --help" in commands, name
    for name in known_formats():
        assert f"\n{name}\n" in data, name
    for key in META_KEYS:
        assert re.search(rf"\b{key}\b", data), key


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    for name in fieldcast.__all__:
        assert name == "__version__" or f'id="fieldcast.{name}"' in page, name


def test_links_within_the_site_lead_somewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    anchors = {page: set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8"))) for page in pages}
    for page in pages:
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = html.unescape(link).partition("#")
            file = (page.parent / target.partition("?")[0]).resolve() if target else page
            assert file.exists(), f"{page.name} links to {link}"
            if anchor and file in anchors:
                assert anchor in anchors[file], f"{page.name} links to {link}"


def test_formulas_share_their_glyphs(site: Path) -> None:
    """Each formula brings the glyphs that it uses; where two bring the same name, the glyph must be the same."""
    page = (site / "protocol.html").read_text(encoding="utf-8")
    assert page.count('<svg class="formula"') > 20 and "MathJax" not in page
    glyphs: dict[str, str] = {}
    for name, path in re.findall(r'<path id="([^"]+)" d="([^"]+)"', page):
        assert glyphs.setdefault(name, path) == path, name
    used = set(re.findall(r'<use xlink:href="#([^"]+)"', page))
    assert used and used <= set(glyphs)


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        content = page.read_text(encoding="utf-8")
        loads = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"', content)
        loads += re.findall(r'<link\b[^>]*\brel="(?:stylesheet|preload|preconnect|icon)"[^>]*\bhref="([^"]+)"', content)
        assert loads, page
        assert not [load for load in loads if re.match(r"(?:https?:)?//", load)], page
