"""A saved forecaster: a folder that predicts on its own and runs no code when it is opened."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fieldcast.core.registry import BACKBONES, STAGES
from fieldcast.core.seeding import seeded
from fieldcast.data.files import SUMS, check_sums, sync_folder, write_atomically, write_sums
from fieldcast.data.form import Form
from fieldcast.data.graph import Graph
from fieldcast.data.plain import Unreadable, read_plain
from fieldcast.data.scaling import Scaler
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import adapters
from fieldcast.forecaster.construction import make_stage
from fieldcast.forecaster.migration import FORMAT_VERSION, migrated
from fieldcast.forecaster.model import Forecaster

_STAGED = ".saving.partial"  # where a save is written before it takes the place of the one before
_CHECKPOINT = "last.ckpt"  # where training was at work
_PARTS = ("config.json", "scaler.json", "nodes.csv", "model.safetensors")
_OPTIONAL = ("graph.npz", "protocol.json", "metrics.json")


def save(
    forecaster: Forecaster,
    folder: str | Path,
    *,
    protocol: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Path:
    """Write a forecaster to a folder: everything that prediction needs, and a SHA-256 for each file.

    Files: ``config.json`` (format version, package versions, form, names, hyper-parameters), ``model.safetensors``,
    ``scaler.json``, ``nodes.csv``, ``graph.npz`` (with a graph), ``protocol.json`` and ``metrics.json`` (when given),
    ``SHA256SUMS`` (readable by ``sha256sum -c``), filled last: a folder whose saving was cut short is recognised.

    Adapters on it become stages of the whole, without names; apart they are kept by :func:`save_adapter`.

    A forecaster that was saved there before is replaced when all is written, so that a full disk loses none; a file of
    another origin with one of these names is refused.
    """
    if any(stage.merged or not stage.enabled for stage in forecaster.after):
        raise FieldcastError("an adapter of this forecaster is merged or switched off: unmerge it, or detach it first.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    before = _saved_before(folder)
    staged = folder / _STAGED
    shutil.rmtree(staged, ignore_errors=True)  # what a killed process left
    try:
        _write(forecaster, staged, protocol, metrics)
        # All is written: only now does what was saved before go, by renames, which need no room on the disk.
        (folder / SUMS).write_bytes(b"")  # the folder is ours, and not complete
        for name in before:
            (folder / name).unlink(missing_ok=True)
        names = sorted(path.name for path in staged.iterdir() if path.name != SUMS)
        for name in (*names, SUMS):
            os.replace(staged / name, folder / name)
        sync_folder(folder)
    except SafetensorError as error:  # its writer's word for a full disk
        raise FieldcastError(f"{folder} could not be written ({_first_line(error)}): make room on the disk.") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


def _write(
    forecaster: Forecaster, folder: Path, protocol: Mapping[str, Any] | None, metrics: Mapping[str, Any] | None
) -> None:
    config = {
        "format_version": FORMAT_VERSION,
        "versions": package_versions(),
        "form": forecaster.form.to_json(),
        "backbone": {"name": BACKBONES.name_of(type(forecaster.backbone)), "hyper": forecaster.backbone.hyper},
        "stages": [{"name": STAGES.name_of(type(stage)), "hyper": stage.hyper} for stage in forecaster.stages],
        "inputs": forecaster.inputs.tolist() if forecaster.compacted else None,
        "frozen": [name for name, each in forecaster.named_parameters() if not each.requires_grad],
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "scaler.json", forecaster.form.scaler.to_json())
    write_atomically(folder / "nodes.csv", _nodes_csv(forecaster.form))
    state = adapters.storable(forecaster.state_dict())
    write_atomically(folder / "model.safetensors", lambda beside: save_file(state, beside))
    if forecaster.graph is not None:
        arrays = forecaster.graph.arrays()
        write_atomically(folder / "graph.npz", lambda beside: np.savez(beside, **arrays))  # type: ignore[arg-type]
    for name, content in (("protocol.json", protocol), ("metrics.json", metrics)):
        if content is not None:
            _write_json(folder / name, content)
    write_sums(folder, [name for name in (*_PARTS, *_OPTIONAL) if (folder / name).exists()])


def _saved_before(folder: Path) -> list[str]:
    """The files of a forecaster that was saved in a folder before; refuses files that only have such names."""
    found = [name for name in (*_PARTS, *_OPTIONAL) if (folder / name).exists()]
    listed: set[str] = set()
    if (folder / SUMS).exists():
        text = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
        listed = {line.partition("  ")[2] for line in text.splitlines()}
        if text and not listed.issuperset(_PARTS):
            found = [SUMS]
    cut_short = not listed and ((folder / SUMS).exists() or (folder / _CHECKPOINT).exists())
    for name in found:
        if name not in listed and not cut_short:
            raise FieldcastError(f"{folder} holds a file {name} that is no forecaster's: give another folder.")
    return found


def load(folder: str | Path) -> Forecaster:
    """Open a saved forecaster, in eval mode; a damaged, half-written or newer folder is refused in a sentence."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FieldcastError(f"there is no saved forecaster at {folder}: give the folder that training wrote.")
    if (folder / adapters.CONFIG).is_file():
        return _adapted(folder)
    folder = _best_of_run(folder)
    listed = verify(folder)
    config = _read_json(folder / "config.json")
    found = config.get("format_version")
    if type(found) is not int or found < 1:
        raise FieldcastError(f"{folder / 'config.json'} has no format version: this is no saved forecaster.")
    if found > FORMAT_VERSION:
        raise FieldcastError(
            f"{folder} was written in format {found}, this fieldcast reads up to {FORMAT_VERSION}: update fieldcast."
        )
    try:
        return _rebuild(folder, migrated(config), "graph.npz" in listed)
    except FieldcastError as error:
        if str(folder) in str(error):
            raise
        raise FieldcastError(f"{folder} does not fit together: {error}") from None
    except (
        LookupError, TypeError, AttributeError, ValueError, OverflowError, MemoryError, RuntimeError, SafetensorError,
        csv.Error,
    ) as error:  # fmt: skip
        said = f"{folder} does not fit together ({_first_line(error)}): save the forecaster again."
        raise FieldcastError(said) from None


