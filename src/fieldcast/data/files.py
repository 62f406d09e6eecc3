"""Files that are either there whole or not there: written beside, synced, renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path


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
