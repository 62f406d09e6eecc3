"""Every command on a tiny file: what it prints, what it leaves, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fieldcast._version import __version__
from fieldcast.cli.__main__ import COMMANDS
from fieldcast.training import fitting
from tests.cli.common import TINY, fieldcast, refused
from tests.tiny import write_csv


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tiny.csv`` and a run over it."""
    folder = tmp_path_factory.mktemp("cli")
    write_csv(folder / "tiny.csv")
    ran = fieldcast(
        "train", "--data", folder / "tiny.csv", *TINY, "--seeds", 0, 1, "--backbone.width", 4, "--out", folder / "run"
    )
    assert ran.code == 0, ran.err
    (folder / "said.txt").write_text(ran.out)
    (folder / "meanwhile.txt").write_text(ran.err)
    return folder


# Commands


def test_help_names_every_command() -> None:
    for words in ((), ("--help",), ("-h",)):
        ran = fieldcast(*words)
        assert ran.code == 0 and ran.err == "" and all(f"  {name} " in ran.out for name in COMMANDS)
    assert fieldcast("--version").out == f"fieldcast {__version__}\n"


@pytest.mark.parametrize("words", [["data", "describe"], *([name] for name in COMMANDS)], ids=" ".join)
def test_each_command_has_help(words: list[str]) -> None:
    ran = fieldcast(*words, "--help")
    assert ran.code == 0 and ran.err == "" and f"fieldcast {words[0]}" in ran.out
    assert (
        "null" not in ran.out.replace("null-rule", "") and "ITEM" not in ran.out and "--backbone CONFIG" not in ran.out
    )


def test_help_of_train_shows_names_as_they_are_typed() -> None:
    text = fieldcast("train", "--help", "--backbone", "lstm").out
    for name in (
        "--data",
        "--max-epochs",
        "--learning-rate",
        "--backbone.input-width",
        "--seeds",
        "--resume",
        "--fill-gap",
    ):
        assert name in text
    assert "--max_epochs" not in text and "Passes over the training windows at most" in text


def test_data_describe(place: Path) -> None:
    ran = fieldcast("data", "describe", place / "tiny.csv")
    assert ran.code == 0 and "tiny: 240 rows x 3 nodes every 1h" in ran.out and ran.err == ""
    summary = json.loads(fieldcast("data", "describe", place / "tiny.csv", "--json").out)
    assert (summary["rows"], summary["nodes"], summary["frequency"]) == (240, 3, "1h")


def test_train_prints_a_table_and_leaves_a_run(place: Path) -> None:
    said, meanwhile = (place / "said.txt").read_text(), (place / "meanwhile.txt").read_text()
    lines = said.splitlines()
    assert "4 -> 2 steps" in lines[0] and "seeds 0, 1" in lines[0]
    assert [line.split()[0] for line in lines if line.startswith(("stid", "last_value", "window_mean"))] == [
        "stid", "last_value", "window_mean",
    ]  # fmt: skip
    assert lines[-1] == f"saved in {place / 'run'}" and "±" in said
    assert "stid seed 0: 1 epochs" in meanwhile and "\r" not in meanwhile, "no progress bar without a terminal"
    assert (place / "run" / "seed1" / "model.safetensors").exists()


@pytest.mark.parametrize("backbone", ["agcrn", "graph_wavenet", "dcrnn"])
def test_backbones_train_with_their_defaults(place: Path, tmp_path: Path, backbone: str) -> None:
    """Nothing but the data, a graph where one is needed, and how long to train."""
    words = ["--data", place / "tiny.csv", "--backbone", backbone, "--max-epochs", 1, "--out", tmp_path / "run"]
    words += [] if backbone == "agcrn" else ["--graph", "correlation:2"]
    ran = fieldcast("train", *words, "--quiet", "--json", "--baselines", "last_value")
    assert ran.code == 0, ran.err
    model = json.loads(ran.out)["models"][0]
    assert model["name"] == backbone and model["summary"]["mean"]["channels"]["value"]["mean"]["mae"] < 20


