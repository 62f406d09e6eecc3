"""The forecaster's units, its mask, and how it is made."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from fieldcast.backbones.stid import STID
from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Batch
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from tests.contracts.cases import Sizes, Subject, tiny_values, tiny_windows
from tests.contracts.checks import refused


def some(windows: Windows, count: int = 4) -> Batch:
    return Batch.of(windows.batch(windows.starts("test")[:count]))


@pytest.mark.parametrize("kind", ["channel", "global", "node", "none"])
def test_units_go_in_and_come_out(kind: str) -> None:
    windows = tiny_windows(Sizes(scaler=kind, targets=2, channels=3))
    forecaster, batch = create("last_value", windows).eval(), some(windows)
    x, ctx = forecaster.prepare(batch)
    scaled = windows.form.scaler.transform(batch.x.numpy())
    np.testing.assert_allclose(x[batch.observed], scaled[batch.observed.numpy()], rtol=1e-5, atol=1e-5)
    assert x[~batch.observed].eq(0).all() and torch.isfinite(x).all()
    assert torch.equal(ctx.history, x[..., :2]) and torch.equal(ctx.history_observed, batch.observed[..., :2])
    assert batch.y is not None
    np.testing.assert_allclose(forecaster.unscale(forecaster.rescale(batch.y)), batch.y, rtol=1e-5, atol=1e-4)
    # Repeating the last reading repeats it in its own units, whatever the scaler.
    last = np.full((4, 5, 2), np.nan)
    for step in range(6):
        reading = batch.x[:, step, :, :2].numpy()
        last = np.where(np.isnan(reading), last, reading)
    seen = ~np.isnan(last)
    np.testing.assert_allclose(forecaster.forecast(batch)[:, 0].numpy()[seen], last[seen], rtol=1e-4)


def test_zero_is_a_reading_and_missing_is_not() -> None:
    windows = tiny_windows(Sizes())
    forecaster, batch = create("stid", windows, seed=0).eval(), some(windows)
    zero = dataclasses.replace(batch, x=torch.zeros_like(batch.x), observed=torch.ones_like(batch.observed))
    missing = dataclasses.replace(zero, observed=torch.zeros_like(batch.observed))
    assert not torch.equal(forecaster.forecast(zero), forecaster.forecast(missing))
    assert forecaster.prepare(zero)[0].ne(0).all() and forecaster.prepare(missing)[0].eq(0).all()


def test_a_look_back_without_any_reading_gives_finite_forecasts() -> None:
    windows = tiny_windows(Sizes())
    batch = some(windows)
    nothing = dataclasses.replace(
        batch, x=torch.full_like(batch.x, torch.nan), observed=torch.zeros_like(batch.observed)
    )  # fmt: skip
    for name in ("last_value", "window_mean", "historical_inertia", "stid", "lstm", "ridge_var"):
        assert torch.isfinite(create(name, windows, seed=0).eval().forecast(nothing)).all()
    mean = windows.form.scaler.mean[0, 0]
    assert create("last_value", windows).eval().forecast(nothing).numpy() == pytest.approx(mean)


def test_what_is_known_ahead_reaches_the_context_scaled_and_finite() -> None:
    tiny = tiny_windows(Sizes(channels=2))
    windows = Windows(tiny.readings, 6, 3, channels=("channel0", "channel1"), targets=["channel0"], future=["channel1"])
    forecaster, batch = create("stid", windows, seed=0).eval(), some(windows)
    assert batch.future is not None and batch.future.shape == (4, 3, 5, 1) and torch.isnan(batch.future).any()
    future = forecaster.prepare(batch)[1].future
    assert future is not None and torch.isfinite(future).all()
    known = ~torch.isnan(batch.future)
    expected = (batch.future - windows.form.scaler.mean[0, 1]) / windows.form.scaler.scale[0, 1]
    assert torch.allclose(future[known], expected[known], atol=1e-5) and future[~known].eq(0).all()


def test_forecast_takes_no_gradient_and_leaves_the_batch_alone() -> None:
    windows = tiny_windows(Sizes())
    forecaster, batch = create("lstm", windows, seed=0).eval(), some(windows)
    before = batch.x.clone()
    assert not forecaster.forecast(batch).requires_grad
    assert torch.equal(before.nan_to_num(-1), batch.x.nan_to_num(-1))


def test_a_seed_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    create("stid", tiny_windows(Sizes()), seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_an_unknown_name_or_hyper_parameter_is_named() -> None:
    windows = tiny_windows(Sizes())
    assert "did you mean 'stid'" in refused(create, "stdi", windows)
    assert "widht" in refused(create, "stid", windows, widht=3, match="the backbone STID cannot be made")
    refused(create, nn.Linear, windows, match="no backbone")
    refused(create, "ridge_var", windows, order=0, match="order 0")


def test_a_type_error_inside_a_model_is_no_users_mistake() -> None:
    class Faulty(Backbone):
        def __init__(self, spec):  # type: ignore[no-untyped-def]
            super().__init__(spec)
            self.width = len(3)  # type: ignore[arg-type]

        def encode(self, x, ctx): ...  # type: ignore[override]

        def head(self, h): ...  # type: ignore[override]

    with pytest.raises(TypeError, match="has no len") as caught:
        create(Faulty, tiny_windows(Sizes()))
    assert not isinstance(caught.value, FieldcastError)


@pytest.mark.parametrize("what", ["graph", "grid", "coordinates"])
def test_what_a_model_needs_and_the_data_lack_is_named(what: str) -> None:
    needy = type("Needy", (type(Subject("stid").build().backbone),), {f"needs_{what}": True})
    form = dataclasses.replace(tiny_windows(Sizes()).form, coordinates=None, grid=None)
    refused(create, needy, form, match=f"the backbone Needy needs (a )?{what}, which")


def test_something_that_is_no_stage_is_refused() -> None:
    refused(create, "stid", tiny_windows(Sizes()), [nn.Identity()], match="Identity is no stage")


@pytest.mark.parametrize("index", [[], [0, 0], [5], [-2], [0.5], [[0]]])
def test_nodes_that_cannot_be_chosen(index: list[int]) -> None:
    refused(Subject("stid").build().renode, index)


def test_growth_is_named_in_a_sentence() -> None:
    forecaster = Subject("stid").build()
    refused(forecaster.renode, [0, -1], names=["a", "b"], match="1 new nodes and 2 names")
    refused(forecaster.renode, [0, -1], names=["node0"], match="name of another")
    refused(forecaster.renode, [0, -1], fill="median", match="mean or zero")
    refused(forecaster.renode, [0, -1], keep_outputs=True, match="keep_outputs")
    assert forecaster.renode([-1, 0, -1]).form.nodes == ("new0", "node0", "new1")


def test_renode_leaves_the_old_model_and_the_generator_alone() -> None:
    forecaster = Subject("stid").build()
    before = {name: tensor.clone() for name, tensor in forecaster.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    forecaster.train().progress.step = 7
    new = forecaster.renode([1, 0])
    assert torch.equal(torch.rand(1), expected)
    assert new.training and new.progress.step == 7
    with torch.no_grad():
        for parameter in new.parameters():
            parameter += 1
    assert all(torch.equal(before[name], tensor) for name, tensor in forecaster.state_dict().items())


def test_values_are_never_scaled_by_what_training_did_not_see() -> None:
    sizes = Sizes()
    windows = tiny_windows(sizes)
    first, stop = windows.split.train_rows
    values = tiny_values(sizes)[first:stop]
    np.testing.assert_allclose(windows.form.scaler.mean[0], np.nanmean(values, axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(windows.form.scaler.scale[0], np.nanstd(values, axis=(0, 1)), rtol=1e-5)


def test_renode_keeps_frozen_what_was_frozen() -> None:
    forecaster = create("stid", tiny_windows(Sizes(nodes=2)), seed=0)
    for parameter in forecaster.backbone.blocks.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    after = forecaster.renode([1, 0])
    frozen = {name for name, parameter in after.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, parameter in forecaster.named_parameters() if not parameter.requires_grad} != set()


def test_a_backbone_that_reads_nothing_known_ahead_refuses_it() -> None:
    class Deaf(STID):
        uses_future = False

    rows = Readings.from_array(tiny_values(Sizes()), start="2024-01-01", frequency="6h", channels=["a", "b"])
    windows = Windows(rows, 6, 3, channels=["a", "b"], targets=["a"], future=["b"])
    refused(create, Deaf, windows, match="does not read channels known ahead")
    assert create("stid", windows).backbone.uses_future
