"""The T-GCN pair: ``*_speed.csv`` without a time column and ``*_adj.csv``, its adjacency matrix, beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fieldcast.data.formats._assembly import assemble
from fieldcast.data.formats._csv import read_csv_table, read_header
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError

NAME = "tgcn_pair"
DESCRIPTION = "T-GCN pair X_speed.csv (no time column) and X_adj.csv; give start and frequency"


def recognises(source: Any) -> bool:
    """A ``*_speed.csv`` with its ``*_adj.csv`` beside it, either of them, or a folder with exactly one such pair."""
    return isinstance(source, Path) and _pair(source) is not None


def read(source: Path, **options: Any) -> Readings:
    """Read the speeds [time, N]: a header of sensor ids and one row per step; ``start`` and ``frequency`` are needed.

    The adjacency beside them is read by :func:`read_adjacency`.
    """
    speeds, _ = _pair_or_refuse(source)
    values, _, nodes = read_csv_table(speeds, read_header(speeds), None)
    return assemble(
        values, None, options, source=str(speeds), name=speeds.stem.removesuffix("_speed"), beside=speeds.parent,
        nodes=nodes,
    )  # fmt: skip


def read_adjacency(path: str | Path) -> np.ndarray:
    """Read the adjacency float32 [N, N] of a pair, given the matrix, the speeds, or the folder of both.

    Entry [i, j] weighs the edge from node i to node j, in the order of the header of the speeds. Refused are matrices
    that are not square, and cells that are no finite numbers.
    """
    path = Path(path)
    if not path.exists():
        raise FieldcastError(f"there is no file or folder {path}: check the path.")
    matrix_path = path if path.name.endswith("_adj.csv") else _pair_or_refuse(path)[1]
    try:
        matrix = pd.read_csv(matrix_path, header=None, dtype=np.float32, encoding="utf-8-sig").to_numpy()
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).strip().splitlines()[-1].rstrip(".") if str(error) else "it is empty"
        raise FieldcastError(f"{matrix_path} is no matrix of numbers ({reason}): mend it.") from None
    if matrix.shape[0] != matrix.shape[1]:
        raise FieldcastError(f"{matrix_path} has shape {matrix.shape}: give one row and one column for each sensor.")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise FieldcastError(f"row {row}, column {column} of {matrix_path} is no finite number: write 0 for no edge.")
    return matrix


def _pair(source: Path) -> tuple[Path, Path] | None:
    """Speeds and adjacency of the one pair that a path stands for, or None."""
    if source.is_dir():
        pairs = [found for each in sorted(source.glob("*_speed.csv")) if (found := _pair(each))]
        return pairs[0] if len(pairs) == 1 else None
    for ending in ("_speed.csv", "_adj.csv"):
        if source.name.endswith(ending):
            stem = source.name.removesuffix(ending)
            speeds, matrix = source.with_name(f"{stem}_speed.csv"), source.with_name(f"{stem}_adj.csv")
            return (speeds, matrix) if speeds.is_file() and matrix.is_file() else None
    return None


def _pair_or_refuse(source: Path) -> tuple[Path, Path]:
    pair = _pair(source)
    if pair is None:
        raise FieldcastError(f"{source} is no T-GCN pair: put X_speed.csv and X_adj.csv into one folder.")
    return pair
