"""bench measures what it says: the counter's FLOPs by hand, ratios paired by round, memory of a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fieldcast.cli.__main__ import COMMANDS, main
from fieldcast.core.registry import BACKBONES
from fieldcast.errors import FieldcastError
from fieldcast.workflows import bench, plugins
from fieldcast.workflows.bench import memory, scale, speed
from fieldcast.workflows.bench.subject import Size, Subject, random_windows
from fieldcast.workflows.running import count_parameters
from tests.test_readme import blocks

SMALL = Size(nodes=6, batch_size=4)


@pytest.fixture(autouse=True)
def no_plugins_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "LOADED", [])
    monkeypatch.setattr(BACKBONES, "_registered", {})


def test_the_flops_of_a_linear_map_and_of_an_lstm_by_hand() -> None:
    """STID without layers, and the LSTM's 32, 64, 64 -> 512 -> H; two for each multiply-add."""
    rows = SMALL.nodes * SMALL.batch_size
    lstm = Subject("lstm", SMALL)
    steps = SMALL.lookback * rows
    recurrent = 2 * steps * 4 * 64 * ((32 + 64) + (64 + 64))
    channels = lstm.forecaster.backbone.start.in_features  # type: ignore[union-attr]
    ends = 2 * steps * channels * 32 + 2 * rows * (64 * 512 + 512 * SMALL.horizon)
    assert lstm.flops() == recurrent + ends


def test_a_step_trains_and_an_inference_does_not() -> None:
    subject = Subject("stid", SMALL)
    before = {name: tensor.clone() for name, tensor in subject.forecaster.state_dict().items()}
    subject.infer()
    assert all(tensor.equal(before[name]) for name, tensor in subject.forecaster.state_dict().items())
    subject.step()
    assert any(not tensor.equal(before[name]) for name, tensor in subject.forecaster.state_dict().items())


def test_every_backbone_that_is_trained_can_be_measured() -> None:
    assert {"stid", "lstm", "stgcn", "gcn_gru"} <= set(bench.trained_backbones())
    for name in bench.trained_backbones():
        subject = Subject(name, SMALL)
        subject.infer(), subject.step()
        assert subject.flops() > 0 and count_parameters(subject.forecaster) > 0


def test_a_backbone_may_bring_settings() -> None:
    wide, narrow = Subject("stid", SMALL), Subject("stid:width=8,layers=1,calendar_inputs=false", SMALL)
    assert narrow.name == "stid:width=8,layers=1,calendar_inputs=false"
    assert narrow.forecaster.backbone.hyper["calendar_inputs"] is False
    assert count_parameters(narrow.forecaster) < count_parameters(wide.forecaster)
    for wrong, said in (
        ("stid:width", "gives no setting"), ("stid:", "gives no setting"),
        ("stid:width=8,width=9", "gives width twice"),
        ("stid:width=abc", "takes no width 'abc': give a whole number"),
        ("stid:width=[", r"takes no width '\['"), ("stid:calendar_inputs=1", "give true or false"),
        ("dcrnn:sampling_decay=nan", "sampling_decay is nan"), ("stid:wdth=8", "unexpected keyword argument 'wdth'"),
    ):  # fmt: skip
        with pytest.raises(FieldcastError, match=said):
            Subject(wrong, SMALL)
    assert Subject("dcrnn:sampling_decay=2e3", SMALL).forecaster.backbone.hyper["sampling_decay"] == 2000


