"""Wide tables on disk: CSV and Parquet with one column per sensor, with or without a time column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from fieldcast.data.formats._assembly import assemble
from fieldcast.data.formats._csv import is_edge_list, read_csv_table, read_header, time_position
from fieldcast.data.formats._frames import wide_arrays
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

NAME = "wide_table"
DESCRIPTION = "CSV or Parquet, one column per sensor; without a time column give start and frequency"
GENERAL = True

_CSV = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_NODE_NAMES = frozenset({"node", "node_id", "sensor", "sensor_id", "station", "station_id", "detector", "detector_id"})


def recognises(source: Any) -> bool:
    """A file named as CSV or Parquet whose beginning looks it, lists of edges (``from,to,cost``) excepted."""
    if not isinstance(source, Path) or not source.is_file():
        return False
    suffix = source.suffix.lower()
    if suffix in _PARQUET:
        return True
    if suffix not in _CSV:
        return False
    try:
        header = read_header(source)
    except FieldcastError:
        return suffix != ".txt"  # what is wrong with it is said when it is read
    return not is_edge_list(header) and (suffix != ".txt" or len(header.names) > 1)


def read(source: Path, *, time_column: str | None = None, **options: Any) -> Readings:
    """Read a table [time, N] with a header of sensor names.

    The time column is the one named by ``time_column``, else the first where its header (``time``, ``timestamp``,
    ``date`` ...) or its first cell says so, in Parquet also an index of dates; without one ``start`` and ``frequency``
    are needed. Comma, semicolon and tab separate. Blank cells, NA and NaN are missing; the text is UTF-8.
    """
    if source.suffix.lower() in _PARQUET:
        values, time, nodes, channels = wide_arrays(_read_parquet(source), time_column, str(source))
    else:
        header = read_header(source)
        channels = None
        values, time, nodes = read_csv_table(source, header, time_position(source, header, time_column))
    _refuse_long(source, time, nodes)
    return assemble(
        values, time, options, source=str(source), name=source.stem, beside=source.parent, nodes=nodes,
        channels=channels,
    )  # fmt: skip


def _refuse_long(path: Path, time: object, columns: list[str]) -> None:
    """A long table, read as a wide one, would take its column of node names for a sensor."""
    for name in columns:
        if time is not None and name.lower() in _NODE_NAMES:
            raise FieldcastError(
                f"{path} has a column '{name}' and so looks like a long table, one row per reading: read it with "
                f"pandas and call open_readings(frame, time_column=..., node_column='{name}'), or rename that sensor."
            )


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise FieldcastError(f"{path} has the column '{min(twice)}' twice: give each a name of its own.")
        return pd.read_parquet(path)
    except FieldcastError:
        raise
    # Whatever pyarrow and pandas meet in a damaged file or in forged notes on its types.
    except (
        pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise FieldcastError(f"{path} is damaged or no Parquet file ({reason}): write it again.") from None
