"""A NumPy array."""

from __future__ import annotations

from typing import Any

import numpy as np

from fieldcast.data.formats._assembly import assemble
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

NAME = "array"
DESCRIPTION = "NumPy array [time, node] or [time, node, channel]; give time, or start and frequency"
IN_MEMORY = True


def recognises(source: Any) -> bool:
    """A NumPy array, masked ones too."""
    return isinstance(source, np.ndarray)


def read(
    source: np.ndarray,
    *,
    time: Any = None,
    observed: np.ndarray | None = None,
    coordinates: np.ndarray | None = None,
    grid: tuple[int, int] | None = None,
    **options: Any,
) -> Readings:
    """Read an array [time, N] or [time, N, C]; NaN, masked cells and what ``observed`` excludes are missing.

    ``time`` [time] holds timestamps; without it ``start`` and ``frequency`` are needed. ``coordinates`` [N, 2] are
    latitude and longitude in degrees, ``grid`` the rows and columns of nodes that lie row by row.
    """
    if not isinstance(source, np.ndarray):
        raise FieldcastError(f"the format {NAME} reads a NumPy array, not {source}: leave the format out.")
    return assemble(
        source, time, options, source="the array", name="array", observed=observed, coordinates=coordinates, grid=grid,
        copy=True,
    )  # fmt: skip
