"""Files that are either there whole or not there: written beside, synced, renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fieldcast.errors import FieldcastError

SUMS = "SHA256SUMS"
"""The file that lists the SHA-256 of the other files of a folder, as ``sha256sum -c`` reads it."""


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success sync it and rename it to ``path``.

    The folder of ``path`` is made when absent. When the body raises, the temporary file is removed and whatever
    stood at ``path`` stays as it was. The rename is atomic because both names lie on one file system. The file can be
    read by whom the umask allows, also where its writer made it narrower; an OSError names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers such as numpy and pyarrow choose by it. The name is fixed, so that what a killed
    # process left is taken up by the next write and not left lying about.
    beside = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        beside.unlink(missing_ok=True)
        beside.touch()
        usual = beside.stat().st_mode  # by the umask, which cannot be asked for without changing it
        yield beside
        if beside.stat().st_mode != usual:
            beside.chmod(usual)
        with open(beside, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(beside, path)
    except OSError as error:
        if error.filename in (beside, str(beside)):  # a name that nobody gave
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, where the system can (not on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: str | Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write text, bytes, or whatever ``content(path)`` writes, so that ``path`` is never half-written."""
    with replacing(path) as beside:
        if callable(content):
            content(beside)
        elif isinstance(content, bytes):
            beside.write_bytes(content)
        else:
            beside.write_text(content, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_sums(folder: str | Path, names: Iterable[str]) -> None:
    """Write ``SHA256SUMS`` of files of a folder, by their paths within it, after the files themselves."""
    folder = Path(folder)
    write_atomically(folder / SUMS, "".join(f"{sha256(folder / name)}  {name}\n" for name in names))


def check_sums(folder: str | Path, mend: str) -> set[str]:
    """Compare the files of a folder with its ``SHA256SUMS``; returns their names.

    Raises FieldcastError, which ends with ``mend``, for the first file that is absent or altered, and for a list that
    is no list.
    """
    folder = Path(folder)
    lines = (folder / SUMS).read_bytes().decode("utf-8", errors="replace").split("\n")
    found = [re.fullmatch(r"([0-9a-f]{64})  (\S+)", line) for line in lines[:-1]]
    if lines[-1] or None in found:
        raise FieldcastError(f"{folder / SUMS} is damaged or was edited: {mend}.")
    listed = {match[2]: match[1] for match in found if match}
    for name, digest in listed.items():
        outside = Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name
        if outside or not (folder / name).is_file():
            raise FieldcastError(f"{folder} lacks {name}: {mend}.")
        if sha256(folder / name) != digest:
            raise FieldcastError(f"{folder / name} is damaged or was edited (its SHA-256 differs): {mend}.")
    return set(listed)
