"""An xarray DataArray or Dataset with dimensions time and node, or time, latitude and longitude."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from fieldcast.data.formats._assembly import assemble, names_of
from fieldcast.data.readings import Readings, degrees
from fieldcast.errors import FieldcastError, did_you_mean

NAME = "xarray"
DESCRIPTION = "xarray DataArray or Dataset with dimensions time, node[, channel], or time, latitude, longitude"
IN_MEMORY = True

_DIMENSIONS = {
    "time": ("time", "timestamp", "valid_time", "datetime"),
    "node": ("node", "sensor", "station", "site", "id", "location"),
    "channel": ("channel", "feature", "variable"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon"),
}


def recognises(source: Any) -> bool:
    """A DataArray or a Dataset."""
    return isinstance(source, (xr.DataArray, xr.Dataset))


def read(source: xr.DataArray | xr.Dataset, **options: Any) -> Readings:
    """Read an xarray object; NaN is missing, further dimensions of length 1 are dropped.

    Each variable of a Dataset that has a time is a channel (``channels`` picks among them); a DataArray may have a
    dimension for channels. With latitude and longitude the nodes are the cells of the grid, row by row from north to
    south and from west to east, named ``latitude_longitude``; their longitudes are brought to -180 .. 180. With nodes,
    coordinates named latitude and longitude along them are taken. The attribute ``units`` gives the unit of a channel.
    """
    if not recognises(source):
        raise FieldcastError(f"the format {NAME} reads an xarray object, not {source}: leave the format out.")
    label = f"the xarray object '{source.name}'" if getattr(source, "name", None) else "the xarray object"
    array, units = _one_array(source, options, label)
    array = _plain_dimensions(array, label)
    time = array["time"].values if "time" in array.coords else None
    channels = [str(name) for name in array["channel"].values] if "channel" in array.coords else None
    if "node" in array.dims:
        array = array.transpose("time", "node", ...)
        nodes = [str(name) for name in array["node"].values] if "node" in array.coords else None
        coordinates, grid = _node_coordinates(array, label), None
        values = array.values
    else:
        array = _north_to_south(array, label)
        latitude, longitude = (degrees(array[name].values, label) for name in ("latitude", "longitude"))
        grid = (len(latitude), len(longitude))
        rows, columns = (each.ravel() for each in np.meshgrid(latitude, longitude, indexing="ij"))
        nodes = [f"{row:.6g}_{column:.6g}" for row, column in zip(rows, columns, strict=True)]
        coordinates = np.stack([rows, (columns + 180) % 360 - 180], axis=1)
        values = array.values.reshape(array.sizes["time"], grid[0] * grid[1], *array.shape[3:])
    name = str(getattr(source, "name", None) or "xarray")
    return assemble(
        values, time, options, source=label, name=name, nodes=nodes, channels=channels, coordinates=coordinates,
        grid=grid, units=units, copy=True,
    )  # fmt: skip


def _one_array(
    source: xr.DataArray | xr.Dataset, options: dict[str, Any], label: str
) -> tuple[xr.DataArray, dict[str, str]]:
    """The variables of a Dataset as one array with a dimension for channels, and their units."""
    if isinstance(source, xr.DataArray):
        if "channel" in _renaming(source) or source.name is None:
            return source, {}
        unit = source.attrs.get("units")
        return source.expand_dims(channel=[str(source.name)], axis=-1), {str(source.name): str(unit)} if unit else {}
    timed = {str(name): each for name, each in source.data_vars.items() if "time" in _renaming(each)}
    if set(timed) == {"values", "observed"} and timed["observed"].dtype == bool:  # what Readings hold themselves
        return timed["values"].where(timed["observed"]), {}
    if "channels" in options:
        picked = names_of(options["channels"], "channels")
        for name in picked:
            if name not in timed:
                raise FieldcastError(
                    f"{label} has no variable '{name}'{did_you_mean(name, timed)}: it has {', '.join(timed) or 'none'}."
                )
        timed = {name: timed[name] for name in picked}
    if not timed:
        raise FieldcastError(f"{label} has no variable with a time dimension: give one.")
    if len({frozenset(each.sizes.items()) for each in timed.values()}) > 1:
        sizes = "; ".join(f"{name}: {dict(each.sizes)}" for name, each in timed.items())
        raise FieldcastError(f"the variables of {label} differ in their dimensions ({sizes}): pick some with channels.")
    if any("channel" in _renaming(each) for each in timed.values()):
        if len(timed) > 1:
            raise FieldcastError(f"{label} has several variables with channels of their own: give one DataArray.")
        return next(iter(timed.values())), {}
    for name, each in timed.items():
        if each.dtype.kind not in "iufc":  # complex numbers are refused further on
            raise FieldcastError(f"the variable '{name}' of {label} holds values of type {each.dtype}: give numbers.")
    units = {name: str(each.attrs["units"]) for name, each in timed.items() if each.attrs.get("units")}
    joined = xr.Variable.concat([each.variable for each in timed.values()], dim="channel")
    coords = {name: each for name, each in source.coords.items() if set(each.dims) <= set(joined.dims)}
    return xr.DataArray(joined, coords={**coords, "channel": list(timed)}), units


def _renaming(array: xr.DataArray) -> dict[str, str]:
    """Which of our names each dimension of the array bears: ours -> its own."""
    own = {str(dimension).lower(): str(dimension) for dimension in array.dims}
    return {
        ours: own[name] for ours, names in _DIMENSIONS.items() for name in names if name in own
    }  # fmt: skip


def _plain_dimensions(array: xr.DataArray, label: str) -> xr.DataArray:
    """The array with our names for its dimensions and no others, time first and channel last."""
    found = _renaming(array)
    for dimension in array.dims:
        if dimension not in found.values():
            if array.sizes[dimension] != 1:
                raise FieldcastError(
                    f"{label} has the dimension '{dimension}' of length {array.sizes[dimension]}: choose one of it, or "
                    "rename it to time, node, channel, latitude or longitude."
                )
            array = array.squeeze(dimension, drop=True)
    ways = ({"time", "node"}, {"time", "latitude", "longitude"})
    if set(found) - {"channel"} not in ways:
        raise FieldcastError(
            f"{label} has the dimensions {', '.join(map(str, array.dims)) or 'none'}: give time and node, or time, "
            "latitude and longitude, and channel if there are several."
        )
    names = {own: ours for ours, own in found.items() if own != ours}
    clash = [ours for ours in names.values() if ours in array.coords]
    return array.drop_vars(clash).rename(names)


def _north_to_south(array: xr.DataArray, label: str) -> xr.DataArray:
    """The grid with rows from north to south and columns from west to east."""
    array = array.transpose("time", "latitude", "longitude", ...)
    for name, falling in (("latitude", True), ("longitude", False)):
        if name not in array.coords:
            raise FieldcastError(f"{label} has no values for its {name}: give them in degrees.")
        steps = np.diff(degrees(array[name].values, label))
        if not ((steps > 0).all() or (steps < 0).all()):
            raise FieldcastError(f"the {name} of {label} neither rises nor falls throughout: sort it.")
        if len(steps) and (steps[0] < 0) != falling:
            array = array.isel({name: slice(None, None, -1)})
    return array


def _node_coordinates(array: xr.DataArray, label: str) -> np.ndarray | None:
    """Coordinates named latitude and longitude along the nodes, float64 [N, 2], or None."""
    found = []
    for ours in ("latitude", "longitude"):
        names = [name for name in _DIMENSIONS[ours] if name in array.coords and array[name].dims == ("node",)]
        if not names:
            return None
        found.append(degrees(array[names[0]].values, label))
    return np.stack(found, axis=1)
