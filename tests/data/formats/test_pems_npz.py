"""PEMS archives: one array, no time axis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldcast.data.formats import open_readings
from fieldcast.errors import FieldcastError

START = {"start": "2016-07-01", "frequency": "5min"}


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1), (6, 4, 3)])
def test_two_or_three_dimensions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    np.savez_compressed(tmp_path / "PEMS08.npz", data=data)
    readings = open_readings(tmp_path / "PEMS08.npz", **START)
    assert (readings.values == data.reshape(6, 4, -1)).all() and readings.nodes == ("0", "1", "2", "3")
    assert readings.meta.name == "PEMS08" and readings.observed.all()


def test_names_are_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", data=np.ones((3, 2, 3)))
    names = ["flow", "occupancy", "speed"]
    readings = open_readings(tmp_path, channels=names, targets="flow", nodes=["n1", "n2"], **START)
    assert readings.channels == tuple(names) and readings.nodes == ("n1", "n2") and readings.targets == ("flow",)


def test_refusals(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", data=np.ones((3, 2)))
    with pytest.raises(
        FieldcastError, match=r"p.npz has no timestamps and so needs a start and a frequency: give --start"
    ):
        open_readings(tmp_path / "p.npz")
    np.savez(tmp_path / "p.npz", data=np.ones(3))
    with pytest.raises(FieldcastError, match=r"data in .* has shape \(3,\)"):
        open_readings(tmp_path / "p.npz", **START)
    np.savez(tmp_path / "p.npz", data=np.array([[1, None]], dtype=object))
    with pytest.raises(FieldcastError, match=r"array 'data' of .* is pickled"):
        open_readings(tmp_path / "p.npz", **START)
    np.savez(tmp_path / "p.npz", dta=np.ones((3, 2)))
    with pytest.raises(FieldcastError, match=r"has no array 'data' .did you mean 'dta'"):
        open_readings(tmp_path / "p.npz", format="pems_npz", **START)
    np.save(tmp_path / "bare.npy", np.ones((3, 2)))
    with pytest.raises(FieldcastError, match=r"is one bare array and no .npz archive"):
        open_readings(tmp_path / "bare.npy", format="pems_npz", **START)
