"""A configuration file holds settings and never code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.common import TINY, fieldcast, refused
from tests.tiny import write_csv

SETTINGS = {
    "lookback": 4, "horizon": 2, "max_epochs": 1, "batch_size": 128, "accelerator": "cpu", "baselines": ["last_value"],
    "backbone": {"name": "stid", "width": 4}, "seeds": [2],
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with data and a module that leaves a mark when anything imports it."""
    write_csv(tmp_path / "tiny.csv")
    (tmp_path / "canary.py").write_text(
        "from pathlib import Path\nPath('sung').write_text('')\ndef sing(*_, **__): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def write(table: Any, name: str = "c.yaml") -> str:
    Path(name).write_text(table if isinstance(table, str) else yaml.safe_dump(table))
    return name


def saved(out: str) -> dict[str, Any]:
    return yaml.safe_load(Path(out, "config.yaml").read_text())


def test_a_recipe_is_what_is_not_given(place: Path) -> None:
    """The command line comes before it; the run's configuration holds what it was."""
    words = ["--data", "tiny.csv", *TINY, "--backbone", "agcrn", "--backbone.width", 4, "--recipe", "official"]
    assert fieldcast("train", *words, "--out", "a").code == 0
    found = saved("a")
    assert (found["learning_rate"], found["clip_norm"], found["patience"]) == (3e-3, 0.0, 15)
    assert (found["batch_size"], found["max_epochs"]) == (128, 1), "given on the command line"
    assert found["backbone"]["calendar_inputs"] is False and found["backbone"]["width"] == 4
    assert "did you mean 'official'" in refused("train", *words[:-1], "oficial", "--out", "b")
    assert "it has none" in refused("train", "--data", "tiny.csv", "--recipe", "official", "--out", "b")


def test_the_config_of_a_run_is_the_run_again(place: Path) -> None:
    words = [
        "--data",
        "tiny.csv",
        *TINY,
        "--backbone",
        "lstm",
        "--backbone.width",
        4,
        "--seeds",
        3,
        "--milestones",
        2,
        5,
    ]
    assert fieldcast("train", *words, "--out", "a").code == 0
    assert fieldcast("train", "--config", "a/config.yaml", "--out", "b").code == 0
    assert saved("a") == saved("b")
    weights = "seed3/model.safetensors"
    assert Path("a", weights).read_bytes() == Path("b", weights).read_bytes()


def test_the_command_line_overrides_the_file(place: Path) -> None:
    write({**SETTINGS, "data": "absent.csv"})
    ran = fieldcast(
        "train",
        "--config",
        "c.yaml",
        "--data",
        "tiny.csv",
        "--seeds",
        5,
        "--horizon=3",
        "--backbone.width",
        6,
        "--out",
        "a",
    )
    assert ran.code == 0, ran.err
    config = saved("a")
    assert config["data"] == str(place / "tiny.csv"), "a run can be moved"
    assert config["seeds"] == [5] and config["horizon"] == 3 and config["lookback"] == 4
    assert config["backbone"]["width"] == 6 and config["max_epochs"] == 1


def test_another_backbone_takes_none_of_the_settings_of_the_first(place: Path) -> None:
    write({**SETTINGS, "data": "tiny.csv", "backbone": {"name": "lstm", "end_width": 9}})
    assert fieldcast("train", "--config", "c.yaml", "--backbone", "stid", "--out", "a").code == 0
    assert saved("a")["backbone"]["name"] == "stid" and "end_width" not in saved("a")["backbone"]
    assert fieldcast("train", "--config", "c.yaml", "--backbone", "lstm", "--out", "b").code == 0
    assert saved("b")["backbone"]["end_width"] == 9, "the same one keeps them"


def test_a_name_alone_and_dashes(place: Path) -> None:
    write({"data": "tiny.csv", **SETTINGS, "backbone": "lstm"})
    assert fieldcast("train", "--config", "c.yaml", "--backbone.width", 3, "--out", "a").code == 0
    assert saved("a")["backbone"]["name"] == "lstm" and saved("a")["backbone"]["width"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_path": "canary.sing"}, "no setting 'class_path'"),
        ({"canary.sing": 1}, "no setting 'canary.sing'"),
        ({"backbone": {"class_path": "canary.sing"}}, "no setting 'backbone.class_path'"),
        ({"backbone": {"class_path": "canary.sing", "init_args": {"x": 1}}}, "no setting 'backbone.class_path'"),
        ({"backbone": {"name": "canary.sing"}}, "there is no backbone 'canary.sing'"),
        ({"backbone": "canary.sing"}, "there is no backbone 'canary.sing'"),
        ({"backbone": "canary"}, "there is no backbone 'canary'"),
        ({"backbone": ["canary"]}, "neither a name nor settings"),
        ({"backbone": {"width": {"class_path": "canary.sing"}}}, "--backbone.width"),
        ({"backbone.class_path": "canary.sing"}, "no setting 'backbone.class_path'"),
        ({"baselines": ["canary.sing"]}, "there is no backbone 'canary.sing'"),
        ({"baselines": [{"class_path": "canary.sing"}]}, "--baselines"),
        ({"data": {"class_path": "canary.sing"}}, "no setting 'data.class_path'"),
        ({"plugin": "canary.py"}, "cannot set 'plugin'"),
        ({"config": "c.yaml"}, "cannot set 'config'"),
        ({"out": "somewhere"}, "cannot set 'out'"),
        ({"max_epoch": 3}, "did you mean 'max_epochs'"),
        ({"max_epochs": "many"}, "'many' is not a whole number"),
        ({"channels": "value"}, "--channels"),
        ({"optimizer": "sgd"}, "none of adam, adamw"),
        ({"resume": "maybe"}, "--resume"),
    ],
    ids=str,
)
def test_what_does_not_belong_is_refused_without_an_import(change: dict[str, Any], said: str, place: Path) -> None:
    write({"data": "tiny.csv", **SETTINGS, **change})
    assert said in refused("train", "--config", "c.yaml", "--out", "a")
    assert not Path("sung").exists() and "canary" not in sys.modules and not Path("a").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!python/object/apply:canary.sing []", "is not valid YAML"),
        ("data: !!python/name:canary.sing", "is not valid YAML"),
        ("data: [1", "is not valid YAML"),
        ("- 1\n- 2\n", "holds no settings"),
        ("", "holds no settings"),
        ("3: 4", "holds no settings"),
    ],
)
def test_what_is_no_table_is_refused(text: str, said: str, place: Path) -> None:
    write(text)
    assert said in refused("train", "--config", "c.yaml", "--out", "a")
    assert not Path("sung").exists()


