"""Adapters apart from their base: a small folder of their own, by the conventions of the peft library."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fieldcast.core.registry import STAGES
from fieldcast.core.seeding import seeded
from fieldcast.core.stage import AfterStage
from fieldcast.data.files import write_atomically
from fieldcast.data.plain import Unreadable, read_table
from fieldcast.errors import FieldcastError
from fieldcast.forecaster.construction import make_stage
from fieldcast.forecaster.model import Forecaster

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
Mode = Literal["joint", "finetune", "predictor", "codes"]


def freeze(forecaster: Forecaster, mode: Mode) -> None:
    """Choose what trains: all (``joint``), the adapters, or of these what nodes have of their own.

    ``finetune`` and ``predictor`` train the adapters alone; the second is for one that tunes the layers of the head
    besides (``tune_head``). ``codes`` trains only their tensors with a node axis. A forecaster without adapters by name
    has all stages behind the head for them. What is frozen stays in eval mode (:meth:`Forecaster.train`).
    """
    if mode not in get_args(Mode):
        raise FieldcastError(f"there is no mode '{mode}': choose {', '.join(get_args(Mode))}.")
    if mode == "joint":
        return
    adapters = list(forecaster.adapters.values()) or list(forecaster.after)
    apart = [stage for stage in forecaster.after if stage not in adapters]
    for part in (forecaster.backbone, forecaster.before, forecaster.between, *apart):
        part.requires_grad_(False)
    if mode == "codes":
        for stage in adapters:
            own = stage.node_axes()  # type: ignore[operator]
            for name, parameter in stage.named_parameters():
                parameter.requires_grad_(parameter.requires_grad and name in own)
    if not any(parameter.requires_grad for parameter in forecaster.parameters()):
        raise FieldcastError(f"nothing is left to train in mode '{mode}': add an adapter with codes of its own.")


def fingerprint(forecaster: Forecaster) -> str:
    """SHA-256 of the base's weights as safetensors writes them, whatever adapters are on it."""
    if any(stage.merged for stage in forecaster.after):
        raise FieldcastError("an adapter is merged into the weights of this forecaster: unmerge it first.")
    apart = tuple(f"after.{i}." for i, stage in enumerate(forecaster.after) if stage.adapter is not None)
    state = forecaster.state_dict()
    own = {name: tensor for name, tensor in state.items() if not apart or not name.startswith(apart)}
    return _sha256(safetensors.torch.save(storable(own)))


def save_adapter(
    forecaster: Forecaster, folder: str | Path, name: str | None = None, *, base: str | Path | None = None
) -> Path:
    """Write one adapter: ``adapter_config.json`` and ``adapter_model.safetensors``, with its own tensors alone.

    ``name`` is needed where there are several; ``base`` is the folder of the saved base, kept as a path from this
    folder, so that both can move together.
    """
    stage = _chosen(forecaster, name)
    folder = Path(folder)
    if (folder / "config.json").exists():
        raise FieldcastError(f"{folder} holds a whole forecaster: give the adapter a folder of its own.")
    folder.mkdir(parents=True, exist_ok=True)
    form = forecaster.form
    names = stage.peft_names()
    state = {names[key]: tensor for key, tensor in stage.state_dict().items()}
    data = safetensors.torch.save(storable(state))
    settings = {
        "peft_type": stage.peft_type,
        "base_model_name_or_path": None if base is None else Path(os.path.relpath(base, folder)).as_posix(),
        "revision": None, "inference_mode": True, **stage.peft_settings(),
        "fieldcast": {
            "stage": STAGES.name_of(type(stage)), "hyper": stage.hyper, "num_nodes": len(form.nodes),
            "node_ids_sha256": _nodes_hash(forecaster), "base_fingerprint": fingerprint(forecaster),
            "history": form.lookback, "horizon": form.horizon, "output_dim": len(form.targets),
            "scaler": form.scaler.to_json(), "weights_sha256": _sha256(data),
            "spec_version": 1,
        },
    }  # fmt: skip
    write_atomically(folder / WEIGHTS, data)
    write_atomically(folder / CONFIG, json.dumps(settings, indent=1, allow_nan=False) + "\n")
    return folder


