"""A pandas DataFrame: wide with a column per sensor, or long with a row per reading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.formats._assembly import assemble, names_of
from fieldcast.data.formats._frames import long_arrays, wide_arrays
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

NAME = "frame"
DESCRIPTION = "pandas DataFrame: wide with an index or column of dates, or long with time_column and node_column"
IN_MEMORY = True


def recognises(source: Any) -> bool:
    """A DataFrame, or a Series, which is one of one column."""
    return isinstance(source, (pd.DataFrame, pd.Series))


def read(
    source: pd.DataFrame | pd.Series,
    *,
    time_column: str | None = None,
    node_column: str | None = None,
    coordinates: np.ndarray | None = None,
    **options: Any,
) -> Readings:
    """Read a DataFrame.

    Wide: one column per node, or two levels of columns, node and channel; the time is ``time_column``, an index of
    dates, or a first column of dates. Long, where ``node_column`` is given: ``time_column`` and ``node_column`` name
    the two keys, the other columns (those in ``channels`` where it is given) are channels, and pairs that are absent
    are missing. ``coordinates`` [N, 2] are latitude and longitude in degrees, in the order of the nodes.
    """
    if isinstance(source, pd.Series):
        source = source.to_frame("value" if source.name is None else source.name)
    if not isinstance(source, pd.DataFrame):
        raise FieldcastError(f"the format {NAME} reads a pandas DataFrame, not {source}: leave the format out.")
    label = "the frame"
    if node_column is None:
        values, time, nodes, channels = wide_arrays(source, time_column, label)
    else:
        if time_column is None:
            raise FieldcastError("a long frame needs time_column beside node_column: give both.")
        asked = names_of(options["channels"], "channels") if "channels" in options else None
        values, time, nodes, channels = long_arrays(
            source, time_column, node_column, asked, options.get("repeated", "refuse"), label
        )
    return assemble(
        values, time, options, source=label, name="frame", nodes=nodes, channels=channels, coordinates=coordinates,
        copy=True,
    )  # fmt: skip
