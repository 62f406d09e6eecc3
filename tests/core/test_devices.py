"""Where to work, with a GPU and without."""

from __future__ import annotations

import pytest
import torch

from fieldcast.core.devices import device
from fieldcast.errors import FieldcastError


def test_the_device_of_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (device(), device("gpu"), device("cpu")) == ("cuda", "cuda", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (device(), device("cpu")) == ("cpu", "cpu")
    with pytest.raises(FieldcastError, match="no GPU of CUDA on this machine"):
        device("gpu")
