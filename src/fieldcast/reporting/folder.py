"""What a finished run left in its folder for the report, read and checked: ``scores.json`` and ``sample.npz``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.data.archives import read_arrays
from fieldcast.data.plain import Unreadable, read_plain
from fieldcast.errors import FieldcastError
from fieldcast.workflows.board import SAMPLE, SCORES, check_run

_KEYS: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "simulated": bool,
    "protocol": dict,
    "targets": list,
    "units": dict,
    "models": list,
    "nodes": list,
}
_PROTOCOL_KEYS = (
    *("protocol", "departures", "dataset", "dataset_hash", "split", "null_rule", "scored_cells", "arithmetic"),
    *("lookback", "horizon", "windows", "seeds", "versions", "machine"),
)
_MODEL_KEYS = ("name", "kind", "parameters", "seeds", "train_seconds", "note", "summary", "beside")
_ARRAYS = ("time", "truth", "steps", "models", "forecast", "nodes", "targets")
_CHANNEL_KEYS = ("per_horizon", "mean", "pooled", "per_node", "per_hour", "per_day")


@dataclass(frozen=True)
class Sample:
    """Forecasts beside what was measured, for looking at.

    Shapes:
        time datetime64[ns] [R]; truth float32 [R, N, O], NaN where unobserved; forecast float32 [M, S, R, N, O], the
        forecast for row r made ``steps[s]`` steps before, NaN where there is none.
    """

    time: np.ndarray
    truth: np.ndarray
    forecast: np.ndarray
    steps: tuple[int, ...]
    models: tuple[str, ...]
    nodes: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class RunFolder:
    """A run folder whose scores and sample are whole and fit one another."""

    path: Path
    scores: Mapping[str, Any]
    sample: Sample

    @property
    def rules(self) -> list[str]:
        """Names of the rules of scored cells, the primary one first."""
        found: dict[str, None] = {}
        for model in self.scores["models"]:
            found.update(dict.fromkeys(view(model)))
        return list(found)


def view(model: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the ``across_seeds`` summaries of one model by the name of their rule, the primary one first."""
    if model["summary"] is None:
        return {}
    summaries = [model["summary"], *(beside["summary"] for beside in model["beside"])]
    return {summary["mean"]["rule"]: summary for summary in summaries if summary is not None}


def read_run_folder(folder: str | Path) -> RunFolder:
    """Read what a run left for its report.

    Raises:
        FieldcastError: when a file, a key or an array is missing, or when they do not fit one another.
    """
    folder = Path(folder)
    check_run(folder)
    scores = _read_scores(folder / SCORES)
    sample = _read_sample(folder / SAMPLE)
    known = {
        "models": {model["name"] for model in scores["models"]},
        "nodes": set(scores["nodes"]),
        "targets": set(scores["targets"]),
    }
    for part, names in known.items():
        for name in getattr(sample, part):
            if name not in names:
                raise FieldcastError(
                    f"{folder / SAMPLE} names '{name}' under {part}, which {SCORES} does not know: write both again."
                )
    return RunFolder(folder, scores, sample)


def _read_scores(path: Path) -> dict[str, Any]:
    try:
        scores = read_plain(path, "json")
    except FileNotFoundError:
        raise FieldcastError(f"{path} does not exist: evaluate the run first, or give the folder of a run.") from None
    except (OSError, Unreadable) as error:
        raise FieldcastError(f"{path} cannot be read ({error}): evaluate the run again.") from None
    if not isinstance(scores, dict):
        raise FieldcastError(f"{path} holds no table of names: evaluate the run again.")
    for key, kind in _KEYS.items():
        if not isinstance(scores.get(key), kind):
            raise _lacks(path, f"the key '{key}'", key in scores)
    for key in _PROTOCOL_KEYS:
        if key not in scores["protocol"]:
            raise _lacks(path, f"the key '{key}' of the protocol")
    for key in ("targets", "nodes"):
        if not scores[key] or not all(isinstance(name, str) for name in scores[key]):
            raise _lacks(path, f"the key '{key}'", odd=True)
    for target in scores["targets"]:
        if target not in scores["units"]:
            raise _lacks(path, f"the unit of the target '{target}'")
    for number, model in enumerate(scores["models"]):
        for key in _MODEL_KEYS:
            if not isinstance(model, dict) or key not in model:
                raise _lacks(path, f"the key '{key}' of model {number}")
        _check_model(path, model, scores)
    if all(model["summary"] is None for model in scores["models"]):
        raise FieldcastError(f"{path} holds the scores of no model: evaluate the run again.")
    _check_places(path, scores)
    return scores