def test_adapt_tunes_a_run(place: Path, tmp_path: Path) -> None:
    options = ["--out", str(tmp_path / "lora"), "--st-lora.rank", "2", "--max-epochs", "1", "--quiet", "--json"]
    ran = fieldcast("adapt", str(place / "run"), *options)
    assert ran.code == 0 and ran.err == ""
    assert [model["name"] for model in json.loads(ran.out)["models"]][:2] == ["stid + st_lora", "stid"]
    assert (tmp_path / "lora" / "adapter_model.safetensors").exists()
    trained = yaml.safe_load((place / "run" / "config.yaml").read_text())
    ran = fieldcast("adapt", "--quiet", "--st-lora.rank", 2, "--out", tmp_path / "last", place / "run")
    tuned = yaml.safe_load((tmp_path / "last" / "config.yaml").read_text())
    assert ran.code == 0 and tuned["max_epochs"] == trained["max_epochs"] == 1, "the run may stand last"
    (tmp_path / "last" / "seed1" / "training.json").unlink()
    ran = fieldcast("train", "--resume", "--quiet", "--out", tmp_path / "last")
    assert ran.code == 0 and (tmp_path / "last" / "seed1" / "training.json").exists(), ran.err
    assert "leave --backbone out" in refused(
        "train", "--config", tmp_path / "last" / "config.yaml", "--backbone", "lstm", "--out", tmp_path / "x"
    )
    assert "goes with --new-sensors" in refused("adapt", place / "run", "--graph", "nearest:2", "--out", tmp_path / "x")
    assert "leave --method, --mode and settings of it out" in refused(
        "adapt", place / "run", "--new-sensors", "x.csv", "--st-lora.rank", 1, "--out", tmp_path / "x"
    )
    shown = fieldcast("adapt", "--help")
    assert "--st-lora.node-mode" in shown.out and "finetune" in shown.out


def test_train_with_stages(place: Path, tmp_path: Path) -> None:
    words = ["train", "--data", str(place / "tiny.csv"), *map(str, TINY), "--quiet", "--stages", "st_lora"]
    ran = fieldcast(*words, "--out", str(tmp_path / "a"), "--st-lora.recipe", "paper", "--st-lora.rank", "2")
    assert ran.code == 0 and ran.err == "", ran.err
    told = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())
    assert told["stages"]["st_lora"]["fusion"] == "gate" and told["stages"]["st_lora"]["rank"] == 2
    assert told["weight_decay"] == 5e-4 and told["max_epochs"] == 1
    again = fieldcast("train", "--config", str(tmp_path / "a" / "config.yaml"), "--out", str(tmp_path / "b"), "--quiet")
    assert again.code == 0, again.err
    assert yaml.safe_load((tmp_path / "b" / "config.yaml").read_text()) == told
    assert "no stage 'st_lra' (did you mean 'st_lora'?)" in refused(*words[:-1], "st_lra", "--out", tmp_path / "c")


def test_evaluate_gives_the_scores_again(place: Path, tmp_path: Path) -> None:
    again = fieldcast("evaluate", place / "run", "--out", tmp_path / "scores")
    assert again.code == 0
    assert again.out.splitlines() == (place / "said.txt").read_text().splitlines()[:-2]
    assert (tmp_path / "scores" / "scores.json").exists()
    board = json.loads(fieldcast("evaluate", place / "run", "--part", "validation", "--json").out)
    assert board["protocol"]["part"] == "validation"
    board = json.loads(fieldcast("evaluate", place / "run", "--split", "rows 0:100 100:120 120:240", "--json").out)
    assert board["protocol"]["windows"]["test"] == 115


