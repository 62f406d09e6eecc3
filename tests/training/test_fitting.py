"""What training promises: the best weights, fair selection, settings that act, one sentence when it fails."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fieldcast.core.context import Batch
from fieldcast.core.seeding import seeded
from fieldcast.core.task import Forecasting
from fieldcast.data.loader import WindowLoader
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.errors import Diverged, FieldcastError
from fieldcast.forecaster import Forecaster, create, make_stage
from fieldcast.training.fitting import CHECKPOINT, fit
from tests.tiny import tiny_readings, tiny_values, tiny_windows
from tests.training.common import RUN, Curious, at_moment, same_bits, state, train, windows, without_seconds

PLAIN = dataclasses.replace(RUN, schedule="constant")


def selection(forecaster: Forecaster, data: Windows) -> float:
    """MAE in scaled units: mean over the observed cells of each step and channel, then over steps, then channels."""
    errors = []
    for batch in WindowLoader(data, "validation", 1000):
        scale = forecaster.form.scaler.channels(forecaster.form.target_index).scale
        error = np.abs(forecaster.forecast(Batch.of(batch)).numpy() - batch.y) / scale
        errors.append(np.nanmean(error, axis=(0, 2)))
    return float(np.mean(errors))


def test_the_loss_falls_and_the_best_weights_stay() -> None:
    options = dataclasses.replace(PLAIN, max_epochs=12, learning_rate=0.05, clip_norm=0.0)
    forecaster, history = train(None, options)
    assert history.rows[-1]["train_loss"] < 0.8 * history.rows[0]["train_loss"]
    scores = [row["selection"] for row in history.rows]
    assert history.best_score == min(scores) and history.best_epoch == scores.index(min(scores)) < 11
    assert not forecaster.training
    assert selection(forecaster, windows()) == pytest.approx(history.best_score, rel=1e-5)


def test_training_stops_when_patience_ends() -> None:
    history = train(None, dataclasses.replace(PLAIN, patience=3, max_epochs=60, learning_rate=0.3))[1]
    assert len(history.rows) == history.best_epoch + 1 + 3 < 60
    history = train(None, dataclasses.replace(PLAIN, patience=0, max_epochs=9, learning_rate=0.3))[1]
    assert len(history.rows) == 9, "no patience, no stop"


@pytest.mark.parametrize("which", [0, 1])
def test_the_unit_of_a_target_changes_nothing(which: int) -> None:
    """Loss and selection run in scaled units: grams or kilograms (here a power of two, so that the bits stay)."""
    results = []
    for unit in (1.0, 1024.0):
        values = tiny_values(240, 3, 2, missing=0.1)
        values[..., which] *= unit
        data = tiny_windows(readings=tiny_readings(values=values), channels=["c0", "c1"], targets=["c0", "c1"])
        forecaster = create("stid", data, seed=0, width=4)
        results.append((fit(forecaster, data, PLAIN, seed=1), forecaster))
    (plain, first), (scaled, second) = results
    assert [row["selection"] for row in plain.rows] == [row["selection"] for row in scaled.rows]
    assert [row["train_loss"] for row in plain.rows] == [row["train_loss"] for row in scaled.rows]
    assert same_bits(first, second)
    name = f"validation_mae_c{which}"
    assert scaled.rows[0][name] == pytest.approx(1024 * plain.rows[0][name]), "but people read their own unit"


def test_a_target_of_a_thousand_times_the_size_weighs_alike() -> None:
    values = tiny_values(240, 2, 2)
    values[..., 1] *= 1000
    data = tiny_windows(readings=tiny_readings(values=values), channels=["c0", "c1"], targets=["c0", "c1"])
    forecaster = create("stid", data, seed=0, width=4)
    history = fit(forecaster, data, PLAIN)
    row = history.rows[history.best_epoch]
    scale = data.form.scaler.scale[0]
    assert history.best_score == pytest.approx(
        (row["validation_mae_c0"] / scale[0] + row["validation_mae_c1"] / scale[1]) / 2
    )


def test_missing_cells_have_no_say() -> None:
    """Whatever stands where nothing was observed, the run is the same run."""
    runs = []
    for rubbish in (np.nan, 1e6):
        values = tiny_values(240, 3, 1, missing=0.3)
        observed = ~np.isnan(values)
        readings = Readings.from_array(
            np.where(observed, values, rubbish), start="2024-01-01", frequency="1h", observed=observed, channels=["c0"]
        )
        data = Windows(readings, 6, 3)
        forecaster = create("stid", data, seed=0, width=4)
        fit(forecaster, data, dataclasses.replace(PLAIN, max_epochs=2))
        runs.append(forecaster)
    assert same_bits(*runs)
    assert all(torch.isfinite(each).all() for each in runs[0].state_dict().values())


# Settings


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1, 1, 1]),
        ({"schedule": "step", "step_size": 2, "gamma": 0.5}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"schedule": "multistep", "milestones": (1, 4), "gamma": 0.1}, [1, 0.1, 0.1, 0.1, 0.01, 0.01]),
        ({"schedule": "cosine"}, [(1 + math.cos(math.pi * epoch / 6)) / 2 for epoch in range(6)]),
    ],
    ids=lambda value: value.get("schedule") if isinstance(value, dict) else "",
)
def test_schedules(settings: dict[str, Any], rates: list[float]) -> None:
    history = train(None, dataclasses.replace(PLAIN, max_epochs=6, learning_rate=0.01, **settings))[1]
    assert [row["learning_rate"] for row in history.rows] == pytest.approx([0.01 * rate for rate in rates])


@pytest.mark.parametrize("settings", [{"loss": "mse"}, {"loss": "huber", "huber_delta": 0.5}, {"optimizer": "adamw"}])
def test_other_losses_and_optimisers_train(settings: dict[str, Any]) -> None:
    forecaster, history = train(None, dataclasses.replace(PLAIN, weight_decay=0.1, **settings))
    assert math.isfinite(history.best_score) and not same_bits(forecaster, train(None, PLAIN)[0])


def test_bf16_keeps_float32_weights() -> None:
    forecaster, history = train(None, dataclasses.replace(PLAIN, precision="bf16", max_epochs=6))
    plain = train(None, dataclasses.replace(PLAIN, max_epochs=6))[1]
    assert all(each.dtype == torch.float32 for each in forecaster.parameters())
    assert history.best_score == pytest.approx(plain.best_score, rel=0.2) and history.best_score != plain.best_score


def test_frozen_parameters_stay() -> None:
    data = windows()
    forecaster = create(Curious, data, seed=0)
    for parameter in forecaster.backbone.input.parameters():
        parameter.requires_grad_(False)
    before = state(forecaster)
    fit(forecaster, data, PLAIN)
    moved = {name for name, tensor in forecaster.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"backbone.output.weight", "backbone.output.bias"}


def test_everything_frozen_is_told() -> None:
    data = windows()
    forecaster = create(Curious, data, seed=0).requires_grad_(False)
    with pytest.raises(FieldcastError, match="unfreeze a part of it"):
        fit(forecaster, data, PLAIN)


def test_a_solved_backbone_is_solved() -> None:
    data = windows()
    forecaster = create("ridge_var", data)
    history = fit(forecaster, data, PLAIN)
    assert history.rows == [] and history.best_epoch == -1 and math.isnan(history.best_score)
    assert forecaster.backbone.coefficients.any() and not forecaster.training


def test_seeds_decide() -> None:
    data = windows()

    def run(made: int, seed: int) -> Forecaster:
        forecaster = create("stid", data, seed=made, width=4)
        fit(forecaster, data, dataclasses.replace(PLAIN, max_epochs=1), seed=seed)
        return forecaster

    assert same_bits(run(0, 0), run(0, 0))
    assert not same_bits(run(0, 0), run(0, 1)) and not same_bits(run(0, 0), run(1, 0))


# Failures


def test_a_loss_that_explodes_is_told_in_one_sentence_and_the_best_weights_stay() -> None:
    class Bomb(Forecasting):
        def errors(self, model: Any, x: Any, ctx: Any, y: Any, observed: Any) -> Any:
            total, count = super().errors(model, x, ctx, y, observed)
            return (total * math.nan if ctx.progress.step >= 14 else total), count

    data = windows()
    forecaster = create(Curious, data, seed=0)
    with pytest.raises(FieldcastError, match=r"is not finite at step 14 \(epoch 2\)") as caught:
        fit(forecaster, data, PLAIN, task=Bomb())
    assert "\n" not in str(caught.value)
    assert all(torch.isfinite(each).all() for each in forecaster.state_dict().values()), (
        "the best weights so far are kept"
    )
    assert not forecaster.training


def test_the_checkpoint_stays_that_of_the_last_good_step(tmp_path: Path) -> None:
    """A state whose loss is no good is never saved: the last good one can be looked at or gone on from."""

    class Bomb(Forecasting):
        def errors(self, model: Any, x: Any, ctx: Any, y: Any, observed: Any) -> Any:
            total, count = super().errors(model, x, ctx, y, observed)
            return (total * 1e9 if ctx.progress.step >= 15 else total), count

    forecaster = create(Curious, windows(), seed=0)
    with pytest.raises(Diverged, match=r"having begun at .* at step 15 \(epoch 2\)") as caught:
        fit(forecaster, windows(), dataclasses.replace(PLAIN, save_every=2), task=Bomb(), folder=tmp_path)
    assert caught.value.best_epoch in (0, 1)
    checkpoint = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert checkpoint["global_step"] == 14
    assert all(torch.isfinite(each).all() for each in checkpoint["state_dict"].values())


def test_a_learning_rate_that_is_far_too_large_is_told() -> None:
    with pytest.raises(FieldcastError, match="lower the learning rate"):
        train(None, dataclasses.replace(PLAIN, learning_rate=1e20, clip_norm=0.0, loss="mse"))


def test_a_validation_part_without_readings_is_told() -> None:
    values = tiny_values(240, 2, 1)
    values[160:195] = np.nan
    data = tiny_windows(readings=tiny_readings(values=values))
    with pytest.raises(FieldcastError, match="no epoch had a finite validation score"):
        fit(create("stid", data, seed=0, width=4), data, dataclasses.replace(PLAIN, max_epochs=1))


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX systems")
def test_an_interrupt_is_handed_on_and_the_run_can_go_on(tmp_path: Path) -> None:
    found = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has it ignored
    undo = at_moment("step:9", lambda: signal.raise_signal(signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, RUN)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "a second Ctrl-C must work as the first"
    finally:
        undo()
        signal.signal(signal.SIGINT, found)
    assert same_bits(train(tmp_path, RUN, resume=True)[0], train(None, RUN)[0])


def test_weights_are_chosen_on_the_cells_that_are_scored() -> None:
    """With targets above a threshold scored, selection is the error over those alone."""
    plain = tiny_readings(missing=0.1)
    high = float(np.nanmedian(plain.values))
    data = Windows(plain.with_meta(scored_cells=f"cells with target > {high}"), 6, 3)
    forecaster = create(Curious, data, seed=0)
    history = fit(forecaster, data, dataclasses.replace(PLAIN, max_epochs=1))
    scale = forecaster.form.scaler.scale[0, 0]
    batch = data.batch(data.starts("validation"))
    error = np.abs(forecaster.forecast(Batch.of(batch)).numpy() - batch.y) / scale
    scored = batch.y_observed & (batch.y > high)
    expected = np.mean([error[:, step][scored[:, step]].mean() for step in range(3)])
    assert history.best_score == pytest.approx(expected, rel=1e-5)


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(FieldcastError, match=r"accelerator is 'gpu', .* choose auto or cpu"):
        train(None, dataclasses.replace(PLAIN, accelerator="gpu"))


def test_a_curriculum_must_reach_the_whole_horizon() -> None:
    data = windows()
    short = dataclasses.replace(PLAIN, max_epochs=5, curriculum=2, curriculum_after=1)
    with pytest.raises(FieldcastError, match=r"all 3 steps from epoch 5 on, and max_epochs is 5: give 6 or more"):
        fit(create("stid", data, seed=0), data, short)
    with pytest.raises(FieldcastError, match="curriculum_after is given without a curriculum"):
        dataclasses.replace(PLAIN, curriculum_after=1)


def test_patience_waits_for_the_curriculum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation over the whole horizon gets no better at first: training goes on until all steps had their turn."""
    data = windows()
    scores = iter([{"selection": float(score)} for score in range(20)])
    monkeypatch.setattr("fieldcast.training.module._ValidationSums.scores", lambda *_: next(scores))
    options = dataclasses.replace(PLAIN, max_epochs=12, patience=2, curriculum=2)
    history = fit(create("stid", data, seed=0), data, options)
    assert history.best_epoch == 0 and [row["epoch"] for row in history.rows][-1] == 5
    scores = iter([{"selection": float(score)} for score in range(20)])
    history = fit(create("stid", data, seed=0), data, dataclasses.replace(options, curriculum=0))
    assert [row["epoch"] for row in history.rows][-1] == 2


