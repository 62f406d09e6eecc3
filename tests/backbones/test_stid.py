"""STID has the parameters of the specification and says what its equations say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from tests.backbones.common import arrays, forecast, inputs, parameters, spec, stirred
from tests.reference.stid import stid
from tests.tiny import tiny_readings


def test_parameters_of_the_specification() -> None:
    assert parameters("stid", spec(207)) == 117_868
    for nodes in (170, 307, 883):
        assert parameters("stid", spec(nodes)) == 117_868 + 32 * (nodes - 207)
    assert parameters("stid", spec(207), calendar_inputs=False) == 117_868 - 32 * 12 * 2


@pytest.mark.parametrize("calendar_inputs", [True, False])
@pytest.mark.parametrize(
    "form",
    [
        spec(3),
        spec(1, lookback=5, horizon=9, channels=3, targets=2),
        spec(4, lookback=7, horizon=2, channels=2, sizes=(1, 7, 366)),
    ],
    ids=["12 to 12", "5 to 9, two targets", "7 to 2, daily"],
)
def test_it_equals_the_plain_form(form, calendar_inputs: bool) -> None:
    backbone = stirred("stid", form, width=6, layers=2, calendar_inputs=calendar_inputs)
    x, ctx = inputs(form)
    expected = stid(
        arrays(backbone), x.numpy(), ctx.calendar.numpy(), form.calendar_sizes, form.horizon, calendar_inputs
    )
    with torch.no_grad():
        got = backbone(x, ctx).numpy()
    assert got.shape == (2, form.horizon, form.nodes, form.targets)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_a_day_that_training_never_saw_is_neutral() -> None:
    """Trained on a Monday, asked on a Tuesday: whatever the vectors of the days hold, they have no say."""
    windows = Windows(tiny_readings(rows=60), 6, 3, split="rows 0:20 20:30 30:60")
    assert windows.form.calendar.seen[1] == (0,)
    forecaster = create("stid", windows, seed=0).eval()
    batch = windows.batch(windows.starts("test"))
    assert (batch.calendar[:, 5, 1] == -1).all()
    before = forecast(forecaster, batch)
    with torch.no_grad():
        forecaster.backbone.day_embedding.weight += 1000.0
    assert np.array_equal(forecast(forecaster, batch), before)
    monday = windows.batch(windows.starts("train")[:1])
    assert np.abs(forecast(forecaster, monday)).max() > 100, "on a Monday they do"


def test_calendar_rows_start_at_zero() -> None:
    backbone = create("stid", Windows(tiny_readings(), 6, 3), seed=0).backbone
    assert not backbone.slot_embedding.weight.any() and not backbone.day_embedding.weight.any()
    assert backbone.node_embedding.std() > 0


@pytest.mark.parametrize(("setting", "value"), [("width", 0), ("layers", -1), ("dropout", 3), ("dropout", 1.0)])
def test_impossible_settings_are_told(setting: str, value: float) -> None:
    with pytest.raises(FieldcastError, match=f"{setting} is {value}: give a number of at least"):
        create("stid", Windows(tiny_readings(), 6, 3), **{setting: value})


def test_without_layers_it_is_linear_in_its_inputs() -> None:
    assert parameters("stid", spec(207), layers=0) == 117_868 - 3 * 2 * (128 * 128 + 128)
