"""The floors of the house hold: the contracts in pyproject.toml pass, and an import that climbs breaks them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"

pytest.importorskip("importlinter", reason="import-linter comes with the dev extra")


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the package under ``root/src`` against the contracts of ``root/pyproject.toml``, in a fresh process."""
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "COLUMNS": "200"}
    command = [sys.executable, "-c", LINT, "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to put an import into."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src" / "fieldcast", tmp_path / "src" / "fieldcast", ignore=shutil.ignore_patterns("__pyc*"))
    return tmp_path


def put(copy: Path, module: str, line: str) -> None:
    """Add a module that holds the one line."""
    (copy / "src" / "fieldcast" / module).write_text(f"{line}\n", encoding="utf-8")


def test_every_import_goes_down() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("data/climbing.py", "import fieldcast.nn", "Floors"),
        ("workflows/climbing.py", "def report():\n    import fieldcast.reporting", "Floors"),
        ("serving/climbing.py", "import fieldcast.reporting", "Floors"),
        ("newcomer.py", "", "Floors"),
        ("evaluation/climbing.py", "import fieldcast.core", "Evaluation stands on data alone"),
        ("training/climbing.py", "import fieldcast.evaluation", "Nothing below workflows sees evaluation"),
        ("workflows/trainer.py", "from lightning.pytorch import Trainer", "Lightning lives in training alone"),
    ],
)
def test_an_import_that_climbs_is_found(copy: Path, module: str, line: str, contract: str) -> None:
    put(copy, module, line)
    result = lint(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [row for row in result.stdout.splitlines() if " BROKEN" in row]
    assert len(broken) == 1 and broken[0].startswith(contract), result.stdout


def test_what_the_design_allows_passes(copy: Path) -> None:
    put(copy, "training/loop.py", "import lightning")
    put(copy, "workflows/verb.py", "import fieldcast.training.loop\nimport fieldcast.evaluation")
    put(copy, "reporting/page.py", "import fieldcast.evaluation")
    put(copy, "evaluation/score.py", "import fieldcast.data\nimport fieldcast.errors")
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr
