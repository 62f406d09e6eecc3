"""The one-file report: nothing from outside, nothing unescaped, nothing left out, and a sentence for what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.errors import FieldcastError
from fieldcast.reporting.folder import Sample, read_run_folder
from fieldcast.reporting.payload import pack_sample, rounded, script_json
from fieldcast.reporting.report import decimals, score_tables, write_report
from tests.reporting.run_folder import MODELS, UNAVAILABLE, write_run_folder

NASTY = '</script><img src=x onerror="harm()">&amp;\u2028'


class Page(HTMLParser):
    """Elements, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.payload = ""
        self.text = ""
        self._inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = "payload" if ("id", "payload") in attrs else tag

    def handle_data(self, data: str) -> None:
        if self._inside == "payload":
            self.payload += data
        elif self._inside not in ("script", "style"):
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run_folder(tmp_path_factory.mktemp("report") / "run", nodes=6, days=2, minutes=30, sample_rows=60)


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def changed(folder: Path, into: Path, change: Callable[[dict], None]) -> Path:
    """A copy of the run folder with other scores."""
    into.mkdir(exist_ok=True)
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    change(scores)
    (into / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    (into / "sample.npz").write_bytes((folder / "sample.npz").read_bytes())
    return into


def test_it_is_one_file_that_loads_nothing(folder: Path, page: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "sample.npz", "scores.json"]
    assert "http://" not in page and "https://" not in page
    assert "default-src 'none'" in page
    read = Page(page)
    assert not {"iframe", "object", "embed", "img", "base"} & set(read.tags)
    assert [value for name, value in read.attributes if name in ("src", "href")] == ["data:,"]
    assert not re.search(r"url\((?!#)|@import|import\(|fetch\(|XMLHttpRequest|eval\(", page)


def test_it_goes_where_it_is_told(folder: Path, tmp_path: Path) -> None:
    assert write_report(folder, tmp_path / "deep" / "page.html") == tmp_path / "deep" / "page.html"
    assert (tmp_path / "deep" / "page.html").stat().st_size > 10_000
    with pytest.raises(FieldcastError, match="is a folder"):
        write_report(folder, tmp_path)


def test_every_model_and_the_protocol_stand_on_it(page: str) -> None:
    read = Page(page)
    for name in [*(model[0] for model in MODELS), UNAVAILABLE[0], UNAVAILABLE[2]]:
        assert name in read.text
    for part in ("simulated_city", "12 → 12 steps", "windows-first 7:1:2", "0123456789ab", "TSB-12v1", "numpy"):
        assert part in read.text
    assert json.loads(read.payload)["rules"] == ["targets > 0", "all cells"]


def test_simulated_data_is_called_so_and_measured_data_is_not(folder: Path, page: str, tmp_path: Path) -> None:
    assert "simulated data" in Page(page).text.lower()
    measured = changed(folder, tmp_path, lambda scores: scores.update(simulated=False, title="Flow"))
    text = Page(write_report(measured).read_text(encoding="utf-8")).text
    assert "simulated data" not in text.lower()


def test_departures_from_the_protocol_are_shown(folder: Path, tmp_path: Path) -> None:
    other = changed(folder, tmp_path, lambda scores: scores["protocol"].update(departures=["split=rows"]))
    assert "Not the usual protocol" in write_report(other).read_text(encoding="utf-8")


def test_names_with_html_are_text(tmp_path: Path) -> None:
    names = [NASTY + str(node) for node in range(3)]
    folder = write_run_folder(tmp_path, nodes=3, days=2, minutes=60, names=names, title=NASTY, targets=("<i>flow</i>",))
    page = write_report(folder).read_text(encoding="utf-8")
    read = Page(page)
    assert "<img" not in page and "<i>" not in page and read.tags.count("script") == 2
    assert NASTY in read.text.replace("\xa0", " ")
    assert json.loads(read.payload)["nodes"] == names


def test_the_tables_show_means_spreads_and_the_best(folder: Path) -> None:
    run = read_run_folder(folder)
    table = score_tables(run)[0]
    assert table["heads"] == ["step 3", "step 6", "step 12", "mean12", "pooled12"]
    assert [block["title"] for block in table["blocks"]] == ["MAE", "RMSE", "MAPE", "WAPE"]
    assert [block["unit"] for block in table["blocks"]] == ["veh/15 min", "veh/15 min", "%", "%"]
    rows = {row["name"]: row for row in table["blocks"][0]["rows"]}
    summary = run.scores["models"][0]["summary"]
    mean, sd = (summary[part]["channels"]["flow_veh_per_15min"]["mean"]["mae"] for part in ("mean", "sd"))
    places = len(rows["stid"]["cells"][3]["mean"].split(".")[1])
    assert rows["stid"]["cells"][3] == {"mean": f"{mean:.{places}f}", "sd": f"{sd:.{places}f}", "best": True}
    assert rows["last_value"]["cells"][3]["sd"] == "" and not rows["last_value"]["cells"][3]["best"]
    assert rows["weekly_climatology"]["cells"] is None and "two training weeks" in rows["weekly_climatology"]["note"]


def test_a_figure_that_is_missing_is_a_dash(folder: Path, tmp_path: Path) -> None:
    def lose(scores: dict) -> None:
        scores["models"][0]["summary"]["mean"]["channels"]["flow_veh_per_15min"]["mean"]["mape"] = None

    run = read_run_folder(changed(folder, tmp_path, lose))
    row = score_tables(run)[0]["blocks"][2]["rows"][0]
    assert row["cells"][3]["mean"] == "–" and not row["cells"][3]["best"]
    write_report(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda scores: scores.pop("units"), "'units'"),
        (lambda scores: scores.pop("title"), "'title'"),
        (lambda scores: scores["units"].clear(), "unit of the target"),
        (lambda scores: scores["protocol"].pop("split"), "'split'"),
        (lambda scores: scores["models"][1].pop("beside"), "'beside' of model 1"),
        (lambda scores: scores["models"][-1].update(note=None), "weekly_climatology"),
        (lambda scores: scores["models"][0]["summary"].pop("sd"), "'stid'"),
        (lambda scores: scores["models"][0]["summary"]["mean"]["channels"].clear(), "'stid'"),
        (lambda scores: scores["nodes"].pop(), "5 nodes"),
        (lambda scores: scores["coordinates"].pop(), "5 coordinates"),
        (lambda scores: scores["graph"].append([0, 6]), "[0, 6]"),
        (lambda scores: scores.update(models=scores["models"][-1:]), "scores of no model"),
        (lambda scores: scores["models"].pop(0), "'stid' under models"),
    ],
)
def test_scores_that_are_not_whole_are_refused(folder: Path, tmp_path: Path, change: Callable, said: str) -> None:
    with pytest.raises(FieldcastError) as caught:
        write_report(changed(folder, tmp_path, change))
    message = str(caught.value)
    assert said in message and message.endswith(".") and "\n" not in message
    assert not (tmp_path / "report.html").exists()


