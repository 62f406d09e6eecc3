"""NumPy archives, opened without ever unpickling."""

from __future__ import annotations

import contextlib
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.errors import FieldcastError, did_you_mean

# What numpy, zipfile and the header's parser raise over damaged, cut or forged files.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, TypeError, LookupError,
    OverflowError, SyntaxError, tokenize.TokenError,
)  # fmt: skip


def array_names(source: Any) -> tuple[str, ...]:
    """The names of the arrays in an archive, read from its directory alone; none where it is no archive."""
    if not isinstance(source, Path) or not source.is_file() or source.suffix.lower() != ".npz":
        return ()
    try:
        with zipfile.ZipFile(source) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except (*_DAMAGED, ValueError):
        return ()


class Archive:
    """An open archive whose arrays are read one at a time, with errors in a sentence."""

    def __init__(self, path: Path, content: Any):
        self.path = path
        self.content = content

    def read(self, name: str) -> np.ndarray:
        """One array; refused when absent, pickled or damaged."""
        if name not in self.content.files:
            there = ", ".join(self.content.files)
            raise FieldcastError(
                f"{self.path} has no array '{name}'{did_you_mean(name, self.content.files)}: it has {there or 'none'}."
            )
        what = f"the array '{name}' of {self.path}"
        with _in_a_sentence(self.path, what):
            array = self.content[name]
        if not isinstance(array, np.ndarray):  # numpy hands out the bytes of a member that is no array
            raise FieldcastError(f"{what} is no NumPy array: get {self.path.name} again.")
        return array

    def numbers(self, name: str) -> np.ndarray:
        """One array of real numbers; text, complex numbers, dates and the like are refused."""
        array = self.read(name)
        if array.dtype.kind not in "iuf":
            raise FieldcastError(f"the array '{name}' of {self.path} holds values of type {array.dtype}: give numbers.")
        return array

    def get(self, name: str) -> np.ndarray | None:
        """One array, or None when absent."""
        return self.read(name) if name in self.content.files else None


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Archive]:
    """Open an ``.npz`` file for reading, without pickle."""
    with _in_a_sentence(path, str(path)):
        with open(path, "rb") as handle:
            bare = handle.read(6) == b"\x93NUMPY"
        if not bare and not zipfile.is_zipfile(path):
            raise EOFError("it is no .npz archive")
        content = None if bare else np.load(path, allow_pickle=False)
    if content is None:
        raise FieldcastError(f"{path} is one bare array and no .npz archive: save it with numpy.savez.")
    with content:
        yield Archive(path, content)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file by name."""
    with open_npz(path) as archive:
        return {name: archive.read(name) for name in archive.content.files}


@contextlib.contextmanager
def _in_a_sentence(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except MemoryError as error:
        raise FieldcastError(f"{what} does not fit into memory ({error}): get {path.name} again.") from None
    except _DAMAGED as error:
        raise FieldcastError(f"{what} is damaged or cut short ({_reason(error)}): get {path.name} again.") from None
    except ValueError as error:
        if "pickle" in str(error):
            raise FieldcastError(
                f"{what} is pickled, which could run code when opened: save it again as plain numbers or text, without "
                "dtype object."
            ) from None
        raise FieldcastError(
            f"{what} is damaged or no NumPy array ({_reason(error)}): get {path.name} again."
        ) from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