def _adapted(folder: Path) -> Forecaster:
    """The base that an adapter's folder names, with the adapter on it."""
    named = adapters.read_adapter_config(folder).get("base_model_name_or_path")
    base = folder / str(named)
    if not isinstance(named, str) or not base.is_dir() or (base / adapters.CONFIG).exists():
        raise FieldcastError(
            f"the base of the adapter {folder} is not at {base}: bring it there, or in Python put the adapter on a "
            "base that you loaded (load_adapter)."
        )
    forecaster = load(base)
    adapters.load_adapter(forecaster, folder)
    return forecaster


def _best_of_run(folder: Path) -> Path:
    """Of a run with several seeds, the forecaster that it names as best on validation; else the folder itself."""
    pointer = folder / "run.json"
    if (folder / "config.json").exists() or not pointer.exists():
        return folder
    found = _read_json(pointer)
    if not found.get("finished", True):
        raise FieldcastError(f"the run {folder} is not finished: go on with it (train --resume --out {folder}).")
    best = str(found.get("best", ""))
    if not best or "/" in best or "\\" in best or best.startswith("."):
        raise FieldcastError(f"{pointer} names no forecaster: train the run again.")
    return folder / best


def verify(folder: Path) -> set[str]:
    """Compare every file with its SHA-256; name the first that is absent or altered. Returns the names of all."""
    if not (folder / SUMS).exists() or not (folder / SUMS).stat().st_size:
        raise FieldcastError(
            f"{folder} holds no complete forecaster ({SUMS} is absent or empty): train or save it again."
        )
    listed = check_sums(folder, "save the forecaster again")
    for name in _PARTS:
        if name not in listed:
            raise FieldcastError(f"{folder / SUMS} does not list {name}: save the forecaster again.")
    return listed


def _rebuild(folder: Path, config: Mapping[str, Any], with_graph: bool) -> Forecaster:
    nodes, coordinates = _read_nodes(folder / "nodes.csv")
    scaler = Scaler.from_json(_read_json(folder / "scaler.json"))
    if scaler.kind == "node" and len(scaler.mean) != len(nodes):
        raise FieldcastError(f"{folder} scales {len(scaler.mean)} nodes and names {len(nodes)}: save it again.")
    form = Form.from_json(config["form"], nodes, coordinates, scaler)
    inputs = None if config["inputs"] is None else _positions(config["inputs"], len(nodes))
    read = len(nodes) if inputs is None else len(inputs)
    graph = Graph.from_npz(folder / "graph.npz", read) if with_graph else None
    stages = [make_stage(stage["name"], stage["hyper"]) for stage in config["stages"]]
    backbone = BACKBONES.get(config["backbone"]["name"])
    with seeded(0):  # what it draws is overwritten
        forecaster = Forecaster(form, backbone, config["backbone"]["hyper"], stages, graph=graph, inputs=inputs)  # type: ignore[arg-type]
    forecaster.load_state_dict(load_file(folder / "model.safetensors"))
    for name in config["frozen"]:
        forecaster.get_parameter(name).requires_grad_(False)
    return forecaster.eval()


def _positions(given: Any, nodes: int) -> np.ndarray:
    """Which nodes are read, int64 [N], from a list that somebody may have edited."""
    whole = isinstance(given, list) and given and all(type(each) is int and 0 <= each < nodes for each in given)
    if not whole or len(set(given)) < len(given):
        raise FieldcastError(f"the nodes that are read are no positions of {nodes} nodes, each once.")
    return np.asarray(given, dtype=np.int64)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    versions = {"python": platform.python_version()}
    for package in ("fieldcast", "torch", "lightning", "numpy", "pandas", "xarray", "scikit-learn", "scipy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _nodes_csv(form: Form) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["id", "latitude", "longitude"] if form.coordinates is not None else ["id"])
    for i, node in enumerate(form.nodes):
        place = [] if form.coordinates is None else [repr(float(part)) for part in form.coordinates[i]]
        writer.writerow([node, *place])
    return buffer.getvalue()


def _read_nodes(path: Path) -> tuple[list[str], np.ndarray | None]:
    with open(path, newline="", encoding="utf-8") as handle:  # a name may hold what splits lines elsewhere
        rows = list(csv.reader(handle))
    if not rows or rows[0] not in (["id"], ["id", "latitude", "longitude"]):
        raise FieldcastError(f"{path} has another header than id or id,latitude,longitude: save the forecaster again.")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise FieldcastError(
                f"row {number} of {path} has {len(row)} cells, the header {len(rows[0])}: save it again."
            )
    nodes = [row[0] for row in rows[1:]]
    coordinates = np.array([[float(part) for part in row[1:3]] for row in rows[1:]]) if len(rows[0]) == 3 else None
    return nodes, coordinates


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = read_plain(path, "json")
    except Unreadable:
        raise FieldcastError(f"{path} is not valid JSON: save the forecaster again.") from None
    if not isinstance(content, dict):
        raise FieldcastError(f"{path} holds no table: save the forecaster again.")
    return content


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(":.")
