"""What every number carries with it: the protocol it was made by, its spread over seeds, and the table it stands in."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.rules import Arithmetic, ScoreRule, mean_label, pooled_label, shown_horizons

__all__ = [
    "PROTOCOL",
    "across_seeds",
    "format_table",
    "machine_record",
    "mean_label",
    "peak_memory",
    "pooled_label",
    "protocol_record",
    "score_row",
    "shown_horizons",
    "to_jsonable",
    "version_record",
]

PROTOCOL = "TSB-12v1"


def protocol_record(
    *,
    dataset: str,
    dataset_hash: str,
    split: str,
    null_rule: str,
    rule: ScoreRule | str,
    lookback: int,
    horizon: int,
    windows: Mapping[str, int],
    seeds: Sequence[int],
    arithmetic: Arithmetic | None = None,
    compatibility: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the record that stands beside every score, ready for JSON.

    Args:
        dataset: name of the readings.
        dataset_hash: SHA-256 of what was read.
        split: the split in words, such as ``windows-first 7:1:2``.
        null_rule: which readings count as missing, as the dataset says it.
        rule: the rule of the scored cells, or the dataset's whole ``scored_cells`` line.
        lookback: input steps T.
        horizon: predicted steps H.
        windows: number of windows of each part, such as ``{"train": ..., "validation": ..., "test": ...}``.
        seeds: the seeds of the runs behind the score.
        arithmetic: the scores' arithmetic.
        compatibility: switches set outside the metrics to follow a foreign pipeline (``{"split": "rows"}``); named
            under ``departures`` with those of the arithmetic, so that the header shows them.
    """
    arithmetic = arithmetic or Arithmetic()
    extra = [f"{name}={value}" for name, value in (compatibility or {}).items()]
    return {
        "protocol": PROTOCOL,
        "departures": arithmetic.departures() + extra,
        "dataset": dataset,
        "dataset_hash": dataset_hash,
        "split": split,
        "null_rule": null_rule,
        "scored_cells": rule if isinstance(rule, str) else rule.name,
        "arithmetic": asdict(arithmetic),
        "lookback": int(lookback),
        "horizon": int(horizon),
        "windows": {part: int(count) for part, count in windows.items()},
        "horizons_reported": list(shown_horizons(horizon)),
        "averages_reported": [mean_label(horizon), pooled_label(horizon)],
        "seeds": [int(seed) for seed in seeds],
        "versions": version_record(),
        "machine": machine_record(),
    }


