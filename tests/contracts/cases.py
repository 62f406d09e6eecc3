"""Tiny data and tiny forecasters of any size for the contract tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

import tests.contracts.toys
from fieldcast.core.context import Batch
from fieldcast.core.registry import BACKBONES, STAGES
from fieldcast.core.stage import BeforeStage
from fieldcast.core.task import Forecasting
from fieldcast.data.graph import Graph
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.forecaster import Forecaster, create

assert tests.contracts.toys  # importing it registers the toys
GRIDS = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 2), 5: (1, 5), 6: (2, 3)}
ROWS = 120
"""Thirty days of four readings: two training weeks, so that weekly climatology exists."""


@dataclass(frozen=True)
class Sizes:
    nodes: int = 5
    lookback: int = 6
    horizon: int = 3
    channels: int = 2
    targets: int = 1
    scaler: str = "channel"
    silent: bool = False
    """One node reads nothing in the first rows, which are forecast from all the same, nor in those that test."""

    def with_(self, **changes: object) -> Sizes:
        return replace(self, **changes)  # type: ignore[arg-type]


ODD = (Sizes(1, 5, 3, 1, 1), Sizes(2, 7, 4, 3, 2), Sizes(3, 4, 9, 2, 1))
"""N = 1..3, T below and above H, one channel and several, more inputs than targets."""


def tiny_values(sizes: Sizes, seed: int = 0) -> np.ndarray:
    """Daily waves with noise, a level for each node, one cell in ten missing: float32 [time, N, C]."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(ROWS) * np.pi / 2 + 0.3)[:, None, None]
    level = np.arange(1, sizes.nodes + 1)[:, None] + 10.0 * np.arange(1, sizes.channels + 1)
    values = level + wave * rng.uniform(1, 2, level.shape) + rng.normal(0, 0.5, (ROWS, *level.shape))
    values[rng.random(values.shape) < 0.1] = np.nan
    if sizes.silent:
        values[:10, 0] = np.nan
        values[100:, 0] = np.nan
    return values.astype(np.float32)


def tiny_graph(nodes: int, seed: int = 0) -> Graph:
    """Directed edges with uneven weights, some both ways, none from a node to itself."""
    matrix = np.random.default_rng(seed).uniform(0.2, 1, (nodes, nodes))
    distance = np.abs(np.subtract.outer(np.arange(nodes), np.arange(nodes)))
    return Graph.from_adjacency(np.where((distance == 1) | (distance == 3), matrix, 0.0))


@lru_cache(maxsize=64)
def tiny_windows(sizes: Sizes, grid: bool = False) -> Windows:
    rng = np.random.default_rng(1)
    readings = Readings.from_array(
        tiny_values(sizes),
        None,
        start="2024-01-01",
        frequency="6h",
        channels=[f"channel{i}" for i in range(sizes.channels)],
        coordinates=rng.uniform(40, 50, (sizes.nodes, 2)),
        grid=GRIDS[sizes.nodes] if grid else None,
    )
    targets = [f"channel{i}" for i in range(sizes.targets)]
    return Windows(
        readings, sizes.lookback, sizes.horizon, channels=readings.channels, targets=targets, scaler=sizes.scaler,
        graph=tiny_graph(sizes.nodes),
    )  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What a contract test runs over: a backbone by name, with stages by name, and hyper-parameters.

    ``hyper`` are those of the backbone, ``last`` those of the last stage.
    """

    backbone: str
    stages: tuple[str, ...] = ()
    hyper: tuple[tuple[str, object], ...] = ()
    last: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        return "+".join((self.backbone, *self.stages))

    @property
    def cls(self) -> type:
        return BACKBONES.get(self.backbone)

    @property
    def on_grid(self) -> bool:
        return self.cls.needs_grid  # type: ignore[attr-defined]

    def windows(self, sizes: Sizes) -> Windows:
        lookback = max(sizes.lookback, self.cls.min_lookback())  # type: ignore[attr-defined]
        return tiny_windows(sizes.with_(lookback=lookback), self.on_grid)

    def build(self, sizes: Sizes | None = None, *, seed: int = 0, stirred: bool = True) -> Forecaster:
        """A forecaster in eval mode, solved where it is solved; ``stirred`` moves every weight off its start value."""
        windows = self.windows(sizes or Sizes())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            settings = [{} for _ in self.stages[1:]] + [dict(self.last)]
            stages = [STAGES.get(name)(**given) for name, given in zip(self.stages, settings, strict=False)]
            forecaster = create(self.backbone, windows, stages, **dict(self.hyper))  # type: ignore[arg-type]
        if not forecaster.backbone.trainable:
            forecaster.backbone.fit_closed_form(windows)
        if stirred:
            stir(forecaster, seed)
        return forecaster.eval()

    def batch(self, sizes: Sizes | None = None, count: int = 4, part: str = "test") -> Batch:
        windows = self.windows(sizes or Sizes())
        return Batch.of(windows.batch(windows.starts(part)[:count]))


def stir(forecaster: Forecaster, seed: int = 0) -> None:
    """Add noise to every parameter, so that what starts at zero or equal for all nodes takes part."""
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in forecaster.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def close_gates(forecaster: Forecaster, nodes: list[int]) -> None:
    """Switch sensors off in every stage that can."""
    for stage in forecaster.before:
        if isinstance(stage, BeforeStage) and stage.gate() is not None:
            stage.close(nodes)  # type: ignore[operator]


@torch.no_grad()
def training_error(forecaster: Forecaster, windows: Windows) -> float:
    """The loss on the first training windows, in eval mode."""
    batch = Batch.of(windows.batch(windows.starts("train")[:40]))
    assert batch.y is not None and batch.y_observed is not None
    x, ctx = forecaster.eval().prepare(batch)
    return float(Forecasting().loss(forecaster, x, ctx, forecaster.rescale(batch.y), batch.y_observed))


def train_steps(forecaster: Forecaster, windows: Windows, steps: int = 3, rate: float = 0.01) -> list[float]:
    """A plain training loop; returns the loss of each step and leaves the last step's gradients in place."""
    task = Forecasting()
    optimiser = torch.optim.Adam([p for p in forecaster.parameters() if p.requires_grad], lr=rate)
    starts = windows.starts("train")
    forecaster.train()
    forecaster.progress.steps = steps
    losses = []
    for step in range(steps):
        forecaster.progress.step = step
        batch = Batch.of(windows.batch(starts[4 * step % len(starts) :][:8]))
        assert batch.y is not None and batch.y_observed is not None
        x, ctx = forecaster.prepare(batch, teacher=True)
        loss = task.loss(forecaster, x, ctx, forecaster.rescale(batch.y), batch.y_observed)
        for stage in forecaster.stages:
            extra = stage.extra_loss(ctx)
            loss = loss if extra is None else loss + extra
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    forecaster.eval()
    return losses
