"""Settings in YAML and on the command line: taken as they are written,
or refused; nothing that they name is imported."""

from __future__ import annotations

import contextlib
import io
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from fieldcast.cli.__main__ import COMMANDS, main
from fieldcast.cli.parsing import read_config
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from fieldcast.workflows import running
from fieldcast.workflows.experiment_file import read_experiment
from fieldcast.workflows.options import RunOptions
from tests.cli.common import fieldcast, refused
from tests.hostile.common import ODD, attempt, harmed, sentence, some
from tests.tiny import write_csv

BASE: dict[str, Any] = {
    "data": "tiny.csv", "lookback": 4, "horizon": 2, "max_epochs": 1, "batch_size": 128, "accelerator": "cpu",
    "baselines": ["last_value"], "backbone": {"name": "stid", "width": 4}, "seeds": [0],
}  # fmt: skip
TEXT = yaml.safe_dump(BASE).encode()
NAMES = [
    "data", "format", "time_column", "start", "frequency", "timezone", "unordered", "repeated", "fill_gap",
    "null_rule", "scored_cells",
    "channels", "targets", "future", "lookback", "horizon", "split", "scaler", "stride", "train_share", "purge",
    "graph",
    "max_epochs", "batch_size",
    "learning_rate", "weight_decay", "optimizer", "schedule", "step_size", "milestones", "gamma", "clip_norm",
    "loss", "huber_delta",
    "patience", "precision", "accelerator", "save_every", "seeds", "baselines", "backbone", "resume", "quiet",
    "json", "plugin", "out",
    "config", "class_path", "canary.sing", "help", "",
]  # fmt: skip


