"""All stages together beside each toy: one forecaster that trains, saves, loads, compacts, exports and predicts."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fieldcast.core.context import Batch
from fieldcast.core.registry import BACKBONES, STAGES
from fieldcast.forecaster import create, export, load, predict, save
from tests.children import environment
from tests.contracts import checks, fresh
from tests.contracts.cases import Sizes, Subject, close_gates, train_steps, training_error
from tests.reference.hard_mask import hard_masked_forecast

STACK = ("sensor_gate", "enhancer", "read_out", "node_adapter")
OFF = [0, 2]
KEPT = [1, 3, 4]
TOYS = ("grid_skip", "gated_branches")
COMPOSED = [Subject(name, STACK) for name in ("dcrnn", *TOYS, "lstm", "stid", "window_mean")]
NODES = [subject for subject in COMPOSED if not subject.on_grid]


@pytest.mark.parametrize("subject", COMPOSED, ids=str)
def test_trains_saves_loads_predicts(subject: Subject, tmp_path: Path) -> None:
    windows = subject.windows(Sizes())
    forecaster = subject.build(stirred=False)
    close_gates(forecaster, OFF)
    before = training_error(forecaster, windows)
    train_steps(forecaster, windows, 15)
    assert training_error(forecaster, windows) < before
    loaded = load(save(forecaster, tmp_path / "saved"))
    first, second = (predict(model, windows.readings, "all") for model in (forecaster, loaded))
    assert first.values.shape == (120 - 6 + 1, 3, 5, 1)
    assert (first.values == second.values).all()
    assert loaded.before[0].open.tolist() == [0, 1, 0, 1, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize("subject", COMPOSED, ids=str)
def test_keeps_the_contracts(subject: Subject) -> None:
    checks.ignores_what_was_not_observed(subject)
    checks.keeps_samples_apart(subject)
    checks.never_sees_the_targets(subject)
    checks.takes_odd_sizes(subject, Sizes(3, 4, 9, 2, 1))


@pytest.mark.parametrize("subject", [s for s in COMPOSED if s.cls.trainable], ids=str)  # type: ignore[attr-defined]
def test_gradients_reach_every_parameter(subject: Subject) -> None:
    checks.trains_every_parameter(subject)


@pytest.mark.parametrize("subject", COMPOSED, ids=str)
def test_a_sensor_that_is_off_is_never_seen(subject: Subject) -> None:
    forecaster, batch = subject.build(), subject.batch()
    close_gates(forecaster, OFF)
    expected = forecaster.forecast(batch)
    x, observed = batch.x.clone(), batch.observed.clone()
    x[:, :, OFF], observed[:, :, OFF] = 1e4, ~observed[:, :, OFF]
    assert torch.equal(forecaster.forecast(dataclasses.replace(batch, x=x, observed=observed)), expected)


@pytest.mark.parametrize("stages", [STACK, ("read_out", "node_adapter")], ids="+".join)
def test_a_sensor_that_a_compacted_model_does_not_read_is_never_seen(stages: tuple[str, ...]) -> None:
    subject = Subject("stid", stages)
    compact, batch = subject.build().renode(KEPT, keep_outputs=True), subject.batch()
    x, observed = batch.x.clone(), batch.observed.clone()
    x[:, :, OFF], observed[:, :, OFF] = 1e4, ~observed[:, :, OFF]
    other = dataclasses.replace(batch, x=x, observed=observed)
    assert torch.equal(compact.forecast(other), compact.forecast(batch))


@pytest.mark.parametrize("subject", NODES, ids=str)
def test_compaction_of_inputs_equals_hard_masking(subject: Subject) -> None:
    forecaster, batch = subject.build(), subject.batch()
    close_gates(forecaster, OFF)
    compact = forecaster.renode(KEPT, keep_outputs=True)
    assert compact.form.nodes == forecaster.form.nodes and compact.inputs.tolist() == KEPT
    actual = compact.forecast(batch)
    assert checks.close(actual, hard_masked_forecast(forecaster, batch, KEPT, keep_outputs=True))
    if not subject.cls.needs_graph:  # type: ignore[attr-defined]
        # Nothing flows along edges here, so gates of zero remove a sensor altogether.
        assert checks.close(actual, forecaster.forecast(batch))


@pytest.mark.parametrize("scaler", ["channel", "node"])
def test_gates_of_zero_equal_compaction_where_nodes_do_not_mix(scaler: str) -> None:
    subject, sizes = Subject("lstm", ("sensor_gate", "read_out")), Sizes(scaler=scaler)
    forecaster, batch = subject.build(sizes), subject.batch(sizes)
    close_gates(forecaster, OFF)
    compact = forecaster.renode([4, 1, 3], keep_outputs=True)
    assert checks.close(compact.forecast(batch), forecaster.forecast(batch))
    assert sum(p.numel() for p in compact.parameters()) < sum(p.numel() for p in forecaster.parameters())


@pytest.mark.parametrize("subject", NODES, ids=str)
def test_a_compacted_model_saves_predicts_and_compacts_again(subject: Subject, tmp_path: Path) -> None:
    forecaster, batch = subject.build(), subject.batch(count=5)
    close_gates(forecaster, OFF)
    compact = forecaster.renode(KEPT, keep_outputs=True)
    expected = compact.forecast(batch)
    loaded = load(save(compact, tmp_path / "saved"))
    assert loaded.inputs.tolist() == KEPT and torch.equal(loaded.forecast(batch), expected)
    readings = subject.windows(Sizes()).readings
    only = readings.select(nodes=[readings.nodes[i] for i in KEPT])  # absent switched-off sensors are no news
    assert (predict(compact, only, "all").values == predict(compact, readings, "all").values).all()
    smaller = compact.renode([2, 0], keep_outputs=True)
    assert smaller.inputs.tolist() == [4, 1]
    close_gates(forecaster, [0, 2, 3])
    assert checks.close(smaller.forecast(batch), hard_masked_forecast(forecaster, batch, [1, 4], keep_outputs=True))
    checks.refused(compact.renode, [0], match="keep_outputs")


def test_kept_outputs_in_another_order_are_read_in_that_order() -> None:
    subject = Subject("stid", ("read_out",))
    forecaster, batch = subject.build(), subject.batch()
    assert checks.close(
        forecaster.renode([3, 0, 4, 2, 1], keep_outputs=True).forecast(batch), forecaster.forecast(batch)
    )


@pytest.mark.parametrize("subject", COMPOSED[:4], ids=str)
def test_exports(subject: Subject) -> None:
    checks.exports(subject)


def test_a_compacted_model_exports() -> None:
    subject = Subject("dcrnn", STACK)
    compact, batch = subject.build().renode(KEPT, keep_outputs=True), subject.batch(count=5)
    program = export(compact).module()
    assert checks.close(program(batch.x, batch.observed, batch.calendar), compact.forecast(batch))


@pytest.mark.parametrize("name", ["stid", "dcrnn", *TOYS])
def test_a_new_adapter_and_open_gates_change_no_bit(name: str) -> None:
    base, adapted = Subject(name), Subject(name, ("sensor_gate", "node_adapter"))
    plain, batch = base.build(stirred=False), base.batch()
    other = adapted.build(stirred=False)
    other.backbone.load_state_dict(plain.backbone.state_dict())
    assert torch.equal(other.forecast(batch), plain.forecast(batch))


def test_scheduled_sampling_reads_the_teacher_and_the_progress() -> None:
    subject = Subject("dcrnn", hyper=(("sampling_decay", 10.0),))
    forecaster, windows = subject.build(), subject.windows(Sizes())
    batch = Batch.of(windows.batch(windows.starts("train")[:4]))
    x, ctx = forecaster.train().prepare(batch, teacher=True)
    assert ctx.teacher is not None and torch.isfinite(ctx.teacher).all()
    assert ctx.teacher_observed is not None and not ctx.teacher_observed.all()
    assert torch.equal(ctx.teacher_observed, batch.y_observed)  # type: ignore[arg-type]

    def forecast(step: int, teacher: torch.Tensor | None) -> torch.Tensor:
        torch.manual_seed(0)
        forecaster.progress.step = step
        with torch.no_grad():
            return forecaster(x, dataclasses.replace(ctx, teacher=teacher))

    early, late, without = forecast(0, ctx.teacher), forecast(10_000, ctx.teacher), forecast(0, None)
    assert not checks.close(early, without) and checks.close(late, without, 1e-6)
    assert torch.equal(early[:, 0], without[:, 0])


def test_a_teacher_is_given_only_to_those_that_ask() -> None:
    subject = Subject("stid")
    assert subject.build().prepare(subject.batch(), teacher=True)[1].teacher is None


def test_saved_forecasters_open_in_a_fresh_process_bit_for_bit(tmp_path: Path) -> None:
    subjects = [Subject(name) for name in BACKBONES.names()]
    subjects += [Subject("stid", (name,)) for name in STAGES.names()] + COMPOSED
    for subject in subjects:
        fresh.keep(subject.build(), subject.batch(), tmp_path / str(subject))
    for subject in NODES:
        fresh.keep(subject.build().renode(KEPT, keep_outputs=True), subject.batch(), tmp_path / f"compact {subject}")
    command = [sys.executable, "-m", "tests.contracts.fresh", str(tmp_path)]
    run = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(run.stdout.splitlines()[-1]) == {folder.name: "" for folder in sorted(tmp_path.iterdir())}


def test_stages_compose_in_any_order_they_are_given() -> None:
    sizes, batch = Sizes(), Subject("stid").batch()
    windows = Subject("stid").windows(sizes)
    one = create("stid", windows, [STAGES.get(name)() for name in STACK], seed=1).eval()  # type: ignore[arg-type]
    two = create("stid", windows, [STAGES.get(name)() for name in reversed(STACK)], seed=1).eval()  # type: ignore[arg-type]
    assert [type(stage) for stage in one.between] == [type(stage) for stage in two.between]
    assert one.forecast(batch).shape == two.forecast(batch).shape
