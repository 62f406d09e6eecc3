"""experiment: a grid of runs from one YAML file, one JSON line a run, resumable."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fieldcast.core.devices import device
from fieldcast.data.files import write_atomically
from fieldcast.data.plain import read_table
from fieldcast.data.windows import Windows
from fieldcast.errors import Diverged, FieldcastError, did_you_mean
from fieldcast.forecaster import Forecaster, create, load, save
from fieldcast.training import TrainingOptions
from fieldcast.workflows.experiment_file import Experiment, Job, read_experiment
from fieldcast.workflows.making import make_stages, put_on
from fieldcast.workflows.options import ReadingsOptions, WindowOptions
from fieldcast.workflows.running import backbone_class, count_parameters
from fieldcast.workflows.scoring import protocol_of, score

if TYPE_CHECKING:
    from fieldcast.training.fitting import History


def run_experiment(
    path: str | Path, results: str | Path, data: str | Path | None = None, progress: bool = True,
    datasets: Collection[str] = (), backbones: Collection[str] = (), arms: Collection[str] = (),
    seeds: Collection[int] = (), keep: str | Path | None = None, plugins: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Run what is not yet in ``<results>/<name>.jsonl``; each line carries its scores, protocol, settings and command.

    ``data`` is the folder of the datasets (default: the environment's ``FIELDCAST_DATA``). A dataset that is not there
    is left out, and said. ``datasets``, ``backbones``, ``arms`` and ``seeds`` choose a share of the runs, so that
    several processes can work on one file: a line is written at once. With ``keep`` every trained forecaster is saved
    in that folder by the key of its run, and one that is there is not trained again; what is tuned on a trained base
    takes it from there, and else trains it first. ``plugins`` are the files that were loaded for it, told by the
    command of each line.
    """
    experiment = read_experiment(path)
    jobs = experiment.jobs
    folder = Path(data or os.environ.get("FIELDCAST_DATA", "data"))
    out = Path(results) / f"{experiment.name}.jsonl"
    for what, chosen, named in (
        ("dataset", datasets, {job.dataset for job in jobs}), ("backbone", backbones, {job.backbone for job in jobs}),
        ("arm", arms, {job.arm.name for job in jobs}), ("seed", seeds, {job.seed for job in jobs}),
    ):  # fmt: skip
        for each in chosen:
            if each not in named:
                near = did_you_mean(str(each), [str(other) for other in named])
                raise FieldcastError(f"{path} has no {what} '{each}'{near}: choose one it names.")
    for stages in {json.dumps(job.arm.stages): job.arm.stages for job in jobs}.values():
        make_stages(stages)  # what does not exist is refused before the first run
    out.parent.mkdir(parents=True, exist_ok=True)
    for each in experiment.paired_with:
        if not each.exists():
            raise FieldcastError(f"{path} is paired with {each}, which is not there: bring it, or take it out.")
    done = {line["key"] for each in (out, *experiment.paired_with) if each.exists() for line in read_lines(each)}
    if out.exists() and not out.read_bytes().endswith(b"\n"):
        _end_last_line(out)
    work = _Work(folder, progress, None if keep is None else Path(keep))
    absent: set[str] = set()
    for number, job in enumerate(jobs, start=1):
        left_out = (datasets and job.dataset not in datasets) or (backbones and job.backbone not in backbones)
        left_out = left_out or (arms and job.arm.name not in arms) or (seeds and job.seed not in seeds)
        if job.key in done or left_out:
            continue
        lacking = [each for each in job.datasets if not (folder / each).exists()]
        if lacking:
            if lacking[0] not in absent:
                print(f"{lacking[0]} is not in {folder}: left out", flush=True)
            absent.add(lacking[0])
            continue
        line = work.line(job)
        loaded = f" --plugin {' '.join(plugins)}" if plugins else ""
        line["command"] = f"python experiments/run.py {Path(path).as_posix()}{loaded}"
        _append(out, line)
        name = f"{job.backbone} {job.arm.name}".rstrip()
        print(f"{number}/{len(jobs)} {job.dataset} {name} seed {job.seed}: {_short(line)}", flush=True)
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
    files = [each for each in (*experiment.paired_with, Path(path)) if each.exists()]
    found = {line["key"]: line for each in files for line in read_lines(each)}
    unfinished = {job.setting for job in experiment.jobs if job.key not in found}
    # An arm is this experiment's name for a run, which in another's file has none.
    return [found[job.key] | {"arm": job.arm.label} for job in experiment.jobs if job.setting not in unfinished]


