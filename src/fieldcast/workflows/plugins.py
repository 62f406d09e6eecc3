"""Backbones and stages in a user's own file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from fieldcast.errors import FieldcastError

LOADED: list[str] = []
"""The files that were loaded, for processes that this one starts to do its own work."""


def load_plugin(path: str | Path) -> None:
    """Run a Python file that registers backbones or stages; only one that a person typed, never one from a file."""
    file = Path(path)
    if not file.is_file() or file.suffix != ".py":
        raise FieldcastError(f"there is no Python file {file}: give the .py file that holds your backbone.")
    name = f"fieldcast_plugin_{file.stem}"  # a name of its own: json.py must not take the place of json
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FieldcastError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise FieldcastError(f"{file} cannot be run ({type(error).__name__}: {said}): mend it.") from error
    LOADED.append(str(file.absolute()))
