"""ST-LoRA says what its equations say, starts as the backbone to the bit, and gives each node its own correction."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.seeding import seeded
from fieldcast.core.spec import Spec
from fieldcast.core.task import Forecasting
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import create
from fieldcast.methods.st_lora import STLoRA
from fieldcast.methods.st_lora.layer import NodeAdaptiveLowRank, NodeMode
from tests.backbones.common import inputs, spec
from tests.contracts import checks
from tests.contracts.cases import ODD, Sizes, Subject, train_steps, training_error
from tests.methods.st_lora.common import SIX
from tests.reference.st_lora import correction, delta, waves

MODES: tuple[NodeMode, ...] = get_args(NodeMode)
INJECTIONS = ("residual", "predictor", "both")
STEP = 0.02


def stage(form: Spec, **settings: Any) -> STLoRA:
    """A stage built for a form, in float64, every weight moved off its start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = STLoRA(**{"rank": 3, **settings})
        made.build(form)
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.5)
    return made.double().eval()


def weights(made: STLoRA) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in made.state_dict().items()}


# What it computes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "settings",
    [
        {}, {"stem_input": "pred", "fusion": "gate", "clock": False}, {"stem_input": "hist", "layers": 2, "blocks": 3},
        {"base_weight": "shared", "blocks": 2, "share_codes": False, "alpha": 5.0},
    ],
    ids=["default", "gate on the forecast", "three blocks on the look-back", "base weights, a code a layer"],
)  # fmt: skip
def test_the_residual_form_equals_the_plain_one(mode: NodeMode, settings: dict[str, Any]) -> None:
    form = spec(4, lookback=5, horizon=3, channels=2, targets=2)
    made = stage(form, node_mode=mode, hidden=6, **settings)
    _, ctx = inputs(form)
    y = torch.randn(2, 3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    now = ctx.calendar[:, form.lookback - 1].tolist()
    read = made.clock
    clock = [waves(slot, day, form.calendar_sizes[0]) if read else [] for slot, day, _ in now]
    expected = correction(
        weights(made), y.numpy(), ctx.history.numpy(), mode, settings.get("alpha", 16.0),
        settings.get("stem_input", "both"), settings.get("fusion", "add"), settings.get("share_codes", True),
        clock,
    )  # fmt: skip
    with torch.no_grad():
        np.testing.assert_allclose(made(y, y, ctx).numpy(), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        single = made.float()(y.float(), y, Context(ctx.observed, ctx.history.float(), ctx.observed, ctx.calendar))
    np.testing.assert_allclose(single.numpy(), expected, rtol=0, atol=5e-6 * np.abs(expected).max())


@pytest.mark.parametrize("mode", MODES)
def test_factors_equal_the_matrix_of_each_node(mode: NodeMode) -> None:
    torch.manual_seed(0)
    layer = NodeAdaptiveLowRank(5, 7, 4, rank=2, mode=mode).double().eval()
    nn.init.normal_(layer.lora_B)
    codes = torch.randn(4, 2, dtype=torch.float64) if mode in ("code", "pool") else None
    u = torch.randn(3, 4, 6, 5, dtype=torch.float64)  # [B, N, positions, d_in]
    named = {f"it.{name}": tensor.detach().numpy() for name, tensor in layer.state_dict().items()}
    own = np.stack([delta(named, "it", mode, i, None if codes is None else codes[i].numpy(), 16.0) for i in range(4)])
    with torch.no_grad():
        expected = np.einsum("noi,bnpi->bnpo", own, u.numpy())
        np.testing.assert_allclose(layer(u, codes).numpy(), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer.delta(codes).expand(4, -1, -1).numpy(), own, rtol=0, atol=1e-12)
    assert max(np.linalg.matrix_rank(each) for each in own) <= 2
    same = np.abs(own - own[0]).max() < 1e-12
    assert same == (mode == "shared"), "nodes differ, and share one matrix in the shared form alone"


def test_twice_alpha_is_twice_the_map() -> None:
    torch.manual_seed(0)
    layer = NodeAdaptiveLowRank(4, 4, 2, rank=2, alpha=16.0, mode="shared")
    nn.init.normal_(layer.lora_B)
    other = NodeAdaptiveLowRank(4, 4, 2, rank=2, alpha=32.0, mode="shared")
    other.load_state_dict(layer.state_dict())
    assert torch.equal(2 * layer.delta(None), other.delta(None))
    assert layer.scale == 8 and NodeAdaptiveLowRank(4, 4, 2, rank=4, alpha=32.0).scale == 8


@pytest.mark.parametrize("backbone", SIX)
def test_inside_the_head_it_adds_the_maps_to_the_layers(backbone: str) -> None:
    subject = Subject(backbone, ("st_lora",), last=(("injection", "predictor"),))
    forecaster, batch = subject.build(), subject.batch()
    adapter, base = forecaster.after[0], forecaster.backbone
    assert isinstance(adapter, STLoRA)
    x, ctx = forecaster.prepare(batch)
    layers = {name: base.get_submodule(name) for name in base.predictor_layers}
    expected = torch.empty(4, 3, 5, 1)
    with torch.no_grad():
        got = forecaster(x, ctx)
        before = {name: layer.weight.clone() for name, layer in layers.items()}
        adapter.enabled = False
        for i in range(5):  # each node with its own weights, and the head it knows
            for place, (name, layer) in enumerate(layers.items()):
                own = adapter.head_layers[name].delta(adapter.codes(place))[i]
                layer.weight.copy_(before[name] + own)
            expected[:, :, i] = forecaster(x, ctx)[:, :, i]
    assert checks.close(got, expected, 1e-5)


# Its start


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("backbone", SIX)
def test_it_starts_as_the_backbone_to_the_bit(backbone: str, injection: str, mode: str) -> None:
    base = Subject(backbone)
    adapted = Subject(backbone, ("st_lora",), last=(("injection", injection), ("node_mode", mode), ("rank", 2)))
    plain, other = base.build(stirred=False), adapted.build(stirred=False)
    other.backbone.load_state_dict(plain.backbone.state_dict())
    batch = base.batch()
    x, ctx = plain.prepare(batch)
    assert torch.equal(other.forecast(batch), plain.forecast(batch))
    forecasts = []
    for forecaster in (plain.train(), other.train()):
        torch.manual_seed(7)  # the same dropout
        forecasts.append(forecaster(x, ctx).detach())
    assert torch.equal(*forecasts)


def test_the_start_wakes_up_in_order() -> None:
    subject = Subject("stid", ("st_lora",), last=(("dropout", 0.0),))
    forecaster = subject.build(stirred=False)
    windows = subject.windows(Sizes())
    moved: list[set[str]] = []
    for _ in range(3):
        with seeded(0):
            train_steps(forecaster, windows, 1)
        named = forecaster.after[0].named_parameters()
        moved.append(
            {name.split(".")[-1] for name, each in named if each.grad is not None and each.grad.abs().sum() > 0}
        )
    # weight and bias are those of the head, then those of the stem too.
    assert moved[0] == {"weight", "bias"}
    assert moved[1] == moved[0] | {"lora_B", "biases"}
    assert moved[2] == moved[1] | {"lora_A", "lora_E"}


def test_frozen_codes_stay() -> None:
    subject = Subject("stid", ("st_lora",), last=(("train_codes", False),))
    forecaster = subject.build(stirred=False)
    before = {name: each.detach().clone() for name, each in forecaster.after[0].named_parameters()}
    with seeded(0):
        train_steps(forecaster, subject.windows(Sizes()), 5)
    changed = {name for name, each in forecaster.after[0].named_parameters() if not torch.equal(each, before[name])}
    assert changed == set(before) - {"lora_E"}


# Each node its own


@pytest.mark.parametrize("injection", INJECTIONS)
def test_codes_are_local(injection: str) -> None:
    subject = Subject("lstm", ("st_lora",), last=(("injection", injection), ("rank", 2)))
    forecaster = subject.build()
    x, ctx = forecaster.prepare(subject.batch())
    forecaster(x, ctx)[:, :, 2].sum().backward()
    gradient = forecaster.after[0].lora_E.grad
    assert gradient is not None
    assert gradient[:, 2].abs().min() > 0 and not gradient[:, [0, 1, 3, 4]].any()


class NodeLinear(Backbone):
    """y = W x, the same for all nodes."""

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.width = spec.lookback * spec.channels
        self.output = nn.Linear(self.width, spec.horizon * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        return x.transpose(1, 2).flatten(2)  # [B, N, T C]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.output(h))  # [B, H, N, O]


def recovered(settings: dict[str, Any] | None, steps: int = 1500) -> tuple[float, np.ndarray]:
    """The error on new draws of y_ih = a_i x_iT + 0.02 noise after training, and each node's mean correction factor.

    x is white noise, so that the look-back does not tell which node it is.
    """
    form = spec(60, lookback=6, horizon=3)
    torch.manual_seed(0)
    base = NodeLinear(form)
    adapter = STLoRA(**settings) if settings is not None else None
    if adapter is not None:
        adapter.build(form)
    gain = torch.tensor([0.2, 0.6, 1.0, 1.4]).repeat(15)  # [N]
    parts = nn.ModuleList([base, *([adapter] if adapter is not None else [])])
    optimiser = torch.optim.Adam(parts.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(1)

    def draw(batch: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(batch, 6, 60, 1, generator=generator)
        noise = STEP * torch.randn(batch, 3, 60, 1, generator=generator)
        return x, gain[:, None] * x[:, -1:] + noise

    def forecast(x: Tensor) -> Tensor:
        calendar = torch.zeros(len(x), 9, 3, dtype=torch.int64)
        seen = torch.ones_like(x, dtype=torch.bool)
        ctx = Context(seen, x, seen, calendar)
        y = base(x, ctx)
        return y if adapter is None else adapter(y, x, ctx)

    for _ in range(steps):
        x, y = draw(32)
        optimiser.zero_grad()
        (forecast(x) - y).abs().mean().backward()
        optimiser.step()
    parts.eval()
    with torch.no_grad():
        x, y = draw(256)
        return float((forecast(x) - y).abs().mean()), (forecast(x) - base(x, None)).numpy()  # type: ignore[arg-type]


@pytest.mark.slow
def test_it_finds_what_each_node_does_and_the_shared_form_cannot() -> None:
    base, _ = recovered(None)
    code, _ = recovered({"rank": 8, "dropout": 0.0})
    shared, _ = recovered({"rank": 8, "dropout": 0.0, "node_mode": "shared"})
    assert code < 0.5 * base and shared > 0.9 * base, (base, code, shared)


def test_the_correction_is_no_multiple_of_the_forecast() -> None:
    """What the public code computes is y = 2 F(x): a guard that this is something else."""
    torch.manual_seed(0)
    subject = Subject("lstm", ("st_lora",), last=(("rank", 2),))
    forecaster, windows = subject.build(stirred=False), subject.windows(Sizes())
    train_steps(forecaster, windows, 100)
    x, ctx = forecaster.prepare(subject.batch(count=8))
    with torch.no_grad():
        adapted = forecaster(x, ctx)
        forecaster.after[0].enabled = False
        plain = forecaster(x, ctx)
    z = (adapted - plain).flatten().numpy()
    assert np.abs(z).max() > 1e-3
    assert np.corrcoef(z, plain.flatten().numpy())[0, 1] ** 2 < 0.99


def test_apart_the_backbone_learns_as_alone_and_the_adapter_as_on_a_frozen_one() -> None:
    """Same batch, same weights, no dropout: both gradients to the bit, and the same forecast."""
    sizes = Sizes()
    apart, together = (
        Subject("stid", ("st_lora",), (("dropout", 0.0),), (("rank", 2), ("dropout", 0.0), ("apart", each)))
        for each in (True, False)
    )

    def gradients(subject: Subject, prepare: Any = lambda forecaster: None) -> tuple[float, dict[str, Tensor]]:
        forecaster, batch = subject.build(sizes).train(), subject.batch(sizes, 8, "train")
        prepare(forecaster)
        x, ctx = forecaster.prepare(batch)
        loss = Forecasting().loss(forecaster, x, ctx, forecaster.rescale(batch.y), batch.y_observed)
        loss.backward()
        return loss.item(), {name: each.grad for name, each in forecaster.named_parameters() if each.grad is not None}

    def frozen(forecaster: Any) -> None:
        forecaster.backbone.requires_grad_(False)

    loss, both = gradients(apart)
    own, backbone = gradients(together, lambda forecaster: setattr(forecaster.after[0], "enabled", False))
    adapted, adapter = gradients(together, frozen)
    assert backbone and adapter and not backbone.keys() & adapter.keys()
    assert both.keys() == backbone.keys() | adapter.keys()
    assert all(torch.equal(each, both[name]) for name, each in (backbone | adapter).items())
    assert loss == pytest.approx(own + adapted, rel=1e-6)
    assert gradients(apart, frozen)[0] == adapted, "on a frozen backbone there is nothing to hold apart"
    batch = apart.batch(sizes)
    assert torch.equal(apart.build(sizes).forecast(batch), together.build(sizes).forecast(batch))


# Contracts beside the default


VARIANTS = [
    {"injection": "both", "rank": 2}, {"injection": "predictor", "node_mode": "pool", "rank": 2},
    {"injection": "both", "node_mode": "full_A", "rank": 2, "base_weight": "shared"},
    {"node_mode": "full_AB", "rank": 2, "blocks": 2}, {"node_mode": "shared", "rank": 2, "fusion": "gate"},
    {"injection": "both", "share_codes": False, "rank": 2, "stem_input": "hist"}, {"apart": True, "rank": 2},
]  # fmt: skip
SUBJECTS = [
    Subject(backbone, ("st_lora",), last=tuple(settings.items()))
    for backbone, settings in itertools.product(("stid", "d2stgnn"), VARIANTS)
]
IDS = [f"{subject}-" + "-".join(f"{value}" for _, value in subject.last) for subject in SUBJECTS]


@pytest.mark.parametrize(
    "check",
    [
        checks.trains_every_parameter, checks.names_its_node_tensors, checks.follows_a_permutation, checks.compacts,
        checks.grows, checks.keeps_samples_apart,
    ],
    ids=lambda check: check.__name__,
)  # fmt: skip
@pytest.mark.parametrize("subject", SUBJECTS, ids=IDS)
def test_contracts_of_other_settings(subject: Subject, check: Any) -> None:
    check(subject)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS, ids=IDS)
def test_other_settings_are_exported(subject: Subject) -> None:
    checks.exports(subject)


@pytest.mark.parametrize("sizes", ODD, ids=checks.ODD_IDS)
@pytest.mark.parametrize("settings", VARIANTS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_odd_sizes(settings: dict[str, Any], sizes: Sizes) -> None:
    checks.takes_odd_sizes(Subject("stid", ("st_lora",), last=tuple(settings.items())), sizes)


@pytest.mark.slow
@pytest.mark.parametrize("injection", INJECTIONS)
def test_it_compiles(injection: str) -> None:
    checks.compiles(Subject("stgcn", ("st_lora",), last=(("injection", injection), ("rank", 2))))


@pytest.mark.parametrize("backbone", ["last_value", "daily_climatology", "ridge_var"])
def test_it_corrects_solved_backbones(backbone: str) -> None:
    subject = Subject(backbone, ("st_lora",))
    forecaster, windows = subject.build(stirred=False), subject.windows(Sizes())
    before = training_error(forecaster, windows)
    with seeded(0):
        losses = train_steps(forecaster, windows, 200)
    assert np.mean(losses[-20:]) < np.mean(losses[:20])
    assert training_error(forecaster, windows) < before


# What is refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 0}, "rank is 0"), ({"hidden": 0}, "hidden is 0"), ({"layers": 0}, "layers is 0"),
        ({"blocks": 0}, "blocks is 0"), ({"dropout": 1.0}, "dropout is 1.0"), ({"alpha": 0.0}, "alpha is 0.0"),
        ({"max_extra_ratio": -1.0}, "max_extra_ratio is -1.0"),
        ({"apart": True, "injection": "both"}, "train apart only behind the head"),
        ({"apart": True, "tune_head": True}, "train apart only behind the head"),
    ],
)  # fmt: skip
def test_impossible_settings_are_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FieldcastError, match=said):
        STLoRA(**settings)


def test_a_head_without_layers_is_told() -> None:
    subject = Subject("dcrnn")
    checks.refused(create, "dcrnn", subject.windows(Sizes()), [STLoRA(injection="predictor")], match="choose residual")
