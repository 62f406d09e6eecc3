"""compare: finished runs side by side, with paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldcast.errors import FieldcastError
from fieldcast.evaluation import (
    Difference,
    ScoreSums,
    block_of,
    format_table,
    holm,
    paired_difference,
    score_row,
)
from fieldcast.workflows.board import BASELINES_FOLDER, SUMS_FILE, read_board
from fieldcast.workflows.evaluating import read_run
from fieldcast.workflows.running import read_sums_file

_SAME = ("dataset_hash", "split", "lookback", "horizon", "scored_cells", "null_rule", "targets", "part")


@dataclass(frozen=True)
class Compared:
    """One model of a comparison: its scores, and its difference to the reference (None for the reference)."""

    name: str
    kind: str
    summary: dict[str, Any]
    difference: Difference | None
    adjusted_p: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Models on the same windows; differences are to ``reference``, p adjusted by Holm over the table."""

    protocol: dict[str, Any]
    target: str
    unit: str
    reference: str
    models: list[Compared]

    def to_json(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol, "target": self.target, "unit": self.unit, "reference": self.reference,
            "models": [
                {
                    "name": each.name, "kind": each.kind, "scores": score_row(each.summary, self.target),
                    "difference": None if each.difference is None else vars(each.difference), "holm": each.adjusted_p,
                }
                for each in self.models
            ],
        }  # fmt: skip

    def __str__(self) -> str:
        protocol = self.protocol
        mean = f"MAE mean{protocol['horizon']}"
        rows = []
        for each in self.models:
            row: dict[str, Any] = {"model": each.name, **score_row(each.summary, self.target)}
            row = {key: value for key, value in row.items() if "pooled" not in key}
            if each.difference is not None:
                row |= each.difference.row(each.adjusted_p)
            else:
                row |= {"difference": "reference", "95 % interval": "", "p (Holm)": ""}
            rows.append(row)
        found = [each.difference for each in self.models if each.difference is not None]
        scored = protocol["scored_cells"].split(";")[0]
        head = (
            f"{protocol['dataset']}, {self.target}{f' [{self.unit}]' if self.unit else ''}: {protocol['lookback']} -> "
            f"{protocol['horizon']} steps, split {protocol['split']}, scored on {scored}\n"
            f"difference of {mean} to {self.reference}, paired by window"
            f"{f', {found[0].resampled}' if found else ''}"
        )
        return f"{head}\n{format_table(rows)}"


def compare(folders: Sequence[str | Path], *, target: str | None = None, baselines: bool = True) -> Comparison:
    """Compare finished runs: the first is the reference; its baselines stand in the table too.

    Raises FieldcastError for runs on other data, splits, horizons or scored cells, and for unfinished ones.
    """
    if len(folders) < 1 or len(set(map(str, folders))) < len(folders):
        raise FieldcastError("compare needs the folders of finished runs, each once: give at least one.")
    paths = [Path(folder) for folder in folders]
    boards = [read_board(path) for path in paths]
    first = boards[0]
    for path, board in zip(paths, boards, strict=True):
        for key in _SAME:
            if board["protocol"].get(key) != first["protocol"].get(key):
                raise FieldcastError(
                    f"{path} and {paths[0]} differ in '{key}' ({board['protocol'].get(key)} and "
                    f"{first['protocol'].get(key)}): compare runs on the same data, split and horizon."
                )
    chosen = target or first["targets"][0]
    if chosen not in first["targets"]:
        raise FieldcastError(f"there is no target '{chosen}': the runs forecast {', '.join(first['targets'])}.")
    found: list[tuple[str, str, dict[str, Any], dict[int, ScoreSums]]] = []
    for path, board in zip(paths, boards, strict=True):
        model = board["models"][0]
        label = f"{path.name} ({model['name']})" if path.name != model["name"] else path.name
        places = {seed: path / f"seed{seed}" for seed in read_run(path).seeds}
        sums = {seed: read_sums_file(place / SUMS_FILE) for seed, place in places.items() if place.exists()}
        found.append((label, model["kind"], model["summary"], sums))
    if baselines:
        for model in first["models"][1:]:
            path = paths[0] / BASELINES_FOLDER / f"{model['name']}.npz"
            if model["summary"] is not None and path.exists():
                found.append((model["name"], "baseline", model["summary"], {0: read_sums_file(path)}))
    reference = found[0]
    protocol = first["protocol"]
    windows = protocol["windows"][protocol["part"]]
    days = len(next(iter(reference[3].values())).days) if reference[3] else 0
    block = block_of(protocol["horizon"], windows, days) if days else 1
    differences = [
        None if entry is reference else paired_difference(*_of_both(entry, reference), chosen, block=block)
        for entry in found
    ]  # fmt: skip
    adjusted = holm([None if each is None else each.p for each in differences])
    models = [
        Compared(name, kind, summary, difference, p)
        for (name, kind, summary, _), difference, p in zip(found, differences, adjusted, strict=True)
    ]
    return Comparison(first["protocol"], chosen, first["units"].get(chosen, ""), reference[0], models)


def _of_both(
    model: tuple[str, str, Any, dict[int, ScoreSums]], reference: tuple[str, str, Any, dict[int, ScoreSums]]
) -> tuple[list[ScoreSums], list[ScoreSums]]:
    """The sums of two models over the seeds that both have; a baseline has none and stands against all of the other."""
    (name, kind, _, mine), (other, kind_of_other, _, theirs) = model, reference
    if "baseline" in (kind, kind_of_other):
        return list(mine.values()), list(theirs.values())
    seeds = sorted(mine.keys() & theirs.keys())
    if not seeds:
        raise FieldcastError(f"{name} and {other} have no seed in common: train one of them with the other's --seeds.")
    return [mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]
