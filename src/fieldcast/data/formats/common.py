"""The common form of fieldcast: a folder with ``data.npz`` and ``meta.toml``, or the ``data.npz`` itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.data.archives import array_names, open_npz
from fieldcast.data.formats._assembly import assemble
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

NAME = "common"
DESCRIPTION = "folder with data.npz (values, timestamps, node_ids, channels, coords, grid_shape) and meta.toml"


def recognises(source: Any) -> bool:
    """A folder whose ``data.npz``, or an archive that itself, holds ``values`` and ``timestamps``."""
    if not isinstance(source, Path):
        return False
    path = _file(source)
    names = array_names(path)
    damaged = path.name == "data.npz" and path.is_file() and not names  # let reading say what is wrong with it
    return damaged or {"values", "timestamps"} <= set(names)


def read(source: Path, **options: Any) -> Readings:
    """Read the common form.

    ``values`` float [time, N, C] with NaN where missing, ``timestamps`` datetime64 [time] on the local wall clock,
    ``node_ids`` [N] and ``channels`` [C] as text; ``coords`` [N, 2] in degrees and ``grid_shape`` [2] where known. Of a
    grid with ``lat`` [rows] and ``lon`` [columns] but without ``coords`` the coordinates are those of its cells.
    """
    path = _file(source)
    folder = path.parent
    with open_npz(path) as archive:
        values = archive.read("values")
        time, nodes, channels = archive.get("timestamps"), archive.get("node_ids"), archive.get("channels")
        coordinates, shape = archive.get("coords"), archive.get("grid_shape")
        latitude, longitude = archive.get("lat"), archive.get("lon")
    if shape is not None and (shape.shape != (2,) or shape.dtype.kind not in "iu"):
        raise FieldcastError(f"grid_shape in {path} is {shape}: give two whole numbers, rows and columns.")
    for what, names in (("node_ids", nodes), ("channels", channels)):
        if names is not None and (names.ndim != 1 or names.dtype.kind not in "Uiuf"):
            raise FieldcastError(f"{what} in {path} is {names.dtype} {names.shape}: give a list of texts.")
    grid = None if shape is None else (int(shape[0]), int(shape[1]))
    if coordinates is None and grid and latitude is not None and longitude is not None:
        if (latitude.shape, longitude.shape) != ((grid[0],), (grid[1],)):
            raise FieldcastError(
                f"{path} has {latitude.size} lat and {longitude.size} lon for a grid of {grid[0]} x {grid[1]}: give "
                "one for each row and column."
            )
        coordinates = np.stack([g.ravel() for g in np.meshgrid(latitude, longitude, indexing="ij")], axis=1)
    return assemble(
        values, time, options, source=str(path), name=folder.resolve().name if path.name == "data.npz" else path.stem,
        beside=folder, nodes=None if nodes is None else nodes.tolist(),
        channels=None if channels is None else [str(channel) for channel in channels.tolist()],
        coordinates=coordinates, grid=grid,
    )  # fmt: skip


def _file(source: Path) -> Path:
    return source / "data.npz" if source.is_dir() else source