def version_record() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that make the numbers; None for one that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in ("torch", "numpy", "lightning", "fieldcast"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = getattr(sys.modules.get(package), "__version__", None)
    return versions


def machine_record() -> dict[str, Any]:
    """Return processor, usable cores, platform and GPU; the GPU only when torch was already imported."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = None
    # Importing torch for this costs more than a second, and who has not imported it has used no GPU.
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gpu = torch.cuda.get_device_name()
    return {"cpu": _cpu_model(), "cores": usable, "platform": platform.platform(), "gpu": gpu}


def peak_memory() -> float:
    """Return the peak resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: a child inherits its parent's peak in getrusage, but not here
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return int(found[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # macOS counts in bytes


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def to_jsonable(value: Any) -> Any:
    """Return ``value`` in the types of JSON: NaN and infinities become None, arrays lists, dates ISO text.

    Raises:
        TypeError: for a type that has no plain form.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "M":
        return np.datetime_as_string(value).tolist()
    if isinstance(value, np.generic | np.ndarray):
        return to_jsonable(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if is_dataclass(value) and not isinstance(value, type):
        return to_jsonable(asdict(value))
    raise TypeError(f"{type(value).__name__} has no plain form in JSON")


def across_seeds(runs: Sequence[Any]) -> dict[str, Any]:
    """Return ``{"seeds": n, "mean": ..., "sd": ...}`` of scores alike, ``mean`` and ``sd`` of the scores' own shape.

    Every number becomes its mean, and its sample standard deviation (ddof 1; None for one seed). A figure that is
    NaN (or null, when read from JSON) for one seed is NaN for all: no seed is left out. Texts must be the same in
    all runs and stay as they are.

    Raises:
        FieldcastError: when there is no run, or when the runs differ in structure or in a text.
    """
    if not runs:
        raise FieldcastError("there is no run to average: give the scores of at least one seed.")
    mean, spread = _across([to_jsonable(run) for run in runs], "scores")
    return {"seeds": len(runs), "mean": mean, "sd": spread}


def _across(values: list[Any], where: str) -> tuple[Any, Any]:
    first = values[0]
    if all(isinstance(value, dict) for value in values):
        if any(value.keys() != first.keys() for value in values):
            raise FieldcastError(f"the seeds differ in the names under {where}: score them all in the same way.")
        pairs = {key: _across([value[key] for value in values], f"{where}.{key}") for key in first}
        return {key: pair[0] for key, pair in pairs.items()}, {key: pair[1] for key, pair in pairs.items()}
    if all(isinstance(value, list) for value in values):
        if any(len(value) != len(first) for value in values):
            raise FieldcastError(f"the seeds differ in the length of {where}: score them all on the same windows.")
        items = [_across(list(column), f"{where}[{index}]") for index, column in enumerate(zip(*values, strict=True))]
        return [item[0] for item in items], [item[1] for item in items]
    if all(_is_number(value) or value is None for value in values) and any(value is not None for value in values):
        return _mean_and_sd([math.nan if value is None else value for value in values])
    if any(type(value) is not type(first) or value != first for value in values):
        raise FieldcastError(f"the seeds differ in {where} ({first!r} and others): average only runs of one setting.")
    return first, first


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    if all(value == values[0] for value in values):  # so that equal values have no rounding for a spread
        return values[0], None if len(values) == 1 else 0.0
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), None if len(values) == 1 else float(array.std(ddof=1))


def score_row(scores: Mapping[str, Any], channel: str | None = None) -> dict[str, tuple[float | None, float | None]]:
    """Return the columns of one table row as (mean, sd): MAE at the shown horizons, then the averages.

    Args:
        scores: one result of ``metrics.scores`` (then every sd is None) or one of `across_seeds`.
        channel: which target channel; may be left out when there is one.
    """
    mean, spread = (scores["mean"], scores["sd"]) if "channels" not in scores else (scores, None)
    channels = mean["channels"]
    if channel is None and len(channels) == 1:
        channel = next(iter(channels))
    if channel not in channels:
        raise FieldcastError(f"there is no scored channel {channel!r}: choose one of {', '.join(channels)}.")
    average, pooled = mean_label(int(mean["horizon"])), pooled_label(int(mean["horizon"]))

    def pair(*path: str | int) -> tuple[float | None, float | None]:
        found = []
        for source in (mean, spread):
            value = None if source is None else source["channels"][channel]
            for step in path:
                value = None if value is None else value[step]
            found.append(value)
        return found[0], found[1]

    columns = {f"MAE@{step}": pair("per_horizon", "mae", step - 1) for step in mean["shown"]}
    columns[f"MAE {average}"] = pair("mean", "mae")
    columns[f"RMSE {average}"] = pair("mean", "rmse")
    columns[f"MAPE {average}"] = pair("mean", "mape")
    columns[f"MAE {pooled}"] = pair("pooled", "mae")
    columns[f"RMSE {pooled}"] = pair("pooled", "rmse")
    return columns


def format_table(rows: Sequence[Mapping[str, Any]], decimals: int | None = None) -> str:
    """Return an aligned plain-text table, a line of titles first; columns in the order in which they first come.

    A cell is a text, a number, None or NaN (both shown as ``-``), or (mean, sd), shown as ``mean ± sd``. Numbers get
    two decimals, and three or four in columns whose largest is below 10 or 1, unless ``decimals`` says otherwise;
    whole numbers stay whole.
    """
    titles = list(dict.fromkeys(title for row in rows for title in row))
    columns = []
    for title in titles:
        cells = [row.get(title) for row in rows]
        places = _places(cells) if decimals is None else decimals
        texts = [_cell(cell, places) for cell in cells]
        width = max(len(text) for text in (title, *texts))
        left = any(isinstance(cell, str) for cell in cells)
        columns.append([text.ljust(width) if left else text.rjust(width) for text in (title, *texts)])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _cell(cell: Any, places: int) -> str:
    if isinstance(cell, tuple | list):
        mean, spread = (_cell(part, places) for part in cell)
        return mean if spread == "-" else f"{mean} ± {spread}"
    if isinstance(cell, str | bool | int | np.integer):
        return str(cell)
    return "-" if cell is None or math.isnan(cell) else f"{cell:.{places}f}"


def _places(cells: Sequence[Any]) -> int:
    means = [cell[0] if isinstance(cell, tuple | list) else cell for cell in cells]
    sizes = [abs(mean) for mean in means if isinstance(mean, float) and math.isfinite(mean)]
    largest = max(sizes, default=10.0)
    return 2 if largest >= 10 else 3 if largest >= 1 else 4
