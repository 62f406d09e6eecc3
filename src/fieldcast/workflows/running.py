"""run: train a backbone with several seeds, score it beside the baselines, and leave a folder that says it all."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fieldcast.core import processes
from fieldcast.core.backbone import Backbone
from fieldcast.core.devices import device
from fieldcast.core.registry import BACKBONES
from fieldcast.data.archives import read_arrays
from fieldcast.data.files import write_atomically
from fieldcast.data.plain import Unreadable, read_table
from fieldcast.data.windows import Windows
from fieldcast.errors import Diverged, FieldcastError
from fieldcast.evaluation import ScoreSums
from fieldcast.forecaster import Forecaster, create, load, save, save_adapter
from fieldcast.training import TrainingOptions
from fieldcast.workflows.board import BASELINES_FOLDER, RECORD, SUMS_FILE, Entry, build_board, write_board
from fieldcast.workflows.making import Keep, Make, keeps_adapters, open_windows, ways
from fieldcast.workflows.options import CONFIG, ReadingsOptions, RunOptions, read_settings, settings_of
from fieldcast.workflows.scoring import protocol_of, score

RUN = "run.json"
Say = Callable[[str], None]


def run(
    options: RunOptions, out: str | Path, *, resume: bool = False, progress: bool = False, say: Say = lambda _: None,
    windows: Windows | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train, score, save; returns the board (what ``scores.json`` holds).

    The folder gets ``config.yaml`` (the run again: ``fieldcast train --config``), ``seed<k>/`` (a saved forecaster, its
    log and its sums), ``scores.json``, ``sample.npz`` and ``run.json``, which names the seed with the best validation
    score. With ``resume`` a run that was interrupted goes on where it stood, and ends with the same bits; it refuses
    readings other than those that it was begun with. ``windows`` are those of the options where they are open already.
    Of several processes (torchrun) all work and the first writes.
    """
    processes.begin(options.training.accelerator)
    if not processes.first():
        progress, say = False, lambda _: None
    folder = Path(out)
    base = None if options.base is None else Path(options.base).expanduser().absolute()
    options = dataclasses.replace(
        options, readings=options.readings.at_home(), windows=options.windows.at_home(),
        base=None if base is None else str(base),
    )  # fmt: skip
    check_baselines(options.baselines)
    begun = check_folder(folder, options, resume)
    if windows is None:
        windows = open_windows(options)
    before, now = run_hash(folder), windows.readings.hash
    if base is not None and options.mode != "codes" and run_hash(base) not in (None, now):
        raise FieldcastError(
            f"the readings at {options.readings.data} are no longer those that {base} was trained on: bring those back."
        )
    make, keep = ways(options, windows)
    # A solved model has no draw to repeat.
    seeds = options.seeds if _trains(make(options.seeds[0])) else options.seeds[:1]
    processes.wait()  # all have looked at the folder as it was
    if not begun and processes.first():  # only now: a mistake in the settings leaves nothing behind
        write_atomically(folder / CONFIG, _as_yaml(options))
    if before is None:
        _write_run(folder, {"data_hash": now, "finished": False})
    elif before != now:
        raise FieldcastError(
            f"the readings at {options.readings.data} are not those that {folder} was begun with: bring those back, or "
            "give another --out."
        )
    say(f"{windows.readings!r}\n{windows!r}")
    try:
        entry, best = train_entry(
            options.name, make, options.training, seeds, windows, folder, resume, progress, say, keep,
            tune=base is not None,
        )  # fmt: skip
    except FieldcastError:
        if processes.first() and {each.name for each in folder.iterdir()} == {CONFIG, RUN}:  # before the first epoch
            shutil.rmtree(folder)
        raise
    entries = [entry]
    if base is not None and options.mode != "codes":  # a base of fewer sensors cannot stand beside
        where = device(options.training.accelerator)
        before_it = [load(base / f"seed{seed}").to(where) for seed in entry.seeds]
        scored = [score(each, windows) for each in before_it]
        entries.append(Entry(options.base_name, entry.kind, count_parameters(before_it[0]), entry.seeds, scored))
    if keeps_adapters(options) and processes.first():
        save_adapter(load(folder / best), folder, base=Path(str(base)) / best)
    entries += score_baselines(windows, [name for name in options.baselines if name != options.backbone])
    board = build_board(windows.readings.meta.name, windows, options.seeds, entries)
    if processes.first():
        for baseline in entries[1:]:
            if baseline.scored and baseline.kind == "baseline":
                write_sums_file(folder / BASELINES_FOLDER / f"{baseline.name}.npz", baseline.scored[0].primary)
        write_board(folder, board, entries)
    _write_run(folder, {"data_hash": now, "finished": True, "best": best})
    processes.wait()
    return board


