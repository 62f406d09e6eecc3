"""The last step of every format: rules beside the data, options over them, Readings out of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.data.meta import Meta
from fieldcast.data.readings import Readings
from fieldcast.errors import FieldcastError, did_you_mean

COMMON_OPTIONS = (
    "start", "frequency", "timezone", "channels", "nodes", "targets", "null_rule", "scored_cells", "unordered",
    "repeated", "fill_gap", "name",
)  # fmt: skip
_TO_READINGS = ("start", "frequency", "timezone", "unordered", "repeated", "fill_gap")


def assemble(
    values: np.ndarray,
    time: Any,
    options: Mapping[str, Any],
    *,
    source: str,
    name: str,
    beside: Path | None = None,
    nodes: Sequence[object] | None = None,
    channels: Sequence[str] | None = None,
    observed: np.ndarray | None = None,
    coordinates: np.ndarray | None = None,
    grid: tuple[int, int] | None = None,
    units: Mapping[str, str] | None = None,
    copy: bool = False,
) -> Readings:
    """Make Readings of what a format found: ``values`` [time, N] or [time, N, C] and what it knows of their names.

    ``beside`` is the folder in which a ``meta.toml`` may lie; ``units`` count where it names none. The options
    ``channels`` and ``nodes`` pick, in their order, from names that the format found, and name what has none.
    ``values`` is handed over unless ``copy`` is set.
    """
    meta = Meta(name=name)
    if beside is not None and (beside / "meta.toml").is_file():
        meta = Meta.from_toml(beside / "meta.toml", name=name)
    if units and not meta.units:
        meta = replace(meta, units=dict(units))
    if values.ndim == 2:
        values = values[..., None]
        observed = observed if observed is None else np.asarray(observed)
        observed = observed[..., None] if observed is not None and observed.ndim == 2 else observed
    if values.ndim == 3:
        values, observed, channels, _ = _named(values, observed, 2, channels, options, "channels", source)
        values, observed, nodes, picked = _named(values, observed, 1, nodes, options, "nodes", source)
        if picked is not None:
            coordinates = coordinates if coordinates is None else np.asarray(coordinates)[picked]
            grid = None
    meta = _with_options(meta, options, channels)
    passed = {key: options[key] for key in _TO_READINGS if key in options}
    return Readings.from_array(
        values, time, nodes=nodes, channels=channels, observed=observed, coordinates=coordinates, grid=grid, meta=meta,
        source=source, copy=copy, **passed,
    )  # fmt: skip


def names_of(option: object, what: str) -> tuple[str, ...]:
    """One name or several as a tuple of text."""
    if isinstance(option, str):
        return (option,)
    if not isinstance(option, Sequence | np.ndarray) or not len(option):
        raise FieldcastError(f"{what}={option!r} is no list of names: give one name or several.")
    return tuple(str(name) for name in option)


def _named(
    values: np.ndarray,
    observed: np.ndarray | None,
    axis: int,
    found: Sequence[object] | None,
    options: Mapping[str, Any],
    what: str,
    source: str,
) -> tuple[np.ndarray, np.ndarray | None, Sequence[Any] | None, np.ndarray | None]:
    """Values and mask with the asked-for names of one axis, and the positions picked where fewer or others are left."""
    if what not in options:
        return values, observed, found, None
    asked = names_of(options[what], what)
    if found is None:
        return values, observed, asked, None
    if len(found) != values.shape[axis]:
        return values, observed, found, None  # refused with its reason by the Readings
    names = [str(name) for name in found]
    position = {name: i for i, name in enumerate(names)}
    for name in asked:
        if name not in position:
            few = ", ".join(names[:12]) + (" and others" if len(names) > 12 else "")
            raise FieldcastError(f"{source} has no {what[:-1]} '{name}'{did_you_mean(name, names)}: it has {few}.")
    if list(asked) == names:
        return values, observed, names, None
    picked = np.array([position[name] for name in asked], dtype=np.int64)
    return values.take(picked, axis), observed if observed is None else observed.take(picked, axis), asked, picked


def _with_options(meta: Meta, options: Mapping[str, Any], channels: Sequence[str] | None) -> Meta:
    """The rules beside the data with the options over them; targets that were not picked are no targets."""
    texts = ("null_rule", "scored_cells", "name")
    changes: dict[str, Any] = {key: str(options[key]) for key in texts if key in options}
    if "targets" in options:
        changes["targets"] = names_of(options["targets"], "targets")
    elif meta.targets and channels is not None and "channels" in options:
        changes["targets"] = tuple(target for target in meta.targets if target in channels)
        if not changes["targets"]:
            raise FieldcastError(
                f"the channels {', '.join(map(str, channels))} of {meta.name} hold none of its targets "
                f"({', '.join(meta.targets)}): say with --targets which to forecast (in Python targets=)."
            )
    return replace(meta, **changes)
