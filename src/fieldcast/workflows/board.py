"""The board of a run: scores of all its models with their protocol, and forecasts to look at, as files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.data.files import SUMS, check_sums, write_atomically, write_sums
from fieldcast.data.plain import Unreadable, read_table
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.evaluation import across_seeds, format_table, score_row
from fieldcast.workflows.options import CONFIG
from fieldcast.workflows.scoring import Scored, protocol_of

SCORES = "scores.json"
SAMPLE = "sample.npz"
BASELINES_FOLDER = "baselines"
SUMS_FILE = "sums.npz"
RECORD = "training.json"
"""The files of a run, and in the folder of each seed its sums of errors and the record of its training."""
_SEALED = (CONFIG, SCORES, SAMPLE, f"{BASELINES_FOLDER}/*.npz", f"*/{SUMS_FILE}", f"*/{RECORD}")


@dataclass
class Entry:
    """One model of a board: its scores for each seed, or a note why it has none."""

    name: str
    kind: str
    parameters: int
    seeds: list[int]
    scored: list[Scored]
    train_seconds: float | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        beside = [scored.scores_beside() for scored in self.scored]
        rules = range(len(beside[0])) if beside else range(0)
        return {
            "name": self.name, "kind": self.kind, "parameters": self.parameters, "seeds": self.seeds,
            "train_seconds": self.train_seconds, "note": self.note,
            "summary": across_seeds([scored.scores() for scored in self.scored]) if self.scored else None,
            "beside": [
                {"rule": beside[0][i]["rule"], "summary": across_seeds([each[i] for each in beside])} for i in rules
            ],
        }  # fmt: skip


def build_board(
    title: str, windows: Windows, seeds: Sequence[int], entries: Sequence[Entry], part: str = "test"
) -> dict[str, Any]:
    """What ``scores.json`` holds: every model's scores, the protocol, and where the sensors lie."""
    form, readings, graph = windows.form, windows.readings, windows.graph
    return {
        "title": title, "simulated": "simulated" in f"{readings.meta.name} {readings.meta.role}".lower(),
        "protocol": {**protocol_of(windows, list(seeds)), "part": part}, "targets": list(form.targets),
        "units": {target: (form.units or {}).get(target, "") for target in form.targets},
        "models": [entry.to_json() for entry in entries], "nodes": list(form.nodes),
        "coordinates": None if form.coordinates is None else form.coordinates.tolist(),
        "graph": None if graph is None else graph.edge_index.T.tolist(),
    }  # fmt: skip


def write_board(folder: Path, board: Mapping[str, Any], entries: Sequence[Entry]) -> None:
    """Write ``scores.json`` and ``sample.npz`` of a run, and at last the SHA-256 of all that its scores come from."""
    write_atomically(folder / SCORES, json.dumps(board, allow_nan=False) + "\n")
    drawn = [entry for entry in entries if entry.scored]
    first = drawn[0].scored[0].sample
    arrays = {
        "time": first.time, "truth": first.truth, "steps": first.steps, "nodes": np.array(first.nodes),
        "targets": np.array(first.targets), "models": np.array([entry.name for entry in drawn]),
        # The first seed's forecasts: an average over seeds would be a forecast that no model made.
        "forecast": np.stack([entry.scored[0].sample.forecast for entry in drawn]),
    }  # fmt: skip
    write_atomically(folder / SAMPLE, lambda beside: np.savez_compressed(beside, **arrays))  # type: ignore[arg-type]
    found = {path.relative_to(folder).as_posix() for pattern in _SEALED for path in folder.glob(pattern)}
    write_sums(folder, sorted(found))


def check_run(folder: str | Path) -> None:
    """Refuse a run of which a file was damaged or edited; one of a version that kept no sums passes."""
    if (Path(folder) / SUMS).exists():
        check_sums(folder, "bring the file back as it was written, or train the run again")


def read_board(folder: str | Path) -> dict[str, Any]:
    """The scores of a run."""
    path = Path(folder) / SCORES
    if not path.is_file():
        raise FieldcastError(f"there are no scores at {path}: give the folder of a finished run.")
    check_run(folder)
    try:
        return read_table(path, "json")
    except Unreadable:
        raise FieldcastError(f"{path} is damaged: evaluate the run again.") from None


def board_table(board: dict[str, Any]) -> str:
    """The scores as an aligned table with its protocol, one block a target and a rule."""
    protocol = board["protocol"]
    counts = protocol["windows"]
    lines = [
        f"{board['title']}{' (simulated data)' if board['simulated'] else ''}: {protocol['lookback']} -> "
        f"{protocol['horizon']} steps, split {protocol['split']}, {counts[protocol['part']]} {protocol['part']} "
        f"windows, protocol {protocol['protocol']}, seeds {', '.join(map(str, protocol['seeds']))} (mean ± sample sd)"
    ]
    rules = [(None, protocol["scored_cells"].split(";")[0])]
    example = next(model for model in board["models"] if model["summary"])
    rules += [(i, each["rule"]) for i, each in enumerate(example["beside"])]
    for target in board["targets"]:
        unit = board["units"].get(target) or ""
        for index, rule in rules:
            rows = []
            for model in board["models"]:
                row: dict[str, Any] = {"model": model["name"], "parameters": model["parameters"]}
                if model["summary"] is not None:
                    row |= score_row((model if index is None else model["beside"][index])["summary"], target)
                rows.append(row)
            lines += ["", f"{target}{f' [{unit}]' if unit else ''}, scored on {rule}", format_table(rows)]
    lines += [f"{model['name']}: {model['note']}" for model in board["models"] if model["note"]]
    return "\n".join(lines)