def run_hash(folder: str | Path) -> str | None:
    """The hash of the readings that a run was begun with, or None where the folder does not say."""
    path = Path(folder) / RUN
    if not path.is_file():
        return None
    try:
        return read_table(path, "json").get("data_hash")
    except Unreadable:
        raise FieldcastError(f"{path} is damaged: remove it to go on without a look at the readings.") from None


def _write_run(folder: Path, content: Mapping[str, Any]) -> None:
    if processes.first():
        write_atomically(folder / RUN, json.dumps(content, indent=1) + "\n")


def readings_as_trained(folder: str | Path, given: ReadingsOptions) -> ReadingsOptions:
    """How to read new data: as ``given``, and where that says nothing as the run in ``folder`` read its own.

    ``folder`` may be that of one forecaster in the run. The start and the scored cells are never taken over.
    """
    home = next((each for each in (Path(folder), Path(folder).parent) if (each / CONFIG).exists()), None)
    if home is None or not (home / RUN).exists():  # a forecaster that was saved on its own
        return given
    trained = settings_of(home).readings
    own = ("data", "start", "scored_cells")
    missing = [name for name, value in dataclasses.asdict(given).items() if value is None and name not in own]
    return dataclasses.replace(given, **{name: getattr(trained, name) for name in missing})


def check_folder(folder: Path, options: RunOptions, resume: bool) -> bool:
    """Tell whether the folder holds this very run, begun; refuse to mix two runs in one folder."""
    path = folder / CONFIG
    if path.exists():
        if not resume:
            raise FieldcastError(
                f"{folder} already holds a run: remove it, give another --out, or go on with it (train --resume)."
            )
        before, now = read_settings(path), yaml.safe_load(_as_yaml(options))
        changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        if changed:
            first = changed[0]
            raise FieldcastError(
                f"{folder} was begun with another '{first}' ({before.get(first)}, now {now.get(first)}): resume with "
                "the same settings, remove the folder, or give another --out."
            )
        return True
    if folder.exists() and not folder.is_dir():
        raise FieldcastError(f"{folder} is a file: give a folder as --out.")
    if folder.is_dir() and any(folder.iterdir()):
        raise FieldcastError(f"the folder {folder} is not empty and holds no run: give another --out.")
    return False


def _as_yaml(options: RunOptions) -> str:
    return yaml.safe_dump(options.to_json(), sort_keys=False, allow_unicode=True)


