"""Steps replayed as CUDA graphs: what is captured when, what is refused, and the numbers of ordinary steps.

Without a GPU the capture itself is played: a stand-in runs the step at the addresses that were captured, with what it
read as numbers at that time, as a graph does.
"""

from __future__ import annotations

import dataclasses
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fieldcast.core.context import Batch, Context
from fieldcast.core.task import Forecasting
from fieldcast.data.graph import Graph
from fieldcast.data.loader import WindowLoader
from fieldcast.forecaster import Forecaster, create
from fieldcast.training.fitting import fit
from fieldcast.training.module import TrainingModule
from fieldcast.training.replay import Replays, _Told
from tests.contracts.cases import Sizes, Subject
from tests.training.common import RUN, windows


class Played:
    """``make_graphed_callables`` on a CPU; ``captures`` counts its calls."""

    def __init__(self) -> None:
        self.captures: list[int] = []

    def __call__(
        self, module: Any, arguments: tuple[Tensor, ...], *, num_warmup_iters: int, allow_unused_input: bool, pool: Any
    ) -> Callable[..., Tensor]:
        assert allow_unused_input and pool == "pool"
        self.captures.append(num_warmup_iters)
        for _ in range(num_warmup_iters + 1):  # the capture reads numbers once more
            module(*arguments)
        progress = module.forecaster.progress

        def replay(*given: Tensor) -> Tensor:
            for place, each in zip(arguments, given, strict=True):
                place.copy_(each)
            now, module.forecaster.progress = module.forecaster.progress, progress
            try:
                return module(*arguments)
            finally:
                module.forecaster.progress = now

        return replay


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    stand_in = Played()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", stand_in)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    return stand_in


CHAIN = Graph(3, np.array([[0, 1, 1, 2], [1, 0, 2, 1]]), np.ones(4, dtype=np.float32))


def made(dropout: float = 0.0) -> tuple[Replays, Forecaster, list[Batch], TrainingModule]:
    data = windows()
    forecaster = create("graph_wavenet", data, graph=CHAIN, seed=0, dropout=dropout).train()
    module = TrainingModule(forecaster, RUN, RUN.task())
    batches = [Batch.of(each) for each in WindowLoader(data, "train", 32)]  # 5 of 32 windows and one of 2
    assert [len(each.x) for each in batches] == [32] * 5 + [2]
    return module.replays, forecaster, batches, module


def test_a_shape_is_captured_when_it_comes_again(played: Played) -> None:
    replays, _, batches, module = made()
    for epoch in range(3):
        for batch in batches:
            assert torch.equal(replays(batch), module._loss(batch))
        assert len(played.captures) == (1 if epoch == 0 else 2), "one of few windows comes again in the second epoch"
    assert played.captures == [3, 1], "libraries are warm by then"
    assert not replays.refused
    replays.clear()
    replays(batches[0])
    assert len(played.captures) == 2


def test_capturing_leaves_no_trace(played: Played) -> None:
    replays, forecaster, batches, module = made(dropout=0.3)
    before = {name: each.clone() for name, each in forecaster.named_buffers()}
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    replays(batches[0])
    moved = {name: each.clone() for name, each in forecaster.named_buffers()}
    assert any(not torch.equal(each, before[name]) for name, each in moved.items()), "by an ordinary step"
    held = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]  # noqa: NPY002
    with pytest.warns(UserWarning, match="the generator of torch's CPU"):  # where its dropout draws on a CPU
        assert replays._capture(given(batches[0])) is None
    before = moved
    assert all(torch.equal(each, before[name]) for name, each in forecaster.named_buffers())
    assert (random.getstate(), np.random.get_state()[1].tolist()) == held[:2]  # type: ignore[index]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), held[2])


def given(batch: Batch) -> dict[str, Tensor]:
    return {each.name: value for each in dataclasses.fields(batch) if (value := getattr(batch, each.name)) is not None}


