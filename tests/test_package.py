"""The package as others get it: pins, metadata, and a wheel that works in an environment of its own."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)")


def normal(name: str) -> str:
    """The spelling of a distribution's name under which all its spellings are equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """The versions of ``constraints.txt`` by normal name; a line that is no pin fails the test."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = PIN.fullmatch(line)
            assert match, f"constraints.txt holds a line that is no plain pin: {line}"
            found[normal(match[1])] = match[2]
    return found


def test_every_core_and_dev_dependency_is_pinned() -> None:
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    names = {normal(re.match(r"[A-Za-z0-9._-]+", requirement)[0]) for requirement in wanted}
    assert names <= set(pins())


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"


def test_citation_and_changelog_know_the_version() -> None:
    import fieldcast._version

    version = fieldcast._version.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command away from the checkout and return what it prints; its failure is the test's."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV", "PIP_"))}
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of, so that the checkout stays clean; without the network."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    leftovers = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=leftovers)
    run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"),
        *("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", source / "dist", "."),
        cwd=source,
    )
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh environment that holds the wheel and sees the libraries of this one."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    scripts = Path(sysconfig.get_path("scripts", "venv", vars={"base": str(environment)}))
    python = scripts / "python"
    run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python),
        *("install", "--quiet", "--no-deps", "--no-index", wheel),
        cwd=environment,
    )
    # Paths in a .pth file come after the environment's own packages, and .pth files found there are not read: the
    # editable install of the checkout stays out of sight.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment).strip())
    (own / "libraries.pth").write_text("".join(f"{path}\n" for path in sorted(libraries)), encoding="utf-8")
    return scripts


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_template(wheel: Path) -> None:
    kinds = ("*.py", "*.toml", "*.html", "*.js", "*.css", "*.j2", "py.typed")
    source = ROOT / "src"
    expected = {path.relative_to(source).as_posix() for kind in kinds for path in source.rglob(kind)}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "fieldcast/py.typed" in names
    assert expected <= names, f"not in the wheel: {sorted(expected - names)}"
    assert all(name.startswith(("fieldcast/", "fieldcast-")) for name in names)


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    import fieldcast._version

    said = metadata(wheel)
    assert said["Name"] == "fieldcast"
    assert said["Version"] == fieldcast._version.__version__
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())


@pytest.mark.slow
def test_the_installed_package_is_the_wheels_copy(installed: Path, tmp_path: Path) -> None:
    found = run(installed / "python", "-c", "import fieldcast; print(fieldcast.__file__)", cwd=tmp_path).strip()
    assert Path(found).resolve().is_relative_to(installed.parent.resolve())
    assert (Path(found).parent / "py.typed").is_file()


@pytest.mark.slow
def test_the_installed_command_answers(installed: Path, tmp_path: Path) -> None:
    assert "fieldcast" in run(installed / "fieldcast", "--help", cwd=tmp_path)