def test_files_that_are_missing_or_broken_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FieldcastError, match=r"scores\.json does not exist"):
        write_report(tmp_path)
    changed(folder, tmp_path, lambda scores: None)
    (tmp_path / "sample.npz").unlink()
    with pytest.raises(FieldcastError, match=r"sample\.npz does not exist"):
        write_report(tmp_path)
    (tmp_path / "sample.npz").write_bytes(b"no zip")
    with pytest.raises(FieldcastError, match=r"sample\.npz is damaged"):
        write_report(tmp_path)
    with np.load(folder / "sample.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "sample.npz", **{name: arrays[name] for name in arrays if name != "truth"})
    with pytest.raises(FieldcastError, match="the array 'truth'"):
        write_report(tmp_path)
    np.savez(tmp_path / "sample.npz", **(arrays | {"truth": arrays["truth"][:-1]}))
    with pytest.raises(FieldcastError, match="'truth' of the shape"):
        write_report(tmp_path)
    (tmp_path / "scores.json").write_text("{", encoding="utf-8")
    with pytest.raises(FieldcastError, match=r"scores\.json cannot be read"):
        write_report(tmp_path)


def test_a_network_of_207_sensors_stays_small(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes, rows, models = 207, 400, 4
    sample = Sample(
        time=np.datetime64("2024-01-01", "ns") + np.arange(rows) * np.timedelta64(5, "m"),
        truth=rng.normal(60, 9, (rows, nodes, 1)).astype(np.float32),
        forecast=rng.normal(60, 9, (models, 2, rows, nodes, 1)).astype(np.float32),
        steps=(3, 12),
        models=tuple("abcd"),
        nodes=tuple(f"sensor {node}" for node in range(nodes)),
        targets=("speed",),
    )
    assert len(script_json(pack_sample(sample))) < 2_100_000


def unpacked(block: dict[str, str], length: int) -> np.ndarray:
    """What the page's script makes of a packed block: rows of one series each."""
    import base64

    parts = {key: base64.b64decode(text) for key, text in block.items()}
    numbers = np.frombuffer(parts["numbers"], "<u2").reshape(-1, length)
    low, step = (np.frombuffer(parts[key], "<f4").astype(float)[:, None] for key in ("low", "step"))
    return np.where(numbers == 65535, np.nan, low + step * numbers)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5),
    st.integers(1, 3),
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=40),
)
def test_a_packed_series_comes_back_to_a_hair(rows: int, nodes: int, pool: list[float | None]) -> None:
    values = np.resize(np.array([np.nan if value is None else value for value in pool]), (rows, nodes, 1))
    sample = Sample(
        time=np.datetime64("2024-01-01", "ns") + np.arange(rows) * np.timedelta64(1, "h"),
        truth=values.astype(np.float32),
        forecast=np.zeros((1, 1, rows, nodes, 1), dtype=np.float32),
        steps=(1,),
        models=("m",),
        nodes=tuple(map(str, range(nodes))),
        targets=("t",),
    )
    back = unpacked(pack_sample(sample)["truth"], rows)
    wanted = sample.truth[..., 0].T.astype(float)
    assert np.array_equal(np.isnan(back), np.isnan(wanted))
    spread = np.nan_to_num(wanted).max() - np.nan_to_num(wanted).min()
    assert np.nanmax(np.abs(back - wanted), initial=0) <= spread / 65533 + 1e-6 * np.nanmax(np.abs(wanted), initial=1)


@settings(deadline=None)
@given(st.recursive(st.text() | st.integers() | st.booleans(), lambda inner: st.lists(inner), max_leaves=8))
def test_json_in_a_script_element_cannot_leave_it(value: object) -> None:
    text = script_json(value)
    assert json.loads(text) == value and not set("<>&\u2028") & set(text)


def test_numbers_are_shortened_and_what_is_no_number_is_null() -> None:
    assert rounded({"a": [1.23456789, float("nan"), float("inf"), 3.0, 7, None, "x", True]}) == {
        "a": [1.2346, None, None, 3, 7, None, "x", True]
    }
    assert [decimals(size) for size in (0.5, 1, 10, 1000)] == [4, 3, 2, 1]
