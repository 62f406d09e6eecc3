"""The exported graph takes raw readings and gives real units."""

from __future__ import annotations

import dataclasses
import io

import pytest
import torch

from fieldcast.backbones.lstm import LSTM
from fieldcast.core.context import Batch
from fieldcast.data.windows import Windows
from fieldcast.forecaster import create, export
from tests.contracts.cases import Sizes, Subject, tiny_windows
from tests.contracts.checks import close, refused


def test_a_written_program_is_read_back_and_masks_by_itself() -> None:
    subject = Subject("stid")
    forecaster, batch = subject.build().train(), subject.batch(count=3)
    buffer = io.BytesIO()
    torch.export.save(export(forecaster), buffer)
    assert forecaster.training, "exporting leaves the mode alone"
    program = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    expected = forecaster.eval().forecast(batch)
    for unseen in (float("nan"), 1e30):
        x = torch.where(batch.observed, batch.x, unseen)
        assert close(program(x, batch.observed, batch.calendar), expected)
    blind = dataclasses.replace(batch, observed=torch.zeros_like(batch.observed))
    assert close(program(blind.x, blind.observed, blind.calendar), forecaster.forecast(blind))


def test_with_channels_known_ahead() -> None:
    tiny = tiny_windows(Sizes())
    windows = Windows(tiny.readings, 6, 3, channels=("channel0", "channel1"), targets=["channel0"], future=["channel1"])
    forecaster = create("lstm", windows, seed=0).eval()
    batch = Batch.of(windows.batch(windows.starts("test")[:5]))
    program = export(forecaster).module()
    assert close(program(batch.x, batch.observed, batch.calendar, batch.future), forecaster.forecast(batch))


def test_what_cannot_be_exported_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LSTM, "exportable", False)
    assert "saved folder" in refused(export, Subject("lstm").build(), match="LSTM cannot be exported")
