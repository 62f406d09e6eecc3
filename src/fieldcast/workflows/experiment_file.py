"""What an experiment file says: a grid of runs, and figures published on the same data."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fieldcast.core.backbone import Backbone
from fieldcast.core.module import Recipe
from fieldcast.core.registry import BACKBONES
from fieldcast.data.plain import Unreadable, read_plain
from fieldcast.errors import FieldcastError, did_you_mean
from fieldcast.training import TrainingOptions
from fieldcast.workflows.arms import Arm, read_arms
from fieldcast.workflows.options import BASELINES, WindowOptions, settings

_KEYS = (
    *("name", "datasets", "backbones", "baselines", "arms", "seeds", "training", "windows"),
    *("published", "paired_with", "data", "note"),
)
_SEEDS = "a list of whole numbers, each once, none negative"
_PUBLISHED = ("model", "dataset", "horizon", "average", "MAE", "RMSE", "MAPE", "source", "differs")


@dataclass(frozen=True)
class Job:
    """One run of an experiment: a dataset's settings, a backbone with its own, an arm, a seed.

    An arm whose mode is not ``joint`` is trained on ``base``, the backbone trained alone before; one that takes factors
    has them from ``source``.
    """

    dataset: str
    windows: Mapping[str, Any]
    backbone: str
    hyper: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int
    arm: Arm = field(default_factory=Arm)
    base: Job | None = None
    source: Job | None = None

    @property
    def key(self) -> str:
        """A hash over all settings: a line with this key is the same run."""
        told = [self.dataset, self.windows, self.backbone, self.hyper, self.training, self.seed]
        if self.arm.stages:
            told += [self.arm.stages, self.arm.mode]
        told += [each.key for each in (self.base, self.source) if each is not None]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def datasets(self) -> list[str]:
        """The datasets that it needs."""
        return [self.dataset] if self.source is None else [self.dataset, self.source.dataset]

    @property
    def setting(self) -> str:
        """What all seeds of a run have in common, as a hash."""
        alike = {part: _seedless(getattr(self, part)) for part in ("base", "source")}
        return replace(self, seed=0, **alike).key


@dataclass(frozen=True)
class Published:
    """Figures of a paper on a dataset of the experiment, never ours.

    ``average`` says how the paper takes them over the horizon: ``mean`` of the steps, ``pooled``, or ``step 3`` for
    that step alone. ``differs`` says in what the paper's training is another, and its test windows where they are.
    """

    model: str
    dataset: str
    horizon: int
    average: str
    figures: Mapping[str, float]
    source: str
    differs: str = ""

    @property
    def step(self) -> int | None:
        """The one step that the figures are of."""
        return int(self.average.split()[1]) if self.average.startswith("step ") else None


@dataclass(frozen=True)
class Experiment:
    """What an experiment file says: its name, its runs in order, and what was published on the same data.

    ``paired_with`` are files of lines, beside its own, in which runs of the same settings may stand already. ``file``
    is where it was read, from the folder ``experiments`` down.
    """

    name: str
    jobs: tuple[Job, ...]
    published: tuple[Published, ...] = ()
    paired_with: tuple[Path, ...] = ()
    file: str = ""


def read_experiment(path: str | Path) -> Experiment:
    """Read an experiment file; runs come in its order: datasets, then backbones, then seeds.

    A graph that a dataset's ``windows`` name is a setting of the backbones that need one, and of no other.
    """
    try:
        table = read_plain(path, "yaml")
    except (OSError, Unreadable) as error:
        raise FieldcastError(f"{path} cannot be read ({' '.join(str(error).split())[:120]}): check it.") from None
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise FieldcastError(f"{path} holds no experiment: give name, datasets, backbones and seeds.")
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise FieldcastError(f"{path} has the unknown key '{unknown[0]}': known are {', '.join(_KEYS)}.")
    for needed in ("name", "datasets", "backbones", "seeds"):
        if needed not in table:
            raise FieldcastError(f"{path} lacks '{needed}': give name, datasets, backbones and seeds.")
    _check_kinds(path, table)
    jobs = []
    for dataset in table["datasets"]:
        name, windows = dataset["name"], {**table.get("windows", {}), **dataset.get("windows", {})}
        training = {**table.get("training", {}), **dataset.get("training", {})}
        baselines = {baseline: {} for baseline in table.get("baselines", BASELINES)}
        for backbone, given in {**baselines, **_backbones(path, table, dataset)}.items():
            own = dict(given)
            seeds = own.pop("seeds", table["seeds"])
            cls = BACKBONES.get(backbone)
            assert issubclass(cls, Backbone)
            # A recipe stands by itself: what it leaves out is the default of training, and not what the file says.
            recipe = cls.recipe(str(own.pop("recipe"))) if "recipe" in own else Recipe("the file", training)
            mine = {**recipe.training, **own.pop("training", {})}
            own = {**recipe.hyper, **own}
            trainable = bool(getattr(cls, "trainable", True))
            needs_graph = bool(getattr(cls, "needs_graph", False))
            seen = {key: value for key, value in windows.items() if key != "graph" or needs_graph}
            for arm in read_arms(path, table, name, backbone):
                drawn = trainable or bool(arm.stages)
                trained = {**mine, **arm.recipes, **arm.training} if drawn else {}
                _check_settings(path, {**windows, **arm.windows}, trained)
                for seed in seeds if drawn else seeds[:1]:
                    base = None
                    if arm.mode != "joint":  # a solved one has no draw to repeat
                        base = Job(
                            name, seen, backbone, own, mine if trainable else {}, seed if trainable else seeds[0]
                        )
                    jobs.append(Job(name, {**seen, **arm.windows}, backbone, own, trained, seed, arm, base))
    jobs = [_with_source(path, job, jobs) for job in jobs]
    seen_keys: dict[str, Job] = {}
    for job in jobs:
        if (other := seen_keys.setdefault(job.key, job)) is not job:
            raise FieldcastError(
                f"{path}: '{other.arm.name}' and '{job.arm.name}' of {job.backbone} on {job.dataset} are one run: "
                "leave one out."
            )
    published = tuple(_published(path, each) for each in table.get("published", []))
    known = {(job.dataset, job.windows.get("horizon", 12)) for job in jobs}
    for each in published:
        if (each.dataset, each.horizon) not in known:
            raise FieldcastError(
                f"{path} has figures published for {each.dataset}, {each.horizon} steps ahead, and no run like that: "
                "mend the name or the horizon."
            )
    paired = tuple(Path(path).parent / each for each in table.get("paired_with", []))
    return Experiment(table["name"], tuple(jobs), published, paired, _within(Path(path).absolute(), "experiments"))


def _within(path: Path, folder: str) -> str:
    """A path from a folder down, which reads the same on every machine; the name alone where it is not in it."""
    parts = path.parts
    return "/".join(parts[parts.index(folder) :]) if folder in parts else path.name


def _seedless(job: Job | None) -> Job | None:
    return None if job is None else replace(job, seed=0, base=_seedless(job.base), source=_seedless(job.source))


def _with_source(path: str | Path, job: Job, jobs: list[Job]) -> Job:
    """The job with that from which its arm takes factors."""
    if not job.arm.factors:
        return job
    wanted = (job.arm.factors["dataset"], job.arm.factors["arm"], job.backbone, job.seed)
    found = next((each for each in jobs if (each.dataset, each.arm.name, each.backbone, each.seed) == wanted), None)
    if found is None or found.arm.factors or found.arm.stages != job.arm.stages:
        raise FieldcastError(
            f"{path}: the arm '{job.arm.name}' takes factors from {dict(job.arm.factors)}, where the same stages are "
            f"not trained beside {job.backbone} with seed {job.seed}: mend the arm."
        )
    return replace(job, source=found)


def _backbones(path: str | Path, table: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The backbones of a dataset with their settings: all of the file's, or those that the dataset names.

    What the dataset says of one comes before what the file says. Beside settings of its own a backbone may have
    ``training``, ``seeds`` where they are others, and a ``recipe``, which takes the place of the shared training.
    """
    shared = table["backbones"]
    named = dataset.get("backbones", list(shared))
    chosen = {}
    for name, more in (named if isinstance(named, dict) else dict.fromkeys(named)).items():
        if name not in shared:
            near = did_you_mean(name, shared)
            raise FieldcastError(f"{path} names '{name}' for {dataset['name']}{near}, which is none of its backbones.")
        for given in (shared[name], more):
            if not isinstance(given or {}, dict) or not isinstance((given or {}).get("training", {}), dict):
                raise FieldcastError(f"{path} gives the backbone '{name}' {given!r}: give a table of settings.")
        first, then = shared[name] or {}, more or {}
        chosen[name] = {**first, **then}
        if "training" in chosen[name]:
            chosen[name]["training"] = {**first.get("training", {}), **then.get("training", {})}
        if not _are_seeds(chosen[name].get("seeds", table["seeds"])):
            raise FieldcastError(f"{path} gives '{name}' the seeds {chosen[name]['seeds']!r}: give {_SEEDS}.")
    return chosen


