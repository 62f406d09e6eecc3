"""xarray objects: nodes or grids, one variable or several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.data.formats import open_readings
from fieldcast.errors import FieldcastError

HOURS = pd.date_range("2020-02-03", periods=4, freq="h")
LATITUDE, LONGITUDE = [52.0, 51.0], [-1.0, 0.0, 1.0]


def nodes(dims: tuple[str, ...] = ("time", "node"), **options: Any) -> xr.DataArray:
    return xr.DataArray(
        np.arange(12.0).reshape(4, 3), dims=dims, coords={dims[0]: HOURS, dims[1]: ["a", "b", "c"]}, **options
    )


def grid(**options: Any) -> xr.DataArray:
    coords = {"time": HOURS, "latitude": LATITUDE, "longitude": LONGITUDE}
    return xr.DataArray(np.arange(24.0).reshape(4, 2, 3), dims=tuple(coords), coords=coords, **options)


@pytest.mark.parametrize(
    "array",
    [nodes(), nodes().transpose("node", "time"), nodes(("timestamp", "station")), nodes().expand_dims(level=[2])],
)
def test_nodes_whatever_the_order_and_names(array: xr.DataArray) -> None:
    readings = open_readings(array)
    assert readings.nodes == ("a", "b", "c") and (readings.values[..., 0] == np.arange(12).reshape(4, 3)).all()
    assert (readings.time == HOURS.to_numpy()).all() and readings.channels == ("value",)


def test_a_name_a_unit_and_places() -> None:
    placed = nodes(name="pm25", attrs={"units": "ug/m3"}).assign_coords(
        lat=("node", [50, 51, 52]), lon=("node", [0, 1, 2])
    )
    readings = open_readings(placed)
    assert readings.channels == ("pm25",) and readings.unit("pm25") == "ug/m3" and readings.meta.name == "pm25"
    assert readings.coordinates is not None and readings.coordinates[2].tolist() == [52, 2]


def test_channels_as_a_dimension_or_as_variables() -> None:
    one = xr.concat([nodes(), nodes() * 10], dim=pd.Index(["flow", "speed"], name="channel"))
    two = xr.Dataset({"flow": nodes(attrs={"units": "veh"}), "speed": nodes() * 10, "road": ("node", [1, 2, 3])})
    for each in (one, two):
        readings = open_readings(each, targets="speed")
        assert readings.channels == ("flow", "speed") and readings.values[3, 2].tolist() == [11, 110]
    assert open_readings(two).unit("flow") == "veh"
    assert open_readings(two, channels=["speed"]).values[0, 1, 0] == 10
    assert open_readings(xr.Dataset({"both": one})).channels == ("flow", "speed")


@pytest.mark.parametrize(
    "array",
    [
        grid(),
        grid().transpose("longitude", "time", "latitude"),
        grid().isel(latitude=slice(None, None, -1)),
        grid().isel(longitude=slice(None, None, -1)),
        grid().rename(latitude="lat", longitude="lon"),
        grid().assign_coords(longitude=[359.0, 360.0, 361.0]),
    ],
)
def test_a_grid_runs_from_north_to_south_and_west_to_east(array: xr.DataArray) -> None:
    readings = open_readings(array)
    assert readings.grid == (2, 3) and (readings.values[..., 0] == np.arange(24).reshape(4, 6)).all()
    assert readings.coordinates is not None
    assert readings.coordinates[[0, 5]].tolist() == [[52, -1], [51, 1]]
    assert readings.nodes[0] in ("52_-1", "52_359")


def test_a_grid_of_several_variables_with_land() -> None:
    sea = grid().where(grid() % 6 > 0)
    readings = open_readings(xr.Dataset({"sst": sea, "wind": grid()}))
    assert readings.shape == (4, 6, 2) and not readings.observed[:, 0, 0].any() and readings.observed[..., 1].all()


def test_readings_hold_what_is_read_again() -> None:
    values = np.where(np.arange(24).reshape(4, 3, 2) % 5, 1.0, np.nan)
    places = np.array([[50.0, 1], [51, 2], [52, 3]])
    first = open_readings(values, channels=["a", "b"], coordinates=places, start="2020-01-01", frequency="1h")
    again = open_readings(first.dataset)
    assert again.hash == first.hash and again.coordinates is not None and (again.coordinates == places).all()


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        (nodes().expand_dims(level=[1, 2]), {}, "dimension 'level' of length 2: choose one"),
        (nodes().rename(node="x"), {}, "dimension 'x' of length 3"),
        (nodes().isel(node=0, drop=True), {}, "has the dimensions time: give time and node"),
        (grid().drop_vars("latitude"), {}, "no values for its latitude"),
        (grid().isel(longitude=[1, 0, 2]), {}, "longitude of the xarray object neither rises nor falls"),
        (nodes().drop_vars("time"), {}, "the xarray object has no timestamps"),
        (xr.Dataset({"road": ("node", [1, 2])}), {}, "no variable with a time dimension"),
        (xr.Dataset({"flow": nodes()}), {"channels": ["flaw"]}, "no variable 'flaw' .did you mean 'flow'"),
        (xr.Dataset({"a": nodes(), "b": grid()}), {}, "differ in their dimensions"),
    ],
)
def test_what_is_wrong_is_refused(source: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence):
        open_readings(source, **options)
