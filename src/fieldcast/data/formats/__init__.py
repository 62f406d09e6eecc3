"""Opening readings of any known format. Each module of this folder whose name has no leading underscore is one.

A format is one file and no edit elsewhere. It has ``NAME`` and ``DESCRIPTION`` (one line), ``recognises(source)``,
which is cheap and never loads the whole of it, and ``read(source, *, own options, **options) -> Readings``, which hands
the options it does not own to :func:`fieldcast.data.formats._assembly.assemble`. A format that would take almost any
file of its kind says ``GENERAL = True`` and yields to a more particular one; one that reads objects, not files, says
``IN_MEMORY = True``.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fieldcast.data.archives import open_npz
from fieldcast.data.formats._assembly import COMMON_OPTIONS
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError, did_you_mean


@dataclass(frozen=True)
class Format:
    """One way in which readings lie in a file, or in memory."""

    name: str
    description: str
    recognises: Callable[[Any], bool]
    read: Callable[..., Readings]
    general: bool
    in_memory: bool

    @property
    def own_options(self) -> tuple[str, ...]:
        """The names of the options that this format understands beside the common ones."""
        parameters = inspect.signature(self.read).parameters.values()
        return tuple(each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY)


@cache
def known_formats() -> dict[str, Format]:
    """Every format by name, found by the file names of this folder."""
    found = {}
    for entry in pkgutil.iter_modules(__path__):
        if not entry.name.startswith("_"):
            module = importlib.import_module(f"{__name__}.{entry.name}")
            found[module.NAME] = Format(
                module.NAME, module.DESCRIPTION, module.recognises, module.read,
                general=getattr(module, "GENERAL", False), in_memory=getattr(module, "IN_MEMORY", False),
            )  # fmt: skip
    return found


def open_readings(source: Any, *, format: str | None = None, **options: Any) -> Readings:
    """Open readings from a file, a folder, a DataFrame, an array [time, N(, C)] or an xarray object.

    Args:
        source: where they lie. Of a folder the one file in it that holds readings is taken.
        format: the name of a format (see :func:`known_formats`); left out, the one that recognises the source.
        options: common to all formats are ``start``, ``frequency``, ``timezone``, ``unordered``, ``repeated`` and
            ``fill_gap`` (see :func:`fieldcast.data.timeline.clean_timeline`), ``channels`` and ``nodes`` (they pick by
            name, or name what has no names), ``targets``, ``null_rule``, ``scored_cells`` and ``name`` (see
            :class:`fieldcast.data.meta.Meta`); a format may have others. They override a ``meta.toml`` that lies
            beside the file. None means not given.

    Raises FieldcastError in one sentence where the source cannot be opened as it stands.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if format is not None and format not in tuple(known_formats()):
        raise FieldcastError(
            f"there is no format '{format}'{did_you_mean(format, known_formats())}: known are "
            f"{', '.join(known_formats())}."
        )
    if isinstance(source, (str, os.PathLike)):
        source = _existing(Path(source).expanduser())
    try:
        source, chosen = _choose(source, format)
        _check_options(options, chosen)
        return chosen.read(source, **options)
    except OSError as error:
        where = error.filename or source
        reason = error.strerror or error
        raise FieldcastError(f"{where} cannot be read ({reason}): check the file and its rights.") from None


def _existing(path: Path) -> Path:
    if path.exists():
        return path
    siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    raise FieldcastError(f"there is no file or folder {path}{did_you_mean(path.name, siblings)}: check the path.")


def _choose(source: Any, format: str | None) -> tuple[Any, Format]:
    """The source (of a folder the file in it, where a format asks for one) and the one format for it."""
    formats = known_formats() if format is None else {format: known_formats()[format]}
    fitting = _fitting(source, formats)
    inside: dict[Path, list[Format]] = {}
    if not fitting and isinstance(source, Path) and source.is_dir():
        files = [each for each in sorted(source.iterdir()) if each.is_file() and not each.name.startswith(".")]
        inside = {each: found for each in files if (found := _fitting(each, formats))}
        if len(inside) > 1:
            raise FieldcastError(
                f"the folder {source} holds several files of readings ({_some(each.name for each in inside)}): give "
                "the path of one."
            )
        if inside:
            (source, fitting), *_ = inside.items()
    if len(fitting) > 1:
        raise FieldcastError(
            f"{_label(source)} fits several formats ({', '.join(each.name for each in fitting)}): choose one with "
            "--format (in Python format=)."
        )
    if fitting:
        return source, fitting[0]
    if format is not None and isinstance(source, Path) and source.is_file():
        return source, formats[format]  # whoever names a format knows better than its glance at the file
    on_disk = isinstance(source, Path)
    known = ", ".join(each.name for each in known_formats().values() if each.in_memory is not on_disk)
    if format is not None:
        raise FieldcastError(f"{_label(source)} is nothing that the format {format} reads: fit for it are {known}.")
    holds = ""
    if isinstance(source, Path) and source.suffix.lower() == ".npz":
        with open_npz(source) as archive:
            holds = f", which holds the arrays {_some(archive.content.files)}"
    raise FieldcastError(
        f"no format recognises {_label(source)}{holds}: bring it into one of {known}, or name its format with --format "
        "(in Python format=)."
    )


def _fitting(source: Any, formats: dict[str, Format]) -> list[Format]:
    """The formats that recognise the source, the general ones only where no particular one does."""
    found = [each for each in formats.values() if each.recognises(source)]
    return [each for each in found if not each.general] or found


def _check_options(options: dict[str, Any], chosen: Format) -> None:
    known = (*COMMON_OPTIONS, *chosen.own_options)
    for name in options:
        if name not in known:
            raise FieldcastError(
                f"the format {chosen.name} has no option '{name}'{did_you_mean(name, known)}: it has "
                f"{', '.join(known)}."
            )


def _label(source: Any) -> str:
    return str(source) if isinstance(source, Path) else f"an object of type {type(source).__name__}"


def _some(names: Any, most: int = 4) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
