"""Specs, contexts and forecasts that the tests of the backbones share."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Batch, Context
from fieldcast.core.registry import BACKBONES
from fieldcast.core.spec import Spec
from fieldcast.data.graph import Graph
from fieldcast.data.windows import WindowBatch, Windows
from fieldcast.forecaster import Forecaster, create
from fieldcast.nn.calendar import calendar_channels


def spec(
    nodes: int = 3, lookback: int = 12, horizon: int = 12, channels: int = 1, targets: int = 1,
    sizes: tuple[int, int, int] = (288, 7, 366),
) -> Spec:  # fmt: skip
    return Spec(lookback, horizon, nodes, channels, targets, sizes, nodes, np.arange(nodes))


def parameters(name: str, form: Spec, **hyper: Any) -> int:
    backbone = BACKBONES.get(name)(form, **hyper)  # type: ignore[call-arg]
    return sum(each.numel() for each in backbone.parameters())


def stirred(name: str, form: Spec, **hyper: Any) -> Backbone:
    """A backbone in float64 with random weights throughout, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = BACKBONES.get(name)(form, **hyper)  # type: ignore[call-arg]
        assert isinstance(backbone, Backbone)
        for parameter in backbone.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return backbone.double().eval()


def inputs(form: Spec, batch: int = 2, neutral: bool = True) -> tuple[Tensor, Context]:
    """Random x [B, T, N, C] in float64 and a context; with ``neutral`` some calendar ids are -1."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(batch, form.lookback, form.nodes, form.channels)))
    shape = (batch, form.lookback + form.horizon)
    calendar = torch.from_numpy(np.stack([rng.integers(0, size, shape) for size in form.calendar_sizes], axis=-1))
    if neutral:
        calendar[0, form.lookback - 1, 1] = -1
        calendar[1, form.lookback - 1, 0] = -1
        calendar[:, 0] = -1
    everything = torch.ones_like(x, dtype=torch.bool)
    history, seen = x[..., : form.targets], everything[..., : form.targets]
    return x, Context(everything, history, seen, calendar)


def ring(nodes: int, seed: int = 0) -> Graph:
    """A directed ring with random weights and self loops."""
    rng = np.random.default_rng(seed)
    matrix = np.eye(nodes)
    matrix[np.arange(nodes), (np.arange(nodes) + 1) % nodes] = rng.uniform(0.2, 1, nodes)
    return Graph.from_adjacency(matrix)


def over_ring(form: Spec) -> Spec:
    return form.with_(graph=ring(form.nodes))


def clock_of(form: Spec, ctx: Context) -> np.ndarray:
    """Time of day and day of week of the look-back, float64 [B, T, 2]."""
    return calendar_channels(ctx.calendar[:, : form.lookback, :2], form.calendar_sizes).double().numpy()


def assert_equals(backbone: Backbone, form: Spec, reference: Callable[[np.ndarray, Context], np.ndarray]) -> None:
    """The forecast is that of a plain form to 1e-12 in float64, and to 5e-6 in float32, of the largest number.

    So are its derivatives along a random direction in the inputs and in one of all weights at once; those of the plain
    form are central differences. The plain form has to read the backbone's weights anew at each call.
    """
    x, ctx = inputs(form)
    expected = reference(x.numpy(), ctx)
    size = max(1.0, float(np.abs(expected).max()))
    with torch.no_grad():
        np.testing.assert_allclose(backbone(x, ctx).numpy(), expected, rtol=0, atol=1e-12 * size)
        single = deepcopy(backbone).float()(x.float(), ctx).numpy()
    np.testing.assert_allclose(single, expected, rtol=0, atol=5e-6 * size)
    rng, step = np.random.default_rng(2), 1e-6
    weight = torch.from_numpy(rng.normal(size=expected.shape))
    backbone.zero_grad()
    (backbone(x.requires_grad_(), ctx) * weight).sum().backward()

    def plain(shift: float) -> float:
        with torch.no_grad():
            for tensor, direction in directions:
                tensor += shift * direction
            said = float((torch.from_numpy(reference(x.detach().numpy(), ctx)) * weight).sum())
            for tensor, direction in directions:
                tensor -= shift * direction
        return said

    for part in ([x], list(backbone.parameters())):
        directions = [(tensor, torch.from_numpy(rng.normal(size=tensor.shape))) for tensor in part]
        own = sum(float((tensor.grad * way).sum()) for tensor, way in directions if tensor.grad is not None)
        numeric = (plain(step) - plain(-step)) / (2 * step)
        assert abs(own - numeric) <= 1e-6 * max(1.0, abs(numeric), size * weight.numel() ** 0.5), (own, numeric)


def arrays(backbone: Backbone) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in backbone.state_dict().items()}


def solved(name: str, windows: Windows, **hyper: Any) -> Forecaster:
    """A forecaster whose backbone was solved on the training rows."""
    forecaster = create(name, windows, seed=0, **hyper)
    forecaster.backbone.fit_closed_form(windows)
    return forecaster.eval()


def forecast(forecaster: Forecaster, batch: WindowBatch) -> np.ndarray:
    """The forecast in real units, [B, H, N, O]."""
    return forecaster.forecast(Batch.of(batch)).numpy()