def load_adapter(forecaster: Forecaster, folder: str | Path, name: str = "default", *, force: bool = False) -> None:
    """Put a saved adapter on its base, under a name.

    Refused on another base, other sensors or another order of them, unless ``force``; its tensors must fit even then.
    """
    folder = Path(folder)
    settings = read_adapter_config(folder)
    told = settings["fieldcast"]
    sizes = {"history": forecaster.form.lookback, "horizon": forecaster.form.horizon}
    sizes |= {"output_dim": len(forecaster.form.targets), "num_nodes": len(forecaster.form.nodes)}
    for key, own in sizes.items():
        if told.get(key) != own:
            raise FieldcastError(f"the adapter {folder} is for {key} {told.get(key)}, this base has {own}: {_OTHER}.")
    if not force and told.get("node_ids_sha256") != _nodes_hash(forecaster):
        raise FieldcastError(f"the adapter {folder} is for other sensors, or these in another order: {_OTHER}.")
    if not force and told.get("scaler") != forecaster.form.scaler.to_json():
        raise FieldcastError(f"the adapter {folder} is for readings scaled in another way: {_OTHER}.")
    if not force and told.get("base_fingerprint") != fingerprint(forecaster):
        raise FieldcastError(f"the adapter {folder} was trained on another base: {_OTHER}.")
    state = _weights(folder, told)
    try:
        # On tensors without memory first, so that settings which somebody wrote cannot fill it.
        with torch.device("meta"):
            probe = _stage(folder, told)
            forecaster.fit_behind(probe)
        own = {probe.peft_names()[key]: tensor.shape for key, tensor in probe.state_dict().items()}
        if own != {key: tensor.shape for key, tensor in state.items()}:
            raise FieldcastError(f"the tensors of {folder} do not fit its settings: {_AGAIN}.")
        stage = _stage(folder, told)
        with seeded(0):  # what it draws is overwritten
            forecaster.attach(stage, name)
    except FieldcastError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, MemoryError, RuntimeError):
        raise FieldcastError(f"the settings in {folder / CONFIG} do not fit together: {_AGAIN}.") from None
    stage.load_state_dict({key: state[kept] for key, kept in stage.peft_names().items()})
    stage.train(forecaster.training)


def take_factors(stage: AfterStage, trained: AfterStage) -> None:
    """Give a stage what nodes share in one of the same kind and settings that was trained elsewhere, on other nodes.

    Tensors without a node axis are copied; what nodes have of their own (codes) stays as it is, to be learned anew.
    """
    own, given = stage.node_axes(), trained.state_dict()
    shared = {name: tensor.shape for name, tensor in stage.state_dict().items() if name not in own}
    alike = type(stage) is type(trained) and stage.hyper == trained.hyper
    if not alike or any(name not in given or given[name].shape != shape for name, shape in shared.items()):
        raise FieldcastError(
            f"the shared factors of this {type(trained).__name__} do not fit that {type(stage).__name__}: give both "
            "the same settings, look-back, horizon and number of targets."
        )
    stage.load_state_dict({name: given[name] for name in shared}, strict=False)


_OTHER = "load it onto the base that it was trained on"
_AGAIN = "bring it back, or adapt again"


def _stage(folder: Path, told: Mapping[str, Any]) -> AfterStage:
    stage = make_stage(str(told.get("stage")), told.get("hyper") or {})
    if not isinstance(stage, AfterStage):
        raise FieldcastError(f"{folder} holds a stage '{told.get('stage')}' that is no adapter: {_OTHER}.")
    return stage


def _weights(folder: Path, told: Mapping[str, Any]) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
        state = safetensors.torch.load(data)
    except (OSError, SafetensorError):
        raise FieldcastError(f"{path} is absent or damaged: {_AGAIN}.") from None
    if told.get("weights_sha256", _sha256(data)) != _sha256(data):
        raise FieldcastError(f"{path} is damaged or was edited (its SHA-256 differs): {_AGAIN}.")
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise FieldcastError(f"{path} holds numbers in '{name}' that are not finite: {_AGAIN}.")
    return state


def read_adapter_config(folder: str | Path) -> dict[str, Any]:
    """The settings of an adapter's folder."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FieldcastError(f"there is no adapter at {folder}: give a folder with {CONFIG}.")
    try:
        settings = read_table(path, "json")
    except Unreadable:
        settings = {}
    if not isinstance(settings.get("fieldcast"), dict):
        raise FieldcastError(f"{path} is damaged or no adapter of fieldcast: {_AGAIN}.")
    return settings


def _chosen(forecaster: Forecaster, name: str | None) -> AfterStage:
    if name is None and len(forecaster.adapters) == 1:
        return next(iter(forecaster.adapters.values()))
    if name is None:
        known = ", ".join(forecaster.adapters) or "none"
        raise FieldcastError(f"which adapter is meant: name one; this forecaster has {known}.")
    return forecaster._adapter(name)


def _nodes_hash(forecaster: Forecaster) -> str:
    return _sha256("\n".join(forecaster.form.nodes).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def storable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that safetensors takes: on the CPU, each with memory of its own."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
