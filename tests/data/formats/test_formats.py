"""Choosing a format, its options, and refusals in one sentence."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fieldcast.data.formats as formats
from fieldcast.data.formats import known_formats, open_readings
from fieldcast.errors import FieldcastError

START = {"start": "2020-02-03", "frequency": "1h"}


def test_every_format_says_what_it_is() -> None:
    known = known_formats()
    assert {"common", "wide_table", "tgcn_pair", "pems_npz", "frame", "array", "xarray"} <= set(known)
    for name, each in known.items():
        assert each.name == name and each.description and "\n" not in each.description
        assert not set(each.own_options) & set(formats.COMMON_OPTIONS)


def test_no_format_takes_what_belongs_to_none(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# notes")
    for source in (3, None, [[1.0]], object(), tmp_path / "notes.md", tmp_path, tmp_path / "absent.csv"):
        assert not any(each.recognises(source) for each in known_formats().values())


def test_a_new_format_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ones.py").write_text(
        textwrap.dedent("""
        import numpy as np
        from fieldcast.data.formats._assembly import assemble
        NAME, DESCRIPTION = "ones", "a file that names how many rows of ones it stands for"
        def recognises(source):
            return getattr(source, "suffix", "") == ".ones"
        def read(source, *, nodes_wanted=2, **options):
            values = np.ones((int(source.read_text()), nodes_wanted))
            return assemble(values, None, options, source=str(source), name=source.stem)
        """)
    )
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    known_formats.cache_clear()
    try:
        (tmp_path / "some.ones").write_text("5")
        assert open_readings(tmp_path / "some.ones", nodes_wanted=3, **START).shape == (5, 3, 1)
        assert open_readings(tmp_path, **START).meta.name == "some", "of a folder the one file of readings is taken"
        with pytest.raises(FieldcastError, match="did you mean 'nodes_wanted'"):
            open_readings(tmp_path / "some.ones", node_wanted=3)
    finally:
        known_formats.cache_clear()


def table(path: Path, columns: int = 2) -> Path:
    rows = [",".join(["time", *(f"s{i}" for i in range(columns))])]
    rows += [",".join([f"2020-02-03 {hour:02}:00", *[str(hour)] * columns]) for hour in range(5)]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "wide"}, r"no format 'wide' \(did you mean 'wide_table'\?\): known are array, common"),
        ({"format": "common"}, "is damaged or cut short|is pickled|no NumPy"),
        ({"frequencey": "1h"}, "wide_table has no option 'frequencey' .did you mean 'frequency'"),
        ({"node_column": "s0"}, "wide_table has no option 'node_column'"),
        ({"nodes": ["s3"]}, "has no node 's3' .did you mean"),
        ({"nodes": 3}, "nodes=3 is no list of names"),
        ({"channels": ["a", "b"]}, "has 1 channels but 2 channel names"),
        ({"targets": ["speed"], "channels": ["flow"]}, "has no channel 'speed' to forecast"),
        ({"null_rule": "-1"}, "null rule '-1'"),
        ({"frequency": "2h"}, "frequency 2h contradicts"),
    ],
)
def test_refusals_are_one_sentence(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldcastError, match=sentence) as refusal:
        open_readings(table(tmp_path / "flow.csv"), **options)
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")


def test_an_absent_path_is_refused_with_its_neighbour(tmp_path: Path) -> None:
    table(tmp_path / "flow.csv")
    with pytest.raises(FieldcastError, match=r"no file or folder .*flw.csv .did you mean 'flow.csv'"):
        open_readings(tmp_path / "flw.csv")
    with pytest.raises(FieldcastError, match="no file or folder"):
        open_readings(str(tmp_path / "a" / "b.csv"))


def test_what_no_format_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match="no format recognises an object of type list: bring it into one of array"):
        open_readings([[1.0]])
    (tmp_path / "notes.md").write_text("# notes")
    for source in (tmp_path / "notes.md", tmp_path):
        with pytest.raises(FieldcastError, match=r"no format recognises .*: bring it into one of common"):
            open_readings(source)
    np.savez(tmp_path / "windows.npz", x=np.ones(3), y=np.ones(3))
    with pytest.raises(FieldcastError, match=r"windows.npz, which holds the arrays x, y"):
        open_readings(tmp_path / "windows.npz")
    for name in ("array", "frame", "xarray"):
        with pytest.raises(FieldcastError, match=r"reads a|is nothing that"):
            open_readings(table(tmp_path / "flow.csv"), format=name)
    with pytest.raises(FieldcastError, match="is nothing that the format wide_table reads: fit for it are array"):
        open_readings(np.ones((3, 2)), format="wide_table")


def test_a_folder_of_one_file_is_that_file_and_of_several_none(tmp_path: Path) -> None:
    table(tmp_path / "flow.csv")
    (tmp_path / "distance.csv").write_text("from,to,cost\n0,1,2.5\n")
    (tmp_path / "README.md").write_text("# readme")
    assert open_readings(tmp_path).meta.name == "flow"
    table(tmp_path / "speed.csv")
    with pytest.raises(FieldcastError, match=r"several files of readings \(flow.csv, speed.csv\): give the path"):
        open_readings(tmp_path)


def test_two_particular_formats_are_ambiguous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {name: known_formats()[name] for name in ("tgcn_pair", "pems_npz", "wide_table")}
    object.__setattr__(both["pems_npz"], "recognises", lambda source: True)
    monkeypatch.setattr(formats, "known_formats", lambda: both)
    table(tmp_path / "x_speed.csv")
    (tmp_path / "x_adj.csv").write_text("1,0\n0,1\n")
    try:
        with pytest.raises(
            FieldcastError, match=r"fits several formats \(tgcn_pair, pems_npz\): choose one with --format"
        ):
            open_readings(tmp_path / "x_speed.csv")
    finally:
        known_formats.cache_clear()


def test_rules_beside_the_file_count_and_options_override_them(tmp_path: Path) -> None:
    path = table(tmp_path / "flow.csv")
    (tmp_path / "meta.toml").write_text('targets = ["flow"]\nnull_rule = "zero is missing"\nscored_cells = "all cells"')
    readings = open_readings(path)
    assert readings.targets == readings.channels == ("flow",) and readings.meta.scored_cells == "all cells"
    assert not readings.observed[0].any() and readings.observed[1:].all()
    other = open_readings(
        path, null_rule="none", targets="value", channels="value", scored_cells="observed cells", name="mine",
        frequency=None,
    )  # fmt: skip
    assert other.observed.all() and other.targets == ("value",) and other.meta.name == "mine"
    assert other.meta.scored_cells == "observed cells"
    (tmp_path / "meta.toml").write_text('frequency = "2h"')
    with pytest.raises(FieldcastError, match="frequency 2h contradicts"):
        open_readings(path)
    assert open_readings(path, frequency="1h").frequency == "1h"


def test_nodes_are_picked_by_name_and_order(tmp_path: Path) -> None:
    path = table(tmp_path / "flow.csv", columns=3)
    readings = open_readings(path, nodes=["s2", "s0"])
    assert readings.nodes == ("s2", "s0")
    named = open_readings(np.ones((3, 2)), nodes=["left", "right"], channels=["flow"], **START)
    assert named.nodes == ("left", "right") and named.channels == ("flow",)


def test_targets_follow_the_picked_channels(tmp_path: Path) -> None:
    columns = pd.MultiIndex.from_product([["a", "b"], ["in", "out", "rain"]])
    frame = pd.DataFrame(np.ones((4, 6)), index=pd.date_range("2020", periods=4, freq="h"), columns=columns)
    assert open_readings(frame, channels=["rain", "out"], targets=["out"]).targets == ("out",)
    np.savez(
        tmp_path / "data.npz",
        values=np.ones((4, 2, 3)),
        timestamps=frame.index.to_numpy(),
        channels=["in", "out", "rain"],
    )
    (tmp_path / "meta.toml").write_text('targets = ["in", "out"]')
    assert open_readings(tmp_path).targets == ("in", "out")
    assert open_readings(tmp_path, channels=["out", "rain"]).targets == ("out",)
    with pytest.raises(FieldcastError, match="say with --targets which to forecast"):
        open_readings(tmp_path, channels=["rain"])
    assert open_readings(tmp_path, channels=["rain"], targets=["rain"]).targets == ("rain",)


def test_the_mends_reach_the_timeline(tmp_path: Path) -> None:
    path = tmp_path / "flow.csv"
    path.write_text(
        "time,a\n2020-02-03 02:00,2\n2020-02-03 00:00,0\n2020-02-03 02:00,4\n2020-02-03 01:00,1\n2020-02-03 05:00,5\n"
    )
    with pytest.raises(FieldcastError, match=r"row 1 of .*flow.csv goes back .*--unordered sort"):
        open_readings(path)
    with pytest.raises(FieldcastError, match=r"row 2 of .*flow.csv repeats .* of row 0.*--repeated"):
        open_readings(path, unordered="sort")
    readings = open_readings(path, unordered="sort", repeated="mean", fill_gap=2)
    assert readings.values[:3, 0, 0].tolist() == [0, 1, 3] and readings.observed[..., 0, 0].tolist() == [
        1,
        1,
        1,
        0,
        0,
        1,
    ]
    local = open_readings(path, unordered="sort", repeated="last", timezone="Europe/Berlin")
    assert local.time[0] == np.datetime64("2020-02-02T23:00") and local.segment.tolist() == [0, 0, 0, 1]