class Begun(BaseException):
    """Training would begin now, with these options."""

    def __init__(self, options: RunOptions):
        super().__init__()
        self.options = options


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with data, a module that leaves a mark when it is imported,
    and a run that stops before training."""

    def begin(options: RunOptions, *_: Any, **__: Any) -> None:
        running.check_baselines(options.baselines)
        windows = options.windows.windows(options.readings.open(), beside=options.readings.data)
        create(options.backbone, windows, seed=options.seeds[0], **options.hyper)
        raise Begun(options)

    write_csv(tmp_path / "tiny.csv", rows=100)
    (tmp_path / "canary.py").write_text("from pathlib import Path\nPath('sung').touch()\ndef sing(*_, **__): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(running, "run", begin)
    return tmp_path


def train(*words: str) -> RunOptions | None:
    """The options with which training would begin, or None where the command refused in one line."""
    said, printed = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
            code = main(["train", *words, "--out", "out", "--quiet"])
    except Begun as begun:
        return begun.options
    except SystemExit:
        code = 0
    assert not Path("sung").exists() and "canary" not in sys.modules and not Path("out").exists()
    if code == 0:
        assert printed.getvalue().startswith("usage: ")
        return None
    line = said.getvalue()
    assert code == 2 and line.startswith("fieldcast: ") and line.endswith(".\n") and line.count("\n") == 1, line
    assert "Traceback" not in line and line[:-1].isprintable() and "<class" not in line, line
    return None


def same(written: Any, taken: Any) -> bool:
    """Whether a setting is what the file says; numbers may be written as text, and an empty list says nothing."""
    if isinstance(taken, list | tuple):
        return isinstance(written, list) and len(written) == len(taken) and all(map(same, written, taken))
    if isinstance(taken, int | float) and not isinstance(taken, bool):
        return not isinstance(written, bool) and math.isfinite(float(written)) and float(written) == taken
    return written == taken


@some(25)
@given(st.sampled_from(NAMES), ODD)
@example("horizon", None)
@example("scaler", None)
@example("seeds", None)
@example("baselines", None)
@example("seeds", [2**70])
@example("baselines", ["last_value", "last_value"])
@example("milestones", [5, 2])
@example("patience", -1)
@example("targets", ["nope"])
@example("future", ["value"])
@example("split", "windows-first " + "9" * 400 + ":1:1")
@example("gamma", 10**400)
@example("backbone", {"name": "stid", "width": {"class_path": "canary.sing"}})
@example("backbone", {"class_path": "canary.sing"})
@example("graph", "nearest:2")
def test_a_setting_is_taken_as_it_is_written_or_refused(place: Path, name: str, value: Any) -> None:
    Path("c.yaml").write_text(yaml.safe_dump({**BASE, name: value}, allow_unicode=True))
    options = train("--config", "c.yaml")
    if options is None or name in ("resume", "quiet", "json", "backbone"):
        return
    taken = options.to_json()[name]
    if name in ("data", "graph") and value:
        taken = value if taken == str(Path(value).absolute()) else taken
    assert same(value, taken) or (value is None and taken is None), (value, taken)


TEXTS = [
    b"!!python/object/apply:canary.sing []", b"data: !!python/name:canary.sing", b"data: !!python/module:canary",
    b"<<: 5", b"? [1]\n: 2",
    b"a: &a [*a]", b"data: *undefined", b"{" * 400, b"[" * 400, b"- " * 1200, b"data: !!int x",
    b"data: !!float x", b"data: !!bool x",
    b"data: !!timestamp x", b"data: 2012-13-45", b"lookback: " + b"9" * 5000, b"1: 2", b"\xff\xfe", b"\0", b"",
    b"--- 5", b"a: b: c",
    TEXT + b"---\n" + TEXT, TEXT + b"horizon: 3\n", b"seeds: &s [0, *s]\ndata: tiny.csv",
    TEXT.decode().encode("utf-16"),
]  # fmt: skip


@some(15)
@given(st.one_of(st.sampled_from(TEXTS), harmed(TEXT)))
@example(TEXTS[7])
@example(TEXTS[10])
@example(TEXTS[14])
@example(TEXTS[15])
@example(TEXT + b"horizon: 3\n")  # the last of two settings won
def test_a_file_that_is_no_settings_is_refused(place: Path, text: bytes) -> None:
    Path("c.yaml").write_bytes(text)
    options = train("--config", "c.yaml")
    if options is None:
        return
    lines = [line.partition(":")[0] for line in text.decode().splitlines() if line[:1].isalpha()]
    assert len(set(lines)) == len(lines), "no setting stands twice"
    written, taken = yaml.safe_load(text), options.to_json()
    for name in set(written) & set(taken) - {"data", "backbone", "graph"}:
        assert same(written[name], taken[name]) or written[name] == [], name


WORDS = ["0", "-1", "1.5", "1e0", "nan", "inf", "", " ", "x", "[", "[1]", "[[1]]", "{}", "null", "true", "2",
"99999999999999999999999", "a\nb",
         "\x1b[2J", "!!python/name:canary.sing", "canary.sing", "--", "-h", "=", "'", "1e400", "\u0662", "../x",
         "x" * 300]  # fmt: skip


@some(20)
@given(st.sampled_from(NAMES), st.lists(st.sampled_from(WORDS), max_size=2), st.booleans())
@example("resume", ["false"], True)  # was taken for yes
@example("horizon", [""], False)
@example("seeds", ["99999999999999999999999"], False)
def test_words_of_the_command_line(place: Path, name: str, values: list[str], joined: bool) -> None:
    if name in ("plugin", "out", "quiet"):
        return
    Path("c.yaml").write_bytes(TEXT)
    option = f"--{name.replace('_', '-')}"
    options = train("--config", "c.yaml", *([f"{option}={' '.join(values)}"] if joined else [option, *values]))
    if options is not None and name in ("lookback", "horizon", "batch_size", "stride", "purge", "max_epochs"):
        assert options.to_json()[name] == int(" ".join(values))


def test_settings_that_work_begin_a_run(place: Path) -> None:
    Path("c.yaml").write_bytes(TEXT)
    options = train("--config", "c.yaml", "--seeds", "1", "2", "--learning-rate", "1e-3", "--horizon", "3")
    assert (
        options is not None
        and options.seeds == (1, 2)
        and options.windows.horizon == 3
        and options.training.learning_rate == 0.001
    )
    Path("c.yaml").write_text(yaml.safe_dump({**BASE, "horizon": "3", "gamma": 1}))
    options = train("--config", "c.yaml")
    assert options is not None and options.windows.horizon == 3 and options.training.gamma == 1


def test_the_time_column_is_an_option(place: Path) -> None:
    lines = (place / "tiny.csv").read_text().splitlines()
    (place / "last.csv").write_text(
        "\n".join(",".join([*line.split(",")[1:], line.split(",")[0]]) for line in lines) + "\n"
    )
    said = refused("data", "describe", "last.csv")
    assert "give --time-column time" in said
    assert "100 rows x 3 nodes" in fieldcast("data", "describe", "last.csv", "--time-column", "time").out
    assert "has no time column 'tiem'" in refused("data", "describe", "last.csv", "--time-column", "tiem")
    options = train("--data", "last.csv", "--time-column", "time", "--lookback", "4", "--horizon", "2")
    assert options is not None and options.readings.time_column == "time"


KINDS = ["speed", "memory", "scale", "startup"]


@pytest.mark.parametrize(
    "words", [["data", "describe"], *[[name] for name in COMMANDS], *[["bench", kind] for kind in KINDS], ["train",
    "--backbone", "lstm"]],
    ids=" ".join,
)  # fmt: skip
def test_no_help_text_speaks_of_python_types(words: list[str]) -> None:
    text = fieldcast(*words, "--help").out
    for jargon in ("+ ", "Optional[", "Literal[", "[ITEM", "Union[", "type:", "list[", "null,", "CONFIG]]"):
        assert jargon not in text, [line for line in text.splitlines() if jargon in line]


def test_memory_that_does_not_suffice_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("c.yaml").write_bytes(TEXT)

    def too_much(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 48000000000 bytes.")

    monkeypatch.setattr(running, "run", too_much)
    assert train("--config", "c.yaml") is None
    assert "the memory of this machine does not suffice" in refused("train", "--config", "c.yaml", "--out", "out")


EXPERIMENT: dict[str, Any] = {
    "name": "tiny", "seeds": [0, 1], "datasets": [{"name": "a.csv", "windows": {"horizon": 2}}],
    "windows": {"lookback": 4, "channels": "all"},
    "training": {"max_epochs": 1}, "backbones": {"stid": {"width": 4, "training": {"learning_rate": 0.01}}},
    "baselines": ["last_value"],
    "published": [{"model": "A", "dataset": "a.csv", "horizon": 2, "average": "pooled", "MAE": 1.5,
    "source": "a paper"}],
}  # fmt: skip


def change(table: Any, path: list[Any], value: Any) -> Any:
    """A copy of plain data with another value at a path."""
    if not path:
        return value
    if isinstance(table, list):
        return [change(each, path[1:], value) if at == path[0] else each for at, each in enumerate(table)]
    return {**table, path[0]: change(table.get(path[0], {}), path[1:], value)}


PATHS: list[list[Any]] = [
    *[[key] for key in EXPERIMENT], ["datasets", 0], ["datasets", 0, "name"], ["datasets", 0, "windows"],
    ["datasets", 0, "windows", "horizon"],
    ["datasets", 0, "x"], ["seeds", 0], ["backbones", "stid"], ["backbones", "stid", "training"], ["backbones",
    "stid", "training", "x"],
    ["backbones", "stid", "training", "learning_rate"], ["training", "patience"], ["training", "class_path"],
    ["windows", "targets"],
    ["windows", "x"], ["baselines", 0], ["published", 0], ["published", 0, "MAE"], ["published", 0, "horizon"],
    ["published", 0, "average"],
]  # fmt: skip


@some(40)
@given(st.sampled_from(PATHS), ODD)
@example(["name"], "../x")  # results were written elsewhere
@example(["datasets"], 5)
@example(["seeds"], [2**63])
@example(["backbones"], {"canary.sing": {}})
def test_an_experiment_with_an_odd_value(place: Path, path: list[Any], value: Any) -> None:
    Path("x.yaml").write_text(yaml.safe_dump(change(EXPERIMENT, path, value), allow_unicode=True))
    described = attempt(lambda: read_experiment("x.yaml"), "")
    assert not Path("sung").exists() and "canary" not in sys.modules
    if described is not None:
        assert Path(f"{described.name}.jsonl").name == f"{described.name}.jsonl"
        assert all(job.seed >= 0 and isinstance(job.dataset, str) for job in described.jobs)
        assert all(math.isfinite(each) for one in described.published for each in one.figures.values())


@some(10)
@given(st.one_of(st.sampled_from(TEXTS), harmed(yaml.safe_dump(EXPERIMENT).encode())))
@example(TEXTS[7])
@example(TEXTS[14])
def test_a_harmed_experiment(place: Path, text: bytes) -> None:
    Path("x.yaml").write_bytes(text)
    attempt(lambda: read_experiment("x.yaml"))
    attempt(lambda: read_config("x.yaml"), "x.yaml")
    assert not Path("sung").exists()


def test_the_experiment_above_is_read(place: Path) -> None:
    Path("x.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    described = read_experiment("x.yaml")
    assert [(job.backbone, job.seed) for job in described.jobs] == [("last_value", 0), ("stid", 0), ("stid", 1)]
    with pytest.raises(FieldcastError) as caught:
        read_experiment("absent.yaml")
    sentence(caught.value, "absent.yaml")