def _lacks(path: Path, what: str, odd: bool = False) -> FieldcastError:
    fault = f"holds something unexpected as {what}" if odd else f"lacks {what}"
    return FieldcastError(f"{path} {fault}: evaluate the run again with this version.")


def _check_model(path: Path, model: Mapping[str, Any], scores: Mapping[str, Any]) -> None:
    name = model["name"]
    if model["summary"] is None and not model["note"]:
        raise _lacks(path, f"the scores of the model '{name}' (and a note that says why)")
    try:
        for summary in view(model).values():
            if "sd" not in summary or "seeds" not in summary:
                raise _lacks(path, f"the spread over seeds of the model '{name}'")
            for target in scores["targets"]:
                channel = summary["mean"]["channels"][target]
                for key in _CHANNEL_KEYS:
                    if key not in channel:
                        raise _lacks(path, f"the figures '{key}' of the model '{name}' for '{target}'")
                nodes, scored = len(scores["nodes"]), len(channel["per_node"]["mae"])
                if nodes != scored:
                    raise FieldcastError(
                        f"{path} has {nodes} nodes and figures of {scored} nodes of the model '{name}': "
                        "evaluate the run again."
                    )
    except (LookupError, TypeError, AttributeError) as error:
        raise _lacks(path, f"the figures {error} of the model '{name}'") from None


def _check_places(path: Path, scores: Mapping[str, Any]) -> None:
    nodes = len(scores["nodes"])
    coordinates, graph = scores.get("coordinates"), scores.get("graph")
    for what, given in (("coordinates", coordinates), ("graph", graph)):
        pairs = given is None or (isinstance(given, list) and all(isinstance(each, list) for each in given))
        if not pairs:
            raise _lacks(path, f"its {what}", odd=True)
    if coordinates is not None and not all(
        len(place) == 2 and all(part is None or type(part) in (int, float) for part in place) for place in coordinates
    ):
        raise _lacks(path, "its coordinates", odd=True)
    if coordinates is not None and len(coordinates) != nodes:
        raise FieldcastError(f"{path} has {len(coordinates)} coordinates for {nodes} nodes: give [lat, lon] for each.")
    for edge in graph or ():
        if len(edge) != 2 or not all(isinstance(end, int) and 0 <= end < nodes for end in edge):
            raise FieldcastError(f"{path} has the edge {edge} in its graph of {nodes} nodes: give pairs of positions.")


def _read_sample(path: Path) -> Sample:
    try:
        arrays = read_arrays(path)
    except FileNotFoundError:
        raise FieldcastError(f"{path} does not exist: evaluate the run again, which writes it.") from None
    except OSError as error:
        raise FieldcastError(f"{path} cannot be read ({error.strerror}): evaluate the run again.") from None
    for name in _ARRAYS:
        if name not in arrays:
            raise _lacks(path, f"the array '{name}'")
    for name in ("time", "steps", "models", "nodes", "targets"):
        if arrays[name].ndim != 1:
            raise FieldcastError(f"{path} has '{name}' of the shape {arrays[name].shape} where a list is expected.")
    for name, kind in (("truth", "f"), ("forecast", "f"), ("steps", "iu")):
        if arrays[name].dtype.kind not in kind:
            raise FieldcastError(f"{path} has '{name}' of the type {arrays[name].dtype}: evaluate the run again.")
    rows, nodes, targets = len(arrays["time"]), len(arrays["nodes"]), len(arrays["targets"])
    expected = {
        "truth": (rows, nodes, targets),
        "forecast": (len(arrays["models"]), len(arrays["steps"]), rows, nodes, targets),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise FieldcastError(f"{path} has '{name}' of the shape {arrays[name].shape} where {shape} is expected.")
    if arrays["time"].dtype.kind != "M" or not rows or not nodes or np.isnat(arrays["time"]).any():
        raise FieldcastError(f"{path} has no times, an empty one, or no nodes: evaluate the run again.")
    return Sample(
        time=arrays["time"].astype("datetime64[ns]"),
        truth=arrays["truth"].astype(np.float32),
        forecast=arrays["forecast"].astype(np.float32),
        steps=tuple(int(step) for step in arrays["steps"]),
        models=tuple(str(name) for name in arrays["models"]),
        nodes=tuple(str(name) for name in arrays["nodes"]),
        targets=tuple(str(name) for name in arrays["targets"]),
    )