class Reading(Forecasting):
    """A task whose loss depends on progress, read in one way."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how

    def loss(self, model: Any, x: Tensor, ctx: Context, y: Tensor, observed: Tensor) -> Tensor:
        factors = {
            "epoch": lambda: float(ctx.progress.epoch),
            "step": lambda: float(ctx.progress.step),
            "fraction": lambda: ctx.progress.fraction,
            "taken": lambda: ctx.progress.taken(x),
            "Python": random.random,
            "numpy": lambda: float(np.random.normal()),  # noqa: NPY002
            "torch's CPU": lambda: float(torch.rand(())),
        }
        return super().loss(model, x, ctx, y, observed) * (1 + factors[self.how]())


def losses(how: str, replayed: bool) -> tuple[list[float], Replays]:
    """The losses of three epochs, progress told as training does."""
    replays, forecaster, batches, module = made()
    module.task = Reading(how)
    found = []
    for step in range(3 * len(batches)):
        forecaster.progress.step, forecaster.progress.epoch = step, step // len(batches)
        forecaster.progress.steps = 3 * len(batches)
        batch = batches[step % len(batches)]
        found.append((replays(batch) if replayed else module._loss(batch)).item())
    return found, replays


@pytest.mark.parametrize(("how", "captures"), [("epoch", [3, 1, 1, 1, 1]), ("taken", [3, 1])])
def test_progress_is_read_anew(played: Played, how: str, captures: list[int]) -> None:
    assert losses(how, True)[0] == losses(how, False)[0]
    assert played.captures == captures, "in each epoch anew where it is read as a number"


@pytest.mark.parametrize("how", ["step", "fraction"])
def test_a_step_read_as_a_number_is_refused(played: Played, how: str) -> None:
    with pytest.warns(UserWarning, match="not captured as CUDA graphs, which is slower: .*progress.taken"):
        found, replays = losses(how, True)
    assert found == losses(how, False)[0]
    assert played.captures == [3], "and not tried again"
    assert "progress.step" in replays.refused


@pytest.mark.parametrize("how", ["Python", "numpy", "torch's CPU"])
def test_draws_that_a_graph_would_repeat_are_refused(played: Played, how: str) -> None:
    def drawn(replayed: bool) -> list[float]:
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        torch.manual_seed(3)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found, _ = losses(how, replayed)
        assert [f"generator of {how}" in str(each.message) for each in said] == ([True] if replayed else [])
        return found

    assert drawn(True) == drawn(False), "and none is lost"
    assert played.captures == [3]


def test_what_torch_refuses_is_said(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    replays, _, batches, module = made()
    replays(batches[0])
    with pytest.warns(UserWarning, match="slower: operation not permitted when stream is capturing$"):
        assert torch.equal(replays(batches[1]), module._loss(batches[1]))
    assert replays.refused == "operation not permitted when stream is capturing"


def test_the_truth_told_to_a_decoder_decays_as_it_does_uncaptured() -> None:
    """DCRNN reads the step as a tensor."""
    subject = Subject("dcrnn")
    sizes = Sizes(lookback=12)
    forecaster = subject.build(sizes).train()
    batch = subject.batch(sizes, 8, "train")
    module = TrainingModule(forecaster, RUN, RUN.task())
    forecaster.progress.steps = 100
    for step in (0, 60):
        forecaster.progress.step = step
        told = _Told(forecaster.progress, torch.tensor(step))
        torch.manual_seed(0)
        plain = module._loss(batch)
        plainly, forecaster.progress = forecaster.progress, told
        torch.manual_seed(0)
        assert torch.equal(module._loss(batch), plain)
        assert not told.read
        forecaster.progress = plainly


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU of CUDA here")


@GPU
@pytest.mark.parametrize("name", ["stid", "lstm", "stgcn", "dcrnn", "graph_wavenet"])
def test_on_a_gpu_training_is_the_same(name: str) -> None:
    """To rounding: kernels add in an order of their own from run to run."""
    rows = []
    for graphs in (False, True):
        data = windows()
        options = dataclasses.replace(RUN, accelerator="auto", cuda_graphs=graphs, max_epochs=3)
        rows.append(fit(create(name, data, graph=CHAIN, seed=0), data, options, seed=0).rows)
    for plain, graphed in zip(*rows, strict=True):
        assert graphed["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-3)
        assert graphed["selection"] == pytest.approx(plain["selection"], rel=1e-3)
