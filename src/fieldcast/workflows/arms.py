"""Arms of an experiment: what stands beside each of its backbones, and what of it trains on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldcast.core.registry import STAGES
from fieldcast.data.splits import check_share
from fieldcast.errors import FieldcastError, did_you_mean

_KEYS = ("stages", "mode", "training", "windows", "factors", "backbones", "datasets")
_TABLES = ("stages", "training", "windows", "factors")


@dataclass(frozen=True)
class Arm:
    """One way to train a backbone of an experiment.

    ``stages`` stand beside it, with their settings. ``mode`` says what trains: all from the start (``joint``), or on
    the backbone as trained without them the stages alone (``finetune``) or what nodes have of their own in them
    (``codes``). ``training`` and ``windows`` (which train) are other than the file's; ``factors`` names the
    ``dataset`` and ``arm`` of the run from which the stages take what nodes share.
    """

    name: str = ""
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mode: str = "joint"
    training: Mapping[str, Any] = field(default_factory=dict)
    windows: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name in tables: none for the backbone as the file trains it, which is the base of the others."""
        return self.name if self.stages or self.training or self.windows else ""

    @property
    def recipes(self) -> dict[str, Any]:
        """What the recipes of its stages say of training."""
        told = [STAGES.get(name).recipe(str(each["recipe"])) for name, each in self.stages.items() if "recipe" in each]
        return {key: value for recipe in told for key, value in recipe.training.items()}


def read_arms(path: str | Path, table: Mapping[str, Any], dataset: str, backbone: str) -> list[Arm]:
    """The arms of a backbone on a dataset; the backbone alone where the file has none, and for baselines.

    In the file an arm may be for some ``backbones`` or ``datasets`` alone.
    """
    if backbone not in table["backbones"] or "arms" not in table:
        return [Arm()]
    named = {"backbones": list(table["backbones"]), "datasets": [each["name"] for each in table["datasets"]]}
    chosen = []
    for name, told in table["arms"].items():
        given = {} if told is None else told
        if not isinstance(given, dict) or set(given) - set(_KEYS) or not _are_kinds(given):
            raise FieldcastError(f"{path} gives the arm '{name}' {told!r}: give a table of {', '.join(_KEYS)}.")
        for part, known in named.items():
            for each in given.get(part, []):
                if each not in known:
                    near = did_you_mean(str(each), known)
                    raise FieldcastError(
                        f"{path}: the arm '{name}' is for '{each}'{near}, which is none of its {part}: mend the name."
                    )
        tables = {key: given[key] for key in _TABLES if key in given}
        tables["stages"] = {stage: settings or {} for stage, settings in given.get("stages", {}).items()}
        arm = Arm(str(name), mode=given.get("mode", "joint"), **tables)
        _check(path, arm, table["arms"], named["datasets"])
        if backbone in given.get("backbones", [backbone]) and dataset in given.get("datasets", [dataset]):
            chosen.append(arm)
    return chosen


def _check(path: str | Path, arm: Arm, arms: Mapping[str, Any], datasets: list[str]) -> None:
    # Codes alone move only where what nodes share is trained: an adapter at its start lets nothing of theirs through.
    modes = ["joint"] if not arm.stages else ["finetune", "codes"] if arm.factors else ["joint", "finetune"]
    if arm.mode not in modes:
        raise FieldcastError(f"{path}: the arm '{arm.name}' has no mode '{arm.mode}': choose {' or '.join(modes)}.")
    stride = arm.windows.get("stride", 1)
    if set(arm.windows) - {"stride", "train_share"} or type(stride) is not int or stride < 1:
        raise FieldcastError(
            f"{path}: the arm '{arm.name}' has windows of its own: only their stride, 1 or more, and their train_share "
            "may be others."
        )
    check_share(arm.windows.get("train_share", (0, 1)))
    known = [arm.factors.get("arm") in list(arms), arm.factors.get("dataset") in datasets]
    if arm.factors and (set(arm.factors) != {"dataset", "arm"} or not all(known)):
        raise FieldcastError(
            f"{path}: the arm '{arm.name}' takes factors from {dict(arm.factors)}: name a dataset and an arm of it."
        )


def _are_kinds(arm: Mapping[str, Any]) -> bool:
    tables = [arm.get(part, {}) for part in _TABLES]
    if not all(isinstance(each, dict) for each in tables):
        return False
    told = all(isinstance(each or {}, dict) for each in tables[0].values())
    return told and all(isinstance(arm.get(part, []), list) for part in ("backbones", "datasets"))
