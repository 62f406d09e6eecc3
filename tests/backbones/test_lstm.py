"""The LSTM has the parameters of the specification's table for every dataset and says what its equations say."""

from __future__ import annotations

import pytest
import torch

from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from tests.backbones.common import arrays, assert_equals, inputs, parameters, spec, stirred
from tests.reference.lstm import lstm
from tests.tiny import tiny_readings


@pytest.mark.parametrize("nodes", [207, 325, 358, 307, 883, 170, 716])
def test_parameters_of_the_specification(nodes: int) -> None:
    form = spec(nodes)
    assert parameters("lstm", form) == 97_932, "with time of day and day of week, C = 3"
    assert parameters("lstm", form, calendar_inputs=False) == 97_868


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_closed_form(channels: int) -> None:
    count = parameters("lstm", spec(channels=channels), calendar_inputs=False)
    assert count == 32 * channels + 32 + 25_088 + 33_280 + 33_280 + 6_156


@pytest.mark.parametrize("calendar_inputs", [True, False])
@pytest.mark.parametrize(
    ("form", "layers"),
    [(spec(3), 2), (spec(1, lookback=5, horizon=9, channels=3, targets=2), 1), (spec(4, lookback=7, horizon=2), 3)],
    ids=["12 to 12", "5 to 9, two targets", "7 to 2, three layers"],
)
def test_it_equals_the_plain_form(form, layers: int, calendar_inputs: bool) -> None:
    hyper = {"width": 5, "layers": layers, "input_width": 4, "end_width": 7, "calendar_inputs": calendar_inputs}
    backbone = stirred("lstm", form, **hyper)
    assert_equals(
        backbone, form,
        lambda x, ctx: lstm(
            arrays(backbone), x, ctx.calendar.numpy(), form.calendar_sizes, form.horizon, calendar_inputs
        ),
    )  # fmt: skip


def test_an_unseen_id_lies_in_the_middle() -> None:
    """The neutral id is neither the first nor the last slot of the day."""
    form = spec(2, lookback=4, horizon=2)
    backbone = stirred("lstm", form, width=4, input_width=3, end_width=5)
    x, ctx = inputs(form, neutral=False)

    def said(slot: int) -> torch.Tensor:
        ctx.calendar[..., 0] = slot
        with torch.no_grad():
            return backbone(x, ctx)

    assert torch.equal(said(-1), said(144)) and not torch.equal(said(-1), said(0))


def test_no_node_sees_another() -> None:
    form = spec(4, lookback=4, horizon=2)
    backbone = stirred("lstm", form, width=4, input_width=3, end_width=5)
    x, ctx = inputs(form)
    changed = x.clone()
    changed[:, :, 2] += 1
    with torch.no_grad():
        difference = (backbone(changed, ctx) - backbone(x, ctx)).abs().amax(dim=(0, 1, 3))
    assert difference[2] > 1e-6 and (difference[[0, 1, 3]] < 1e-14).all()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("width", 0), ("layers", 0), ("input_width", -2), ("end_width", 0), ("dropout", -0.1)],
)
def test_impossible_settings_are_told(setting: str, value: float) -> None:
    with pytest.raises(FieldcastError, match=f"{setting} is {value}: give a number of at least"):
        create("lstm", Windows(tiny_readings(), 6, 3), **{setting: value})