class _Work:
    """Runs jobs on the datasets of a folder; with ``keep`` every trained forecaster is saved there, by its key."""

    def __init__(self, folder: Path, progress: bool, keep: Path | None):
        self._folder, self._progress, self._keep = folder, progress, keep
        self._opened: dict[str, Windows] = {}

    def line(self, job: Job) -> dict[str, Any]:
        """Train and score: what stands in the file of results."""
        line: dict[str, Any] = {
            "key": job.key, "dataset": job.dataset, "backbone": job.backbone, "seed": job.seed,
            "windows": dict(job.windows), "hyper": dict(job.hyper), "training": dict(job.training),
        }  # fmt: skip
        if job.arm.stages:
            line["stages"] = {name: dict(told) for name, told in job.arm.stages.items()}
            line["mode"] = job.arm.mode
        if job.source is not None:
            line["factors"] = {**job.arm.factors, "key": job.source.key}
        try:
            forecaster, told = self._trained(job)
        except FieldcastError as error:
            # A baseline that the data do not allow, or a seed that diverged, is a result; being told to stop is none.
            if backbone_class(job.backbone).trainable and not isinstance(error, Diverged):
                raise
            return line | {"note": str(error)}
        windows = self._windows(job)
        scored = score(forecaster, windows)
        base = sum(each.numel() for each in forecaster.backbone.parameters())
        return line | {
            "parameters": count_parameters(forecaster), "base_parameters": base, **told,
            "scores": _compact(scored.scores()), "beside": [_compact(each) for each in scored.scores_beside()],
            "protocol": protocol_of(windows, [job.seed]),
        }  # fmt: skip

    def _trained(self, job: Job) -> tuple[Forecaster, dict[str, Any]]:
        """The trained forecaster of a job, from where it was kept or trained now, and what its line says of that.

        The seconds are those without its base. Nothing is known of the training of one that was kept without it.
        """
        kept = None if self._keep is None else self._keep / job.key
        if kept is not None and (kept / "config.json").exists():
            forecaster = load(kept).to(device(TrainingOptions(**job.training).accelerator))
            told = read_table(kept / "metrics.json", "json") if (kept / "metrics.json").exists() else _UNKNOWN
            return forecaster, dict(told)
        from fieldcast.training.fitting import fit  # Lightning takes seconds to import: only where it is needed

        windows = self._windows(job)
        if job.base is None:
            began = time.perf_counter()
            forecaster = create(job.backbone, windows, make_stages(job.arm.stages), seed=job.seed, **job.hyper)
        else:
            forecaster, _ = self._trained(job.base)
            factors = None if job.source is None else self._trained(job.source)[0].after
            began = time.perf_counter()
            forecaster = put_on(forecaster, job.arm.stages, job.arm.mode, job.seed, factors)  # type: ignore[arg-type]
        label = f"{job.dataset} {job.backbone} {job.arm.name}".rstrip()
        history = fit(
            forecaster, windows, TrainingOptions(**job.training), seed=job.seed, progress=self._progress, label=label,
            tune=job.base is not None,
        )  # fmt: skip
        told = _told(history, time.perf_counter() - began)
        if kept is not None and any(each.requires_grad for each in forecaster.parameters()):
            _keep(forecaster, kept, told)
        return forecaster, told

    def _windows(self, job: Job) -> Windows:
        """The windows of a job; those of the dataset at work stay open."""
        key = json.dumps([job.dataset, job.windows], sort_keys=True)
        if key not in self._opened:
            mine = {name: each for name, each in self._opened.items() if json.loads(name)[0] == job.dataset}
            self._opened = {**mine, key: _open(self._folder / job.dataset, job.windows)}
        return self._opened[key]


_UNKNOWN: dict[str, Any] = dict.fromkeys(("seconds", "threads", "epochs", "best_epoch", "validation"))


def _told(history: History, seconds: float) -> dict[str, Any]:
    """What a line says of a training."""
    return {
        "seconds": round(seconds, 1), "threads": torch.get_num_threads(), "epochs": len(history.rows),
        "best_epoch": history.best_epoch, "validation": history.best_score if history.rows else None,
        **({} if history.start_score is None else {"validation_before": history.start_score}),
    }  # fmt: skip


def _keep(forecaster: Forecaster, place: Path, told: Mapping[str, Any]) -> None:
    """Save beside and rename: other processes find all of it or nothing, and of two that kept the same the first."""
    beside = place.with_name(f"{place.name}.{os.getpid()}")
    save(forecaster, beside, metrics=told)
    try:
        beside.rename(place)
    except OSError:
        if not place.exists():
            raise
        shutil.rmtree(beside)


def _open(path: Path, settings: Mapping[str, Any]) -> Windows:
    options = dict(settings)
    readings = ReadingsOptions(str(path)).open()
    if options.get("channels") == "all":
        options["channels"] = list(readings.channels)
    return WindowOptions(**options).windows(readings, beside=path)


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
    took = "kept" if line["seconds"] is None else f"{line['seconds']} s"
    return f"{took}, " + ", ".join(f"MAE {channel} {value:.4g}" for channel, value in figures.items())
