"""What ST-LoRA adds: parameters by the specification's tables and formula, and the rank that a budget leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fieldcast.core.backbone import Backbone
from fieldcast.core.registry import BACKBONES
from fieldcast.core.spec import Spec
from fieldcast.errors import FieldcastError
from fieldcast.methods.st_lora import STLoRA
from tests.backbones.common import over_ring, spec
from tests.methods.st_lora.common import SIX


def count(form: Spec, **settings: Any) -> int:
    made = STLoRA(**settings)
    made.build(form)
    return sum(each.numel() for each in made.parameters())


@pytest.mark.parametrize(
    ("settings", "extra"),
    [
        ({}, 3_728), ({"rank": 4}, 2_116), ({"base_weight": "shared"}, 4_304),
        ({"base_weight": "shared", "rank": 4}, 2_692), ({"share_codes": False}, 11_096),
        ({"base_weight": "shared", "hidden": 32}, 9_924), ({"node_mode": "full_A"}, 118_776),
        ({"node_mode": "full_AB"}, 236_280), ({"node_mode": "shared", "base_weight": "shared"}, 1_848),
    ],
)  # fmt: skip
def test_parameters_of_the_specification(settings: dict[str, Any], extra: int) -> None:
    assert count(spec(307), **{"rank": 8, "clock": False, **settings}) == extra


@pytest.mark.parametrize(("nodes", "eight", "four"), [
    (207, 2_928, 1_716), (325, 3_872, 2_188), (358, 4_136, 2_320), (307, 3_728, 2_116), (883, 8_336, 4_420),
    (170, 2_632, 1_568),
])  # fmt: skip
def test_parameters_on_each_dataset(nodes: int, eight: int, four: int) -> None:
    assert tuple(count(spec(nodes), rank=rank, clock=False) for rank in (8, 4)) == (eight, four)


@pytest.mark.parametrize(
    ("backbone", "all_layers", "last_layer"),
    [
        ("lstm", 11_256, 6_648), ("stgcn", 5_624, 3_576), ("graph_wavenet", 12_792, 6_648), ("agcrn", 3_064, 3_064),
        ("staeformer", 17_144, 17_144), ("d2stgnn", 12_720, 6_576),
    ],
)  # fmt: skip
def test_parameters_inside_the_head(backbone: str, all_layers: int, last_layer: int) -> None:
    form = over_ring(spec(307))
    made = BACKBONES.get(backbone)(form)  # type: ignore[call-arg]
    assert isinstance(made, Backbone)
    sizes = {name: tuple(reversed(made.get_submodule(name).weight.shape)) for name in made.predictor_layers}
    inside = form.with_(predictor_layers=sizes)
    assert count(inside, rank=8, injection="predictor") == all_layers
    only = dict(list(sizes.items())[-1:])
    assert count(form.with_(predictor_layers=only), rank=8, injection="predictor") == last_layer


def test_the_formula() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, d, r, layers, m, h, t, o = (int(each) for each in rng.integers(1, 9, 8))
        one = (h * o + t * o) * d + d + layers * (2 * r * d + d) + d * h * o + h * o
        form = spec(n, lookback=t, horizon=h, channels=o, targets=o)
        assert count(form, rank=r, hidden=d, layers=layers, blocks=m, clock=False) == m * one + n * r
        assert count(form, rank=r, hidden=d, layers=layers, blocks=m) == m * (one + 10 * d) + n * r


def test_the_default_adds_less_than_four_per_cent_to_all_six() -> None:
    form = over_ring(spec(307))
    for backbone in SIX:
        made = BACKBONES.get(backbone)(form)  # type: ignore[call-arg]
        own = sum(each.numel() for each in made.parameters())
        adapter = STLoRA()
        adapter.build(form.with_(parameters=own))
        assert adapter.rank == adapter.hyper["rank"] == 8
        assert sum(each.numel() for each in adapter.parameters()) <= 0.04 * own
        if backbone != "lstm":
            assert count(form.with_(parameters=own), **STLoRA.recipe("lite").hyper) <= 0.01 * own


def test_the_rank_follows_the_budget() -> None:
    large = spec(883).with_(parameters=97_932)
    adapter = STLoRA(rank="auto")
    adapter.build(large)
    assert adapter.rank == 2
    with pytest.raises(FieldcastError, match=r"rank 1 adds 1,[0-9]{3} parameters to the backbone's 97,932"):
        STLoRA(rank="auto", max_extra_ratio=0.001).build(large)
    solved = STLoRA(rank="auto")
    solved.build(spec(883))
    assert solved.rank == 8


def test_counting_draws_nothing() -> None:
    made = []
    for rank in ("auto", 8):
        torch.manual_seed(5)
        adapter = STLoRA(rank=rank)  # type: ignore[arg-type]
        adapter.build(spec(307).with_(parameters=400_000))
        made.append(adapter.state_dict())
    assert all(torch.equal(tensor, made[1][name]) for name, tensor in made[0].items())