# Tuning what was trained before

WORSE = dataclasses.replace(RUN, learning_rate=5.0, clip_norm=0.0, schedule="constant")


def test_what_was_trained_before_is_not_made_worse() -> None:
    forecaster, data = train(None)[0], windows()
    before = state(forecaster)
    history = fit(forecaster, data, WORSE, tune=True)
    assert history.best_epoch == -1 and history.best_score == history.start_score
    assert all(row["selection"] > history.best_score for row in history.rows)
    assert all(torch.equal(tensor, before[name]) for name, tensor in forecaster.state_dict().items())
    assert fit(forecaster, data, WORSE).best_epoch >= 0, "without tune the best epoch is kept, however bad"


def test_the_score_of_the_start_is_that_of_the_epoch_that_it_comes_from() -> None:
    forecaster, first = train(None)
    history = fit(forecaster, windows(), RUN, seed=1, tune=True)
    assert history.start_score == pytest.approx(first.best_score, rel=1e-12)
    assert history.best_score <= history.start_score


def test_the_look_at_the_start_changes_no_bit_of_training() -> None:
    looked, alone = train(None, tune=True), train(None)
    assert without_seconds(looked[1].rows) == without_seconds(alone[1].rows)
    assert same_bits(looked[0], alone[0])


def test_a_solved_backbone_is_not_solved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = windows()
    forecaster = create("ridge_var", data, seed=0)
    fit(forecaster, data)
    before = state(forecaster)
    with seeded(0):
        forecaster.attach(make_stage("st_lora", {"rank": 1}), "x")  # type: ignore[arg-type]
    monkeypatch.setattr(type(forecaster.backbone), "fit_closed_form", lambda *_: pytest.fail("solved again"))
    fit(forecaster, data, RUN, tune=True)
    assert all(torch.equal(forecaster.state_dict()[name], tensor) for name, tensor in before.items())
