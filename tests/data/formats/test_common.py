"""The common form: what it holds, and what is refused without unpickling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fieldcast.data.formats import open_readings
from fieldcast.errors import FieldcastError

HOURS = pd.date_range("2020-02-03", periods=5, freq="h").to_numpy().astype("datetime64[s]")


def folder_with(folder: Path, **arrays: Any) -> Path:
    held: dict[str, Any] = {"values": np.arange(30, dtype=np.float32).reshape(5, 6, 1), "timestamps": HOURS, **arrays}
    np.savez(folder / "data.npz", **{name: array for name, array in held.items() if array is not None})
    return folder


def test_everything_it_may_hold(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.float64).reshape(5, 6, 2)
    values[2, 3, 1] = np.nan
    folder = folder_with(
        tmp_path, values=values, node_ids=np.array(list("abcdef")), channels=np.array(["t", "p"]),
        grid_shape=np.array([2, 3]), coords=np.stack([np.linspace(50, 49, 6), np.arange(6)], axis=1),
    )  # fmt: skip
    (folder / "meta.toml").write_text('targets = ["p"]\nfrequency = "1h"\n[units]\np = "hPa"\n')
    readings = open_readings(folder)
    assert readings.nodes == tuple("abcdef") and readings.channels == ("t", "p") and readings.targets == ("p",)
    assert readings.grid == (2, 3) and readings.unit("p") == "hPa" and readings.meta.name == tmp_path.name
    assert (~readings.observed).sum() == 1 and not readings.observed[2, 3, 1]
    assert readings.coordinates is not None and readings.coordinates[-1].tolist() == [49, 5]


def test_the_least_it_may_hold(tmp_path: Path) -> None:
    readings = open_readings(folder_with(tmp_path))
    assert readings.shape == (5, 6, 1) and readings.nodes[0] == "node0" and readings.grid is None


def test_a_grid_takes_its_coordinates_from_lat_and_lon(tmp_path: Path) -> None:
    places = {"grid_shape": np.array([2, 3]), "lat": np.array([51.0, 50.0]), "lon": np.array([4.0, 5.0, 6.0])}
    readings = open_readings(folder_with(tmp_path, **places))
    assert readings.coordinates is not None and readings.coordinates[[0, 5]].tolist() == [[51, 4], [50, 6]]
    with pytest.raises(FieldcastError, match="2 lat and 2 lon for a grid of 2 x 3"):
        open_readings(folder_with(tmp_path, **{**places, "lon": np.array([4.0, 5.0])}))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"values": np.array([[1, "x"]], dtype=object)}, "array 'values' of .* is pickled"),
        ({"node_ids": np.array(["a", "b", "c", "d", "e", 6], dtype=object)}, "array 'node_ids' of .* is pickled"),
        ({"node_ids": np.array(["a", "b", "c", "d", "e", "a"])}, "'a' is repeated"),
        ({"node_ids": np.array(["a", "b"])}, "6 nodes but 2 node names"),
        ({"channels": np.array(["x", "y"])}, "1 channels but 2 channel names"),
        ({"timestamps": HOURS[:3]}, "5 rows but 3 timestamps"),
        ({"timestamps": HOURS[[0, 1, 2, 1, 4]]}, "row 3 of .*data.npz goes back"),
        ({"grid_shape": np.array([2, 2])}, "grid 2 x 2 of .* does not hold its 6 nodes"),
        ({"grid_shape": np.array([6])}, "give two whole numbers"),
        ({"values": np.ones(5)}, r"has shape \(5,\)"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, arrays: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence):
        open_readings(folder_with(tmp_path, **arrays))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    folder_with(tmp_path)
    whole = (tmp_path / "data.npz").read_bytes()
    (tmp_path / "data.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FieldcastError, match=r"data.npz is .*get data.npz again"):
        open_readings(tmp_path)
    flipped = bytearray(whole)
    flipped[300] ^= 1
    (tmp_path / "data.npz").write_bytes(bytes(flipped))
    with pytest.raises(FieldcastError, match="is damaged"):
        open_readings(tmp_path)
    np.array([{"a": 1}], dtype=object).dump(tmp_path / "data.npz")
    with pytest.raises(FieldcastError, match=r"data.npz is damaged .*no .npz archive"):
        open_readings(tmp_path)
