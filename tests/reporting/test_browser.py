"""The report in a real browser: no script error, every chooser works, nothing overlaps or runs over the edge."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fieldcast.reporting.report import write_report
from tests.reporting.run_folder import write_run_folder

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
DRIVER = (Path(__file__).parent / "driver.js").read_text(encoding="utf-8")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome is installed"),
]

FOLDERS: dict[str, dict[str, Any]] = {
    "one target": {},
    "two targets": {"targets": ("flow", "speed"), "simulated": False, "coordinates": False, "nodes": 12},
    "odd names": {
        "names": [f"<b>Gare & {'very long station name ' * 2}{n}</b>\"'</script>" for n in range(9)],
        "nodes": 9,
        "title": "</title><script>window.harm = 1</script>",
        "seeds": (0,),
    },
    "daily": {"minutes": 1440, "days": 150, "nodes": 5, "sample_rows": 120, "coordinates": False},
    "tiny": {"nodes": 1, "days": 2, "minutes": 30, "sample_rows": 30},
}


def browse(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """Open the page in a frame of this width (a browser's own window has a least width) and drive it."""
    driven = folder / "driven.html"
    driven.write_text(
        page.read_text(encoding="utf-8").replace("</body>", f"<script>{DRIVER}</script></body>"), encoding="utf-8"
    )
    around = folder / "around.html"
    around.write_text(
        "<!doctype html><script>addEventListener('message', e => document.documentElement.dataset.found = e.data)"
        f"</script><iframe src='driven.html' width='{width}' height='900' style='border:0'></iframe>",
        encoding="utf-8",
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [
                *(str(BROWSER), *FLAGS, f"--user-data-dir={profile}", f"--window-size={width + 100},1000"),
                *("--virtual-time-budget=8000", "--dump-dom", around.as_uri()),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    result = re.search(r'data-found="([^"]*)"', done.stdout)
    assert result, f"the page did not answer: {done.stderr[-2000:]}"
    return json.loads(html.unescape(result[1]))


@pytest.fixture(scope="module", params=FOLDERS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = write_run_folder(tmp_path_factory.mktemp("run") / "run", **FOLDERS[request.param])
    return request.param, write_report(folder)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_and_nothing_overlaps(written: tuple[str, Path], width: int, tmp_path: Path) -> None:
    name, page = written
    found = browse(page, width, tmp_path)
    assert found.get("failed") is None and found["errors"] == "" and found["ready"] == "yes", found
    assert found["width"] == width
    assert not found["overflow"], "\n".join(found["overflow"])
    assert not found["overlaps"], "\n".join(found["overlaps"])
    still = [what for what, changed in found["changes"].items() if not changed]
    assert still == [], f"nothing changed on: {still}"
    notes = found["notes"]
    ticks = [float(tick.replace("\N{MINUS SIGN}", "-").replace(",", "")) for tick in notes["ticks"]]
    assert len({round(high - low, 6) for low, high in pairwise(ticks)}) == 1, "the labels of the axis are not even"
    assert notes["linesLess"] == notes["lines"] - 1 == 5
    assert len(notes["models"]) == 7 and notes["models"][0] == "stid" and notes["models"][-1] == "weekly_climatology"
    assert notes["lede"].startswith("stid has the lowest mean12 MAE")
    assert notes["grounds"] == 2  # light and dark
    assert "measured" in notes["readout"] and "veh/15 min" in notes["readout"].replace("km/h", "veh/15 min")
    if name == "one target":
        assert {"rule", "sensor", "step", "next day", "edges", "arrow key", "worst sensor"} <= set(found["changes"])
        assert notes["edges"] == 1 and notes["discs"] >= 40 and notes["missing"] > 0
    if name == "two targets":
        assert "target" in found["changes"] and notes["discs"] == 0
    if name == "daily":
        assert "hour" not in notes["figures"]
    if name == "odd names":
        assert notes["title"] == FOLDERS[name]["title"]