def _are_seeds(value: Any) -> bool:
    whole = isinstance(value, list) and value and all(type(each) is int and 0 <= each < 2**63 for each in value)
    return bool(whole) and len(set(value)) == len(value)


def _check_kinds(path: str | Path, table: Mapping[str, Any]) -> None:
    """Refuse values of the wrong kind, in the order in which they are read."""

    def texts(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)

    def datasets(value: Any) -> bool:
        return isinstance(value, list) and all(
            isinstance(each, dict) and isinstance(each.get("name"), str)
            and set(each) <= {"name", "windows", "training", "backbones"}
            and (texts(each.get("backbones", [])) or isinstance(each["backbones"], dict))
            and all(isinstance(each.get(part, {}), dict) for part in ("windows", "training"))
            for each in value
        )  # fmt: skip

    kinds: dict[str, tuple[Callable[[Any], bool], str]] = {
        "name": (_is_file_name, "a file name without folders"),
        "seeds": (_are_seeds, _SEEDS),
        "datasets": (datasets, "a list of tables with name and, if need be, windows, training and backbones"),
        "backbones": (lambda value: isinstance(value, dict) and texts(list(value)), "a table of backbones"),
        "baselines": (texts, "a list of names"),
        "windows": (lambda value: isinstance(value, dict), "a table"),
        "training": (lambda value: isinstance(value, dict), "a table"),
        "arms": (lambda value: isinstance(value, dict) and bool(value), "a table of arms"),
        "paired_with": (texts, "a list of files of lines"),
        "published": (lambda value: isinstance(value, list), "a list of tables"),
    }
    for key, (right, kind) in kinds.items():
        if key in table and not right(table[key]):
            raise FieldcastError(f"{path} gives {key} as {str(table[key])[:60]!r}: give {kind}.")