def test_ratios_are_paired_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slows down by ten between rounds changes no ratio."""
    clock = iter([1.0, 1.0, 1.0, 1.0, 2.0, 6.0, 4.0, 8.0, 20.0, 60.0, 40.0, 80.0, 200.0, 600.0, 400.0, 800.0])
    monkeypatch.setattr(speed, "milliseconds", lambda work, device: next(clock))
    monkeypatch.setattr(speed, "matmul_peak", lambda device: 100.0)
    found = bench.measure_speed(["stid", "lstm"], SMALL, rounds=3, warm_up=1, device="cpu")
    stid, lstm = found["backbones"]
    assert stid["inference"] == {
        "median": 20.0, "min": 2.0, "max": 200.0, "rounds": 3, "samples_per_second": 200.0, "ratio_to_first": 1.0,
        "percent_of_peak": pytest.approx(100 * stid["gflop"] / 20e-3 / 100, abs=0.1),
    }  # fmt: skip
    assert lstm["inference"]["ratio_to_first"] == 3.0 and lstm["step"]["ratio_to_first"] == 2.0
    assert lstm["step"]["percent_of_peak"] == pytest.approx(100 * 3 * lstm["gflop"] / 80e-3 / 100, abs=0.1)
    assert {"machine", "versions", "environment", "matmul_peak_gflops", "size"} <= set(found)


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own() -> None:
    found = bench.measure_memory(["stid", "lstm:width=4"], SMALL, device="cpu")
    row, without_blocks = found["backbones"]
    assert "recomputed" not in without_blocks
    for kind in ("inference", "step", "recomputed"):
        assert 50 < row[kind]["before_mb"] <= row[kind]["built_mb"] <= row[kind]["peak_mb"] < 4000
    json.dumps(found)


def test_a_backbone_of_ones_own_is_measured_in_a_process_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = next(block for block in blocks("python") if "my_linear.py" in block)
    (tmp_path / "my_linear.py").write_text(source)
    words = f"bench memory --plugin {tmp_path / 'my_linear.py'} --backbones my_linear --nodes 4 --batch-size 2 --json"
    assert main(words.split()) == 0
    (row,) = json.loads(capsys.readouterr().out)["backbones"]
    assert row["backbone"] == "my_linear" and row["step"]["peak_mb"] > 50


def test_exponents_and_a_size_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def quadratic(name: str, size: Size, kind: str, device: str, rounds: int) -> dict[str, Any]:
        if size.nodes > 400:
            return {"failed": "ended by signal 9 (9: out of memory)"}
        return {"milliseconds": {"median": 1e-3 * size.nodes**2}, "before_mb": 10.0, "peak_mb": 10.0 + size.nodes}

    monkeypatch.setattr(scale, "in_a_process", quadratic)
    (row,) = bench.measure_scale(["stid"], SMALL, [100, 200, 400, 800, 1600], device="cpu")["backbones"]
    assert row["time_exponent"] == 2.0 and row["memory_exponent"] == 1.0
    assert [point["nodes"] for point in row["points"]] == [100, 200, 400, 800] and "failed" in row["points"][-1]
    with pytest.raises(FieldcastError, match="give at least two"):
        bench.measure_scale(["stid"], SMALL, [100], device="cpu")


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(FieldcastError, match="no backbone 'stdi'"):
        memory.in_a_process("stdi", SMALL, "step", "cpu", rounds=1)
    found = memory.in_a_process("stid", SMALL, "step", "cpu", rounds=1, limit_seconds=0.01)
    assert "took more than" in found["failed"]


def test_the_windows_have_the_size_that_was_asked_for() -> None:
    windows = random_windows(Size(nodes=30, lookback=5, horizon=7, channels=2, batch_size=9))
    assert len(windows.starts("train")) >= 9 and windows.form.channels == ("c0", "c1")
    assert windows.graph is not None and windows.graph.nodes == 30
    assert random_windows(Size(nodes=30, batch_size=2), with_grid=True).form.grid == (5, 6)
    with pytest.raises(FieldcastError, match="nodes is 0"):
        Size(nodes=0)


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed.json"
    words = f"bench speed --backbones stid gcn_gru --nodes 5 --batch-size 2 --rounds 1 --device cpu --out {out}"
    assert main(words.split()) == 0
    table = capsys.readouterr().out
    assert "step ms" in table and "gcn_gru" in table and "% of peak" in table
    assert json.loads(out.read_text())["command"].startswith("fieldcast bench speed")
    for wrong, said in (
        ("bench", "needs a kind"), ("bench spede", "did you mean 'speed'"), ("bench speed --rounds 0", "--rounds is 0"),
        ("bench speed --backbones last_value", "no trained backbone 'last_value'"),
        ("bench speed --device tpu", "no device 'tpu'"), ("bench speed --threads 0", "--threads is 0"),
    ):  # fmt: skip
        assert main(wrong.split()) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_startup_of_every_command() -> None:
    found = bench.measure_startup(list(COMMANDS), rounds=1)["commands"]
    assert {"python", "import fieldcast", "fieldcast --help", "fieldcast bench --help"} <= set(found)
    assert all(a["min"] <= a["median"] <= a["max"] for a in found.values())
