"""PEMS as published with ASTGCN and its followers: an archive with the one array ``data`` and no time axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fieldcast.data.archives import array_names, open_npz
from fieldcast.data.formats._assembly import assemble
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

NAME = "pems_npz"
DESCRIPTION = "NPZ with the key data [time, node] or [time, node, channel]; give start and frequency"


def recognises(source: Any) -> bool:
    """An archive that holds ``data``, and no ``values`` of the common form."""
    names = array_names(source)
    return "data" in names and "values" not in names


def read(source: Path, **options: Any) -> Readings:
    """Read ``data`` [time, N] or [time, N, C]; nodes are named by their positions, 0 to N - 1.

    So does the ``distance.csv`` that is published beside it. There are no timestamps: ``start`` and ``frequency`` are
    needed. ``channels`` and ``nodes`` give names.
    """
    with open_npz(source) as archive:
        values = archive.read("data")
    if values.ndim not in (2, 3):
        raise FieldcastError(f"data in {source} has shape {values.shape}: give [time, node] or [time, node, channel].")
    positions = range(values.shape[1])
    return assemble(
        values, None, options, source=str(source), name=source.stem, beside=source.parent,
        nodes=None if "nodes" in options else [str(position) for position in positions],
    )  # fmt: skip
