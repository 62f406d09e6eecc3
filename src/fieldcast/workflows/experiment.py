"""experiment: a grid of runs from one YAML file, one JSON line a run, resumable."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldcast.core.registry import BACKBONES
from fieldcast.data.files import write_atomically
from fieldcast.data.plain import Unreadable, read_plain
from fieldcast.data.windows import Windows
from fieldcast.errors import Diverged, FieldcastError, did_you_mean
from fieldcast.forecaster import create
from fieldcast.training import TrainingOptions
from fieldcast.workflows.options import BASELINES, ReadingsOptions, WindowOptions, settings
from fieldcast.workflows.running import count_parameters
from fieldcast.workflows.scoring import protocol_of, score

_KEYS = ("name", "data", "datasets", "backbones", "baselines", "seeds", "training", "windows", "published", "note")
_PUBLISHED = ("model", "dataset", "horizon", "average", "MAE", "RMSE", "MAPE", "source", "differs")


@dataclass(frozen=True)
class Job:
    """One run of an experiment: a dataset's settings, a backbone with its own, a seed."""

    dataset: str
    windows: Mapping[str, Any]
    backbone: str
    hyper: Mapping[str, Any]
    training: Mapping[str, Any]
    seed: int

    @property
    def key(self) -> str:
        """A hash over all settings: a line with this key is the same run."""
        text = json.dumps(
            [self.dataset, self.windows, self.backbone, self.hyper, self.training, self.seed], sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Published:
    """Figures of a paper on the very test windows of a dataset of the experiment, never ours.

    ``average`` says how the paper takes them over the horizon: ``mean`` of the steps or ``pooled``. ``differs`` says
    in what the paper's training is another.
    """

    model: str
    dataset: str
    horizon: int
    average: str
    figures: Mapping[str, float]
    source: str
    differs: str = ""


@dataclass(frozen=True)
class Experiment:
    """What an experiment file says: its name, its runs in order, and what was published on the same data."""

    name: str
    jobs: tuple[Job, ...]
    published: tuple[Published, ...] = ()


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
        for backbone, given in {**baselines, **table["backbones"]}.items():
            if not isinstance(given or {}, dict) or not isinstance((given or {}).get("training", {}), dict):
                raise FieldcastError(f"{path} gives the backbone '{backbone}' {given!r}: give a table of settings.")
            own = dict(given or {})
            mine = {**training, **own.pop("training", {})}
            cls = BACKBONES.get(backbone)
            trainable = bool(getattr(cls, "trainable", True))
            needs_graph = bool(getattr(cls, "needs_graph", False))
            _check_settings(path, windows, mine)
            seen = {key: value for key, value in windows.items() if key != "graph" or needs_graph}
            for seed in table["seeds"] if trainable else table["seeds"][:1]:
                jobs.append(Job(name, seen, backbone, own, mine if trainable else {}, seed))
    published = tuple(_published(path, each) for each in table.get("published", []))
    known = {(job.dataset, job.windows.get("horizon", 12)) for job in jobs}
    for each in published:
        if (each.dataset, each.horizon) not in known:
            raise FieldcastError(
                f"{path} has figures published for {each.dataset}, {each.horizon} steps ahead, and no run like that: "
                "mend the name or the horizon."
            )
    return Experiment(table["name"], tuple(jobs), published)


def _check_kinds(path: str | Path, table: Mapping[str, Any]) -> None:
    """Refuse values of the wrong kind, in the order in which they are read."""

    def texts(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)

    def seeds(value: Any) -> bool:
        whole = isinstance(value, list) and value and all(type(each) is int and 0 <= each < 2**63 for each in value)
        return bool(whole) and len(set(value)) == len(value)

    def datasets(value: Any) -> bool:
        return isinstance(value, list) and all(
            isinstance(each, dict) and isinstance(each.get("name"), str)
            and set(each) <= {"name", "windows", "training"}
            and all(isinstance(each.get(part, {}), dict) for part in ("windows", "training"))
            for each in value
        )  # fmt: skip

    kinds: dict[str, tuple[Callable[[Any], bool], str]] = {
        "name": (_is_file_name, "a file name without folders"),
        "seeds": (seeds, "a list of whole numbers, each once, none negative"),
        "datasets": (datasets, "a list of tables with name and, if need be, windows and training"),
        "backbones": (lambda value: isinstance(value, dict) and all(map(_is_text, value)), "a table of backbones"),
        "baselines": (texts, "a list of names"),
        "windows": (lambda value: isinstance(value, dict), "a table"),
        "training": (lambda value: isinstance(value, dict), "a table"),
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


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_file_name(value: Any) -> bool:
    """A name that writes ``<name>.jsonl`` into the folder of results and nowhere else."""
    return isinstance(value, str) and bool(value.strip()) and not set("/\\\0") & set(value) and value[0] != "."


def _published(path: str | Path, entry: Any) -> Published:
    entry = dict(entry) if isinstance(entry, Mapping) else {}
    wrong = sorted(set(entry) - set(_PUBLISHED))
    lacking = [key for key in ("model", "dataset", "horizon", "average", "source") if key not in entry]
    if wrong or lacking or entry["average"] not in ("mean", "pooled"):
        said = f"has the unknown key '{wrong[0]}'" if wrong else f"lacks '{lacking[0]}'" if lacking else (
            f"has the average '{entry['average']}'"
        )  # fmt: skip
        raise FieldcastError(
            f"a published figure in {path} {said}: give model, dataset, horizon, average (mean or pooled), source and "
            "MAE, RMSE or MAPE."
        )
    figures = {measure: entry[measure] for measure in ("MAE", "RMSE", "MAPE") if measure in entry}
    numbers = {**figures, "horizon": entry["horizon"]}
    for key, value in numbers.items():
        whole = key != "horizon" or isinstance(value, int)
        if isinstance(value, bool) or not isinstance(value, int | float) or not whole or not 0 <= value < math.inf:
            raise FieldcastError(f"a published figure in {path} has {key} {value!r}: give a number, 0 or more.")
    figures = {measure: float(value) for measure, value in figures.items()}
    return Published(
        str(entry["model"]), entry["dataset"], int(entry["horizon"]), entry["average"], figures, str(entry["source"]),
        str(entry.get("differs", "")),
    )  # fmt: skip


def run_experiment(
    path: str | Path, results: str | Path, data: str | Path | None = None, progress: bool = True,
    datasets: Collection[str] = (), backbones: Collection[str] = (),
) -> Path:  # fmt: skip
    """Run what is not yet in ``<results>/<name>.jsonl``; each line carries its scores, protocol, settings and command.

    ``data`` is the folder of the datasets (default: the environment's ``FIELDCAST_DATA``). A dataset that is not there
    is left out, and said. ``datasets`` and ``backbones`` choose a share of the runs, so that several processes can
    work on one file: a line is written at once.
    """
    experiment = read_experiment(path)
    jobs = experiment.jobs
    folder = Path(data or os.environ.get("FIELDCAST_DATA", "data"))
    out = Path(results) / f"{experiment.name}.jsonl"
    for what, chosen, named in (
        ("dataset", datasets, {job.dataset for job in jobs}), ("backbone", backbones, {job.backbone for job in jobs}),
    ):  # fmt: skip
        for each in chosen:
            if each not in named:
                raise FieldcastError(f"{path} has no {what} '{each}'{did_you_mean(each, named)}: choose one it names.")
    out.parent.mkdir(parents=True, exist_ok=True)
    done = {line["key"] for line in read_lines(out)} if out.exists() else set()
    if out.exists() and not out.read_bytes().endswith(b"\n"):
        _end_last_line(out)
    opened: dict[str, Windows] = {}
    for number, job in enumerate(jobs, start=1):
        left_out = (datasets and job.dataset not in datasets) or (backbones and job.backbone not in backbones)
        if job.key in done or left_out:
            continue
        if not (folder / job.dataset).exists():
            print(f"{job.dataset} is not in {folder}: left out", flush=True)
            continue
        key = json.dumps([job.dataset, job.windows], sort_keys=True)
        if key not in opened:
            opened = {key: _open(folder / job.dataset, job.windows)}
        line = _run_job(job, opened[key], progress)
        line["command"] = f"python experiments/run.py {Path(path).as_posix()}"
        _append(out, line)
        print(f"{number}/{len(jobs)} {job.dataset} {job.backbone} seed {job.seed}: {_short(line)}", flush=True)
    return out


def _append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line in one write, which other processes that add theirs cannot come between."""
    text = (json.dumps(line, allow_nan=False) + "\n").encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(handle, text) != len(text):
            raise FieldcastError(f"{path} could not take a whole line: make room on the disk and run again.")
        os.fsync(handle)
    finally:
        os.close(handle)


def _end_last_line(path: Path) -> None:
    """Take away a last line that a kill cut short, so that the next one starts on a line of its own."""
    text = path.read_text(encoding="utf-8")
    whole, _, last = text.rpartition("\n")
    try:
        json.loads(last)
        whole = text
    except json.JSONDecodeError:
        pass
    write_atomically(path, f"{whole}\n" if whole else "")


def read_lines(path: str | Path) -> list[dict[str, Any]]:
    """The finished runs of an experiment; a last line cut short by a kill is left out."""
    lines = []
    for text in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def lines_of(experiment: Experiment, path: str | Path) -> list[dict[str, Any]]:
    """The finished runs of a file that are the experiment's as it stands, in its order.

    A model of which a seed is not run yet on a dataset is left out there: a mean over fewer seeds is not what the
    experiment asks for.
    """
    found = {line["key"]: line for line in read_lines(path)}
    unfinished = {_setting(job) for job in experiment.jobs if job.key not in found}
    return [found[job.key] for job in experiment.jobs if _setting(job) not in unfinished]


def _setting(job: Job) -> str:
    """All of a run but its seed."""
    return json.dumps([job.dataset, job.windows, job.backbone, job.hyper, job.training], sort_keys=True)


def _open(path: Path, settings: Mapping[str, Any]) -> Windows:
    options = dict(settings)
    readings = ReadingsOptions(str(path)).open()
    if options.get("channels") == "all":
        options["channels"] = list(readings.channels)
    return WindowOptions(**options).windows(readings, beside=path)


def _run_job(job: Job, windows: Windows, progress: bool) -> dict[str, Any]:
    import torch

    from fieldcast.training.fitting import fit  # Lightning takes seconds to import: only where it is needed

    line: dict[str, Any] = {
        "key": job.key, "dataset": job.dataset, "backbone": job.backbone, "seed": job.seed,
        "windows": dict(job.windows), "hyper": dict(job.hyper), "training": dict(job.training),
    }  # fmt: skip
    began = time.perf_counter()
    forecaster = create(job.backbone, windows, seed=job.seed, **job.hyper)
    try:
        options = TrainingOptions(**job.training)
        history = fit(
            forecaster, windows, options, seed=job.seed, progress=progress, label=f"{job.dataset} {job.backbone}"
        )
    except FieldcastError as error:
        # A baseline that the data do not allow, or a seed that diverged, is a result; being told to stop is none.
        if forecaster.backbone.trainable and not isinstance(error, Diverged):
            raise
        return line | {"note": str(error)}
    seconds = time.perf_counter() - began
    scored = score(forecaster, windows)
    return line | {
        "parameters": count_parameters(forecaster), "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(), "epochs": len(history.rows), "best_epoch": history.best_epoch,
        "scores": _compact(scored.scores()), "beside": [_compact(each) for each in scored.scores_beside()],
        "protocol": protocol_of(windows, [job.seed]),
    }  # fmt: skip


def _compact(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores without the figures of each node, which would make a line of megabytes."""
    channels = {
        channel: {part: figures[part] for part in ("per_horizon", "mean", "pooled", "per_hour", "per_day")}
        for channel, figures in scores["channels"].items()
    }
    return {key: value for key, value in scores.items() if key != "nodes"} | {"channels": channels}


def _short(line: Mapping[str, Any]) -> str:
    if "note" in line:
        return str(line["note"])
    figures = {channel: each["mean"]["mae"] for channel, each in line["scores"]["channels"].items()}
    return f"{line['seconds']} s, " + ", ".join(f"MAE {channel} {value:.4g}" for channel, value in figures.items())
