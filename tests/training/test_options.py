"""What a training run may be told, and what it may not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fieldcast.errors import FieldcastError
from fieldcast.training import TrainingOptions


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_epochs": 0}, "max_epochs is 0: give a positive number"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"gamma": 0.0}, "gamma is 0.0"),
        ({"patience": -1}, "patience is -1: give zero or more"),
        ({"clip_norm": -0.1}, "clip_norm is -0.1"),
        ({"weight_decay": math.nan}, "weight_decay is nan"),
        ({"optimizer": "sgd"}, "choose adam, adamw"),
        ({"schedule": "linear"}, "choose constant, step, multistep, cosine"),
        ({"precision": "16"}, "choose 32, bf16"),
        ({"accelerator": "tpu"}, "choose auto, cpu, gpu"),
        ({"loss": "mape"}, "choose mae, mse, huber"),
        ({"huber_delta": 0.0}, "huber_delta is 0.0"),
    ],
)
def test_impossible_options_are_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FieldcastError, match=said):
        TrainingOptions(**settings)


def test_options_as_plain_data() -> None:
    table = TrainingOptions(milestones=(3, 4)).to_json()
    assert table["milestones"] == [3, 4] and table["optimizer"] == "adam"