def test_an_absent_file_is_told(place: Path) -> None:
    assert "there is no configuration file" in refused("train", "--config", "absent.yaml", "--out", "a")
    assert "--config needs a value" in refused("train", "--config", "--out", "a")


def test_a_plugin_from_the_command_line_trains(place: Path) -> None:
    from fieldcast.core.registry import BACKBONES
    from tests.workflows.test_plugins import SOURCE

    Path("mine.py").write_text(SOURCE)
    try:
        words = ["--data", "tiny.csv", *TINY, "--plugin", "mine.py", "--backbone", "plugged", "--backbone.width", 3]
        ran = fieldcast("train", *words, "--out", "a")
        assert ran.code == 0, ran.err
        assert "\nplugged " in ran.out and saved("a")["backbone"] == {"name": "plugged", "width": 3}
        assert "plugin" not in saved("a")
        BACKBONES._registered.pop("plugged")
        for words in (["predict", "a", "--data", "tiny.csv"], ["evaluate", "a"], ["train", "--resume", "--out", "a"]):
            assert "one of your own: give its file with --plugin, or in Python" in refused(*words)
            assert fieldcast(*words, "--plugin=mine.py").code == 0
            assert "--plugin" in fieldcast(words[0], "--help").out
            BACKBONES._registered.pop("plugged")
        assert "\nplugged " in fieldcast("models", "--plugin", "mine.py").out
        assert "there is no option --plugin" in refused("report", "a", "--plugin", "mine.py")
    finally:
        BACKBONES._registered.pop("plugged", None)