def test_reading_options_without_other_readings_are_not_ignored(place: Path) -> None:
    ran = fieldcast("evaluate", place / "run", "--fill-gap", "3")
    assert ran.code == 2 and "--fill-gap says how to read other readings: give them with --data" in ran.err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_writes_a_labelled_table(place: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"f.{ending}"
    ran = fieldcast("predict", place / "run", "--data", place / "tiny.csv", "--out", out)
    assert ran.code == 0 and f"written to {out} (6 rows)" in ran.out
    frame = pd.read_parquet(out) if ending == "parquet" else pd.read_csv(out, parse_dates=["origin", "time"])
    assert (frame["origin"] == pd.Timestamp("2024-01-10 23:00")).all()
    assert frame["time"].unique().tolist() == [pd.Timestamp("2024-01-11 00:00"), pd.Timestamp("2024-01-11 01:00")]
    assert set(frame["node"]) == {"s0", "s1", "s2"} and np.isfinite(frame["value"]).all()


def test_predict_from_many_origins(place: Path, tmp_path: Path) -> None:
    words = ["predict", place / "run", "--data", place / "tiny.csv", "--out", tmp_path / "f.csv", "--json"]
    assert json.loads(fieldcast(*words, "--origins", "2024-01-05T00:00", "2024-01-06 03:00").out)["origins"] == 2
    assert json.loads(fieldcast(*words, "--origins", "all").out)["origins"] == 237


def test_predict_says_which_sensors_are_absent(place: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "fewer.csv", nodes=2)
    words = ["predict", place / "run", "--data", tmp_path / "fewer.csv", "--out", tmp_path / "f.csv"]
    ran = fieldcast(*words)
    assert ran.code == 0 and ran.err == "note: fewer lacks 1 of 3 sensors, first 's2': they count as unobserved.\n"
    assert fieldcast(*words, "--quiet").err == ""
    write_csv(tmp_path / "more.csv", nodes=4)
    assert "does not know, first 's3'" in refused("predict", place / "run", "--data", tmp_path / "more.csv")


def test_models() -> None:
    ran = fieldcast("models")
    assert ran.code == 0 and "stid" in ran.out and "117868" in ran.out
    assert {each["name"] for each in json.loads(fieldcast("models", "--json").out)} >= {"stid", "lstm", "last_value"}


def test_report(place: Path, tmp_path: Path) -> None:
    ran = fieldcast("report", place / "run", "--out", tmp_path / "page.html")
    assert ran.code == 0 and str(tmp_path / "page.html") in ran.out
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")[:300]


def test_resume_goes_on(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "train",
        "--data",
        place / "tiny.csv",
        *TINY,
        "--seeds",
        0,
        1,
        "--backbone.width",
        4,
        "--out",
        tmp_path / "run",
    ]

    def stop(*_: object, **named: object) -> None:
        if named.get("seed") == 1:
            raise KeyboardInterrupt
        return original(*_, **named)

    with monkeypatch.context() as patch:
        original = fitting.fit
        patch.setattr(fitting, "fit", stop)
        ran = fieldcast(*words)
    assert (
        ran.code == 130
        and ran.err.splitlines()[-1]
        == "fieldcast: interrupted; training goes on with: fieldcast train --resume --out FOLDER"
    )
    assert "already holds a run" in refused(*words)
    assert "is not finished" in refused("predict", tmp_path / "run", "--data", place / "tiny.csv")
    ran = fieldcast("train", "--resume", "--out", tmp_path / "run")
    assert ran.code == 0 and "seed 1: 1 epochs" in ran.err and "seed 0: " not in ran.err
    assert ran.out.replace(str(tmp_path), "") == (place / "said.txt").read_text().replace(str(place), "")
    assert fieldcast(*words, "--resume").out == ran.out, "the settings may be given again"
    assert "begun with another 'lookback'" in refused("train", "--resume", "--out", tmp_path / "run", "--lookback", 5)
    assert "--data is needed" in refused("train", "--resume", "--out", tmp_path / "absent")


def test_predict_reads_as_the_run_did(tmp_path: Path) -> None:
    zone = ["--timezone", "America/New_York", "--fill-gap", 2]
    write_csv(tmp_path / "tiny.csv", start="2024-01-20")
    words = ["--data", tmp_path / "tiny.csv"]
    assert fieldcast("train", *words, *zone, *TINY, "--backbone.width", 2, "--out", tmp_path / "run").code == 0
    lines = (tmp_path / "tiny.csv").read_text().splitlines(keepends=True)
    (tmp_path / "gap.csv").write_text("".join(lines[:-2] + lines[-1:]))
    ran = fieldcast("predict", tmp_path / "run", "--data", tmp_path / "gap.csv", "--out", tmp_path / "f.csv")
    assert ran.code == 0, ran.err
    frame = pd.read_csv(tmp_path / "f.csv")
    assert frame["origin"][0] == "2024-01-30 04:00:00" and frame["local_time"][0] == "2024-01-30 00:00:00"
    assert "from 2024-01-29T23:00 America/New_York" in ran.out
    first = ran.out.splitlines()[2]
    assert first.split()[:3] == ["2024-01-29", "23:00:00", "1"] and "2024-01-30 00:00:00" in first
    assert "local_time" not in ran.out and "--fill-gap" in fieldcast("predict", "--help").out
    assert "a gap" in refused("predict", tmp_path / "run", "--data", tmp_path / "gap.csv", "--fill-gap", 0)


def test_a_file_that_cannot_be_written_is_one_line(place: Path, tmp_path: Path) -> None:
    under = place / "tiny.csv" / "under"
    words = ["predict", place / "run", "--data", place / "tiny.csv", "--out"]
    assert refused(*words, under / "f.csv").startswith(f"fieldcast: {place / 'tiny.csv'}")
    assert "Not a directory" in refused("report", place / "run", "--out", under / "r.html")
    (tmp_path / "f.csv").mkdir()
    assert refused(*words, tmp_path / "f.csv").startswith(f"fieldcast: {tmp_path / 'f.csv'}: ")


def test_an_error_of_the_system_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldcast.workflows import describing

    def full() -> None:
        raise OSError(28, "No space left on device", "a.csv")

    monkeypatch.setattr(describing, "describe_models", full)
    assert refused("models") == "fieldcast: a.csv: No space left on device\n"


# Quiet and JSON


def test_quiet_prints_nothing(place: Path, tmp_path: Path) -> None:
    data = place / "tiny.csv"
    for words in (
        ["data", "describe", data],
        ["train", "--data", data, *TINY, "--out", tmp_path / "run"],
        ["evaluate", place / "run"],
        ["predict", place / "run", "--data", data, "--out", tmp_path / "f.csv"],
        ["models"],
        ["compare", place / "run"],
        ["report", place / "run", "--out", tmp_path / "r.html"],
    ):
        ran = fieldcast(*words, "--quiet")
        assert (ran.code, ran.out, ran.err) == (0, "", ""), words


def test_json_is_all_that_stands_on_stdout(place: Path, tmp_path: Path) -> None:
    data = place / "tiny.csv"
    for words in (
        ["data", "describe", data],
        ["train", "--data", data, *TINY, "--out", tmp_path / "run"],
        ["evaluate", place / "run"],
        ["predict", place / "run", "--data", data, "--out", tmp_path / "f.csv"],
        ["models"],
        ["compare", place / "run"],
        ["report", place / "run", "--out", tmp_path / "r.html"],
    ):
        ran = fieldcast(*words, "--json")
        assert ran.code == 0 and ran.out.count("\n") == 1, words
        assert isinstance(json.loads(ran.out, parse_constant=pytest.fail), (dict, list)), words
        again = [tmp_path / "again" if word == tmp_path / "run" else word for word in words]
        quiet = fieldcast(*again, "--json", "--quiet")
        assert quiet.err == "" and json.loads(quiet.out), words


# Options


def test_dashes_and_underscores_are_the_same(place: Path, tmp_path: Path) -> None:
    words = [str(word).replace("-", "_") if str(word).startswith("--") else word for word in TINY]
    words = [f"--{word[2:]}" if str(word).startswith("__") else word for word in words]
    assert "--max_epochs" in words
    assert (
        fieldcast(
            "train", "--data", place / "tiny.csv", *words, "--backbone.calendar_inputs=false", "--out", tmp_path / "a"
        ).code
        == 0
    )
    hyper = json.loads((tmp_path / "a" / "seed0" / "config.json").read_text())["backbone"]["hyper"]
    assert hyper["calendar_inputs"] is False


def test_lists_are_words_side_by_side_or_json(place: Path, tmp_path: Path) -> None:
    for number, words in enumerate((["--seeds", 3, 1], ["--seeds", "[3, 1]"], ["--seeds=[3,1]"])):
        out = tmp_path / f"r{number}"
        assert (
            fieldcast("train", "--data", place / "tiny.csv", *TINY, "--milestones", 1, 2, *words, "--out", out).code
            == 0
        )
        assert sorted(each.name for each in out.glob("seed*")) == ["seed1", "seed3"]


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(5, 1, (120, 2, 2)).astype(np.float32)
    time = np.datetime64("2024-01-01", "s") + np.arange(120) * np.timedelta64(3600, "s")
    (tmp_path / "7").mkdir()
    np.savez(
        tmp_path / "7" / "data.npz",
        values=values,
        timestamps=time,
        node_ids=np.array(["1", "2"]),
        channels=np.array(["1", "2.5"]),
    )
    ran = fieldcast(
        "train", "--data", tmp_path / "7", *TINY, "--channels", "1", "2.5", "--targets", "2.5", "--out", tmp_path / "8"
    )
    assert ran.code == 0, ran.err
    assert "2.5, scored on" in ran.out


def test_a_file_without_a_time_column(tmp_path: Path) -> None:
    pd.DataFrame(np.arange(300.0).reshape(100, 3), columns=["a", "b", "c"]).to_csv(tmp_path / "bare.csv", index=False)
    ran = fieldcast(
        "data", "describe", tmp_path / "bare.csv", "--start", "2024-01-01", "--frequency", "5min", "--null-rule", "none"
    )
    assert ran.code == 0 and "every 5min" in ran.out and "2024-01-01T00:00" in ran.out, ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "did you mean 'train'"),
        (["data"], "use data describe"),
        (["data", "describ"], "did you mean 'describe'"),
        (["data", "describe"], "data is needed"),
        (["data", "describe", "tiny.cvs"], "did you mean 'tiny.csv'"),
        (["data", "describe", "tiny.csv", "extra"], "extra"),
        (["data", "describe", "tiny.csv", "--frequncy", "1h"], "did you mean '--frequency'"),
        (["data", "describe", "tiny.csv", "--fill-gap", "many"], "--fill-gap does not fit: 'many' is not a"),
        (["data", "describe", "tiny.csv", "--format", "cvs"], "there is no format 'cvs'"),
        (["data", "describe", "tiny.csv", "--unordered", "shuffle"], "'shuffle' is none of refuse, sort"),
        (["train"], "--data is needed"),
        (["train", "--data", "tiny.csv"], "--out is needed"),
        (["train", "--data", "tiny.cvs", "--out", "x"], "did you mean 'tiny.csv'"),
        (["train", "--data", "tiny.csv", "--out", "x", "--backbone", "stdi"], "did you mean 'stid'"),
        (["train", "--data", "tiny.csv", "--out", "x", "--backbone", "os.system"], "there is no backbone 'os.system'"),
        (["train", "--data", "tiny.csv", "--out", "x", "--backbone"], "--backbone needs a value"),
        (["train", "--data", "tiny.csv", "--out", "x", "--backbone.widht", "4"], "did you mean '--backbone.width'"),
        (["train", "--data", "tiny.csv", "--out", "x", "--backbone.width", "wide"], "'wide' is not a whole number"),
        (["train", "--data", "tiny.csv", "--out", "x", "--max-epochs", "1.5"], "--max-epochs does not fit"),
        (["train", "--data", "tiny.csv", "--out", "x", "--train-share", "0.9"], "'[0.9]' is not 2 values"),
        (["train", "--data", "tiny.csv", "--out", "x", "--max-epochs", "0"], "give a positive number"),
        (["train", "--data", "tiny.csv", "--out", "x", "--max-epoch", "3"], "did you mean '--max-epochs'"),
        (["train", "--data", "tiny.csv", "--out", "x", "--seeds", "one"], "'one' is not a whole number"),
        (["train", "--data", "tiny.csv", "--out", "x", "--seeds", "0", "0"], "each once"),
        (["train", "--data", "tiny.csv", "--out", "x", "--seeds"], "needs at least one value"),
        (["train", "--data", "tiny.csv", "--out", "x", "--optimizer", "sgd"], "'sgd' is none of adam, adamw"),
        (["train", "--data", "tiny.csv", "--out", "x", "--learning-rate", "fast"], "'fast' is not a number"),
        (["train", "--data", "tiny.csv", "--out", "x", "--targets", "valeu"], "did you mean 'value'"),
        (["train", "--data", "tiny.csv", "--out", "x", "--channels", "speed"], "has no channel 'speed'"),
        (["train", "--data", "tiny.csv", "--out", "x", "--split", "tail"], "there is no split 'tail'"),
        (["train", "--data", "tiny.csv", "--out", "x", "--baselines", "stid"], "has to be trained"),
        (["train", "--data", "tiny.csv", "--out", "x", "--plugin", "mine.py"], "there is no Python file mine.py"),
        (["train", "stray", "--data", "tiny.csv", "--out", "x"], "stray"),
        (["train", "--data", "tiny.csv", "--out", "run"], "already holds a run"),
        (["train", "--data", "tiny.csv", "--out", "tiny.csv"], "is a file"),
        (["evaluate"], "run is needed"),
        (["evaluate", "nowhere"], "nowhere"),
        (["evaluate", "run", "--part", "tset"], "'tset' is none of train, validation, test"),
        (["predict", "run"], "--data is needed"),
        (["predict", "nowhere", "--data", "tiny.csv"], "there is no saved forecaster at nowhere"),
        (["predict", "run", "--data", "tiny.csv", "--out", "f.xlsx"], "end the name in .parquet or .csv"),
        (["predict", "run", "--data", "tiny.csv", "--origins", "soon"], "'soon' is no date"),
        (["predict", "run", "--data", "tiny.csv", "--origins", "2031"], "no row at 2031"),
        (["models", "--jsno"], "did you mean '--json'"),
        (["compare"], "at least one"),
        (["compare", "run", "nowhere"], "nowhere"),
        (["compare", "run", "--target", "speed"], "there is no target 'speed'"),
        (["report", "nowhere"], "nowhere"),
        (["demo", "--seed", "x"], "'x' is not a whole number"),
        (["demo", "--out", "run"], "holds no demo"),
    ],
    ids=lambda value: " ".join(value)[:70] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str], said: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = sorted(each.name for each in place.iterdir())
    assert said in refused(*words)
    assert sorted(each.name for each in place.iterdir()) == before, "nothing is left behind"