def _check_settings(path: str | Path, windows: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    """Refuse settings of windows and training that do not exist or do not fit, before the first run."""
    named = {key: value for key, value in windows.items() if (key, value) != ("channels", "all")}
    settings(WindowOptions, named, f"{path}: windows")
    settings(TrainingOptions, training, f"{path}: training")


def _is_file_name(value: Any) -> bool:
    """A name that writes ``<name>.jsonl`` into the folder of results and nowhere else."""
    return isinstance(value, str) and bool(value.strip()) and not set("/\\\0") & set(value) and value[0] != "."


def _published(path: str | Path, entry: Any) -> Published:
    entry = dict(entry) if isinstance(entry, Mapping) else {}
    wrong = sorted(set(entry) - set(_PUBLISHED))
    lacking = [key for key in ("model", "dataset", "horizon", "average", "source") if key not in entry]
    if wrong or lacking or not re.fullmatch(r"mean|pooled|step [1-9]\d*", str(entry["average"])):
        said = f"has the unknown key '{wrong[0]}'" if wrong else f"lacks '{lacking[0]}'" if lacking else (
            f"has the average '{entry['average']}'"
        )  # fmt: skip
        raise FieldcastError(
            f"a published figure in {path} {said}: give model, dataset, horizon, average (mean, pooled or step 3), "
            "source and MAE, RMSE or MAPE."
        )
    if not isinstance(entry["dataset"], str):
        raise FieldcastError(f"a published figure in {path} has the dataset {entry['dataset']!r}: give its name.")
    figures = {measure: entry[measure] for measure in ("MAE", "RMSE", "MAPE") if measure in entry}
    numbers = {**figures, "horizon": entry["horizon"]}
    for key, value in numbers.items():
        whole = key != "horizon" or isinstance(value, int)
        if isinstance(value, bool) or not isinstance(value, int | float) or not whole or not 0 <= value < math.inf:
            raise FieldcastError(f"a published figure in {path} has {key} {value!r}: give a number, 0 or more.")
    figures = {measure: float(value) for measure, value in figures.items()}
    published = Published(
        str(entry["model"]), entry["dataset"], int(entry["horizon"]), entry["average"], figures, str(entry["source"]),
        str(entry.get("differs", "")),
    )  # fmt: skip
    if (published.step or 1) > published.horizon:
        raise FieldcastError(
            f"a published figure in {path} is of step {published.step} of {published.horizon}: give a step within the "
            "horizon."
        )
    return published
