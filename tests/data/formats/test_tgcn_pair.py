"""The T-GCN pair: speeds without a time column, and the adjacency beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldcast.data.formats import open_readings
from fieldcast.data.formats.tgcn_pair import read_adjacency
from fieldcast.errors import FieldcastError

START = {"start": "2015-01-01", "frequency": "15min"}


def pair(folder: Path, stem: str = "sz") -> Path:
    (folder / f"{stem}_speed.csv").write_text("90217,90218,90219\n1,2,3\n4,0,6\n")
    (folder / f"{stem}_adj.csv").write_text("0,1,0\n1,0,0.5\n0,0.25,0\n")
    return folder


def test_speeds_and_adjacency(tmp_path: Path) -> None:
    pair(tmp_path)
    for source in (tmp_path, tmp_path / "sz_speed.csv", tmp_path / "sz_adj.csv"):
        readings = open_readings(source, **START)
        assert readings.nodes == ("90217", "90218", "90219") and readings.meta.name == "sz"
        assert readings.values[..., 0].tolist() == [[1, 2, 3], [4, 0, 6]] and readings.observed.all()
        adjacency = read_adjacency(source)
        assert adjacency.dtype == np.float32 and adjacency[1, 2] == 0.5 and adjacency[2, 1] == 0.25


def test_numbers_that_look_like_days_are_readings_here(tmp_path: Path) -> None:
    (tmp_path / "x_speed.csv").write_text("time,b\n1,2\n4,0\n")
    (tmp_path / "x_adj.csv").write_text("1,0\n0,1\n")
    assert open_readings(tmp_path, **START).nodes == ("time", "b")


def test_without_start_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match=r"sz_speed.csv has no timestamps .*--start 2012-03-01 --frequency 5min"):
        open_readings(pair(tmp_path))


def test_speeds_alone_are_a_wide_table(tmp_path: Path) -> None:
    (pair(tmp_path) / "sz_adj.csv").unlink()
    assert open_readings(tmp_path / "sz_speed.csv", **START).shape == (2, 3, 1)
    with pytest.raises(FieldcastError, match=r"is no T-GCN pair: put X_speed.csv and X_adj.csv into one folder"):
        open_readings(tmp_path / "sz_speed.csv", format="tgcn_pair", **START)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0,1\n1,0\n0,0\n", r"has shape \(3, 2\): give one row and one column for each sensor"),
        ("0,x\n1,0\n", "is no matrix of numbers"),
        ("", "is no matrix of numbers"),
        ("0,\n1,0\n", "row 0, column 1 of .* is no finite number"),
    ],
)
def test_an_adjacency_that_is_none(tmp_path: Path, text: str, sentence: str) -> None:
    (pair(tmp_path) / "sz_adj.csv").write_text(text)
    with pytest.raises(FieldcastError, match=sentence):
        read_adjacency(tmp_path)


def test_no_adjacency_at_all(tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match="no file or folder"):
        read_adjacency(tmp_path / "sz_adj.csv")
    with pytest.raises(FieldcastError, match="is no T-GCN pair"):
        read_adjacency(tmp_path)