def train_entry(
    name: str, make: Make, training: TrainingOptions, seeds: tuple[int, ...], windows: Windows, folder: Path,
    resume: bool = False, progress: bool = False, say: Say = lambda _: None, keep: Keep = save, tune: bool = False,
) -> tuple[Entry, str]:  # fmt: skip
    """Train and score a model once a seed, in ``folder/seed<k>``; returns its entry and the best seed's folder.

    With ``tune`` what ``make`` gives was trained before (:func:`fieldcast.training.fit`).
    """
    from fieldcast.training.fitting import fit  # Lightning takes seconds to import: only where it is needed

    scored, seconds, selection = [], 0.0, {}
    forecaster: Forecaster | None = None
    for seed in seeds:
        place = folder / f"seed{seed}"
        record_path = place / RECORD
        if resume and record_path.exists():
            forecaster = load(place).to(device(training.accelerator))
            record = json.loads(record_path.read_text(encoding="utf-8"))
            scored.append(score(forecaster, windows))
        else:
            forecaster = make(seed)
            label = f"{name} seed {seed}"
            began = time.perf_counter()
            protocol = {**protocol_of(windows, [seed]), "training": training.to_json(), "seed": seed}
            try:
                history = fit(
                    forecaster, windows, training, seed=seed, folder=place, resume=resume, progress=progress,
                    label=label, tune=tune,
                )  # fmt: skip
            except Diverged as error:
                if error.best_epoch is None:
                    raise
                if processes.first():
                    keep(forecaster, place, protocol=protocol)
                said = str(error).rstrip(".")
                raise Diverged(
                    f"{label}: {said}, in a run with another --out; the weights of its best epoch, "
                    f"{error.best_epoch + 1}, are kept in {place}."
                ) from None
            spent = history.rows[-1]["seconds"] if history.rows else time.perf_counter() - began
            record = {"seed": seed, "seconds": spent, "best_epoch": history.best_epoch, "epochs": len(history.rows)}
            record["selection"] = history.best_score if history.rows else None
            if tune:
                record["selection_before"] = history.start_score
            scored.append(score(forecaster, windows))
            if processes.first():
                keep(forecaster, place, protocol=protocol, metrics=scored[-1].scores())
                write_sums_file(place / SUMS_FILE, scored[-1].primary)
                write_atomically(record_path, json.dumps(record, indent=1) + "\n")
            processes.wait()
            best = f"best {history.best_epoch + 1}" if history.best_epoch >= 0 else "none better than the start, kept"
            epochs = f"{record['epochs']} epochs ({best}), " if history.rows else "solved, "
            say(f"{label}: {epochs}{spent:.1f} s")
        seconds += record["seconds"]
        selection[place.name] = record["selection"] or 0.0
    assert forecaster is not None
    kind = "trained" if _trains(forecaster) else "baseline"
    entry = Entry(name, kind, count_parameters(forecaster), list(seeds), scored, seconds / len(seeds))
    return entry, min(selection, key=lambda name: selection[name])


def _trains(forecaster: Forecaster) -> bool:
    """Whether anything in it is trained; a solved backbone has no draw to repeat, a stage beside it has."""
    return forecaster.backbone.trainable or any(each.requires_grad for each in forecaster.parameters())


def write_sums_file(path: Path, sums: ScoreSums) -> None:
    """Keep sums of errors, from which any score and any paired difference can be made again."""
    arrays = sums.to_arrays()
    write_atomically(path, lambda beside: np.savez_compressed(beside, **arrays))  # type: ignore[arg-type]


def read_sums_file(path: Path) -> ScoreSums:
    """Read what :func:`write_sums_file` wrote."""
    try:
        return ScoreSums.from_arrays(read_arrays(path))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        raise FieldcastError(f"the sums at {path} are absent or damaged: evaluate or train the run again.") from None


def score_baselines(
    windows: Windows, names: list[str], part: str = "test", fitted: Windows | None = None
) -> list[Entry]:
    """Score baselines that need no training; one that the data do not allow stands on the board with the reason.

    They are fitted on the training rows of ``fitted``, where the windows to score are not those of the run.
    """
    from fieldcast.training.fitting import fit

    check_baselines(names)
    entries = []
    for name in names:
        try:
            forecaster = create(name, fitted or windows, seed=0)
            fit(forecaster, fitted or windows)
        except FieldcastError as error:
            entries.append(Entry(name, "baseline", 0, [0], [], note=str(error)))
            continue
        entries.append(Entry(name, "baseline", count_parameters(forecaster), [0], [score(forecaster, windows, part)]))
    return entries


def check_baselines(names: Iterable[str]) -> None:
    """Refuse a baseline that does not exist or has to be trained."""
    for name in names:
        if backbone_class(name).trainable:
            raise FieldcastError(f"the baseline '{name}' has to be trained: train it as a run of its own and compare.")


def count_parameters(forecaster: Forecaster) -> int:
    """Numbers that were fitted: trained parameters, or the tables and coefficients of a solved model."""
    parameters = sum(each.numel() for each in forecaster.parameters())
    return parameters or sum(each.numel() for each in forecaster.state_dict().values())


def backbone_class(name: str) -> type[Backbone]:
    """The backbone of a name."""
    cls = BACKBONES.get(name)
    assert issubclass(cls, Backbone)
    return cls
