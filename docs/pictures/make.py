"""Make the README's picture: the top of the demo's report, drawn by a headless browser.

python docs/pictures/make.py [runs/demo/report.html]     (after make demo; needs chromium or chrome)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def picture(page: Path, out: Path, width: int = 1280, height: int = 1840) -> None:
    browser = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("make.py: no chromium or chrome was found: install one of them.")
    if not page.is_file():
        sys.exit(f"make.py: there is no report at {page}: run make demo first.")
    with tempfile.TemporaryDirectory() as profile:
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--hide-scrollbars", f"--user-data-dir={profile}",
            f"--window-size={width},{height}", "--virtual-time-budget=3000", f"--screenshot={out.resolve()}",
        ]  # fmt: skip
        subprocess.run([browser, *flags, page.resolve().as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    picture(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo/report.html"), HERE / "report.png")
