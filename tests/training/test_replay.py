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
from fieldcast.core.registry import BACKBONES
from fieldcast.core.task import Forecasting
from fieldcast.data.graph import Graph
from fieldcast.data.loader import WindowLoader
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create
from fieldcast.methods.st_lora import STLoRA
from fieldcast.training import TrainingOptions
from fieldcast.training.fitting import fit
from fieldcast.training.module import TrainingModule
from fieldcast.training.replay import Replays, _telling, _Told
from fieldcast.workflows.bench import Size
from fieldcast.workflows.bench.subject import random_windows
from tests.contracts.cases import Sizes, Subject
from tests.training.common import RUN, state, windows, without_seconds


class Played:
    """``make_graphed_callables`` on a CPU; ``captures`` are the trials of its calls, ``modes`` those of waiting."""

    def __init__(self) -> None:
        self.captures: list[int] = []
        self.modes: list[Any] = []
        self.pools = 0

    def pool(self) -> str:
        """A pool ends with its last graph, and is asked for anew."""
        self.pools += 1
        return f"pool {self.pools}"

    def __call__(
        self, module: Any, arguments: tuple[Tensor, ...], *, num_warmup_iters: int, allow_unused_input: bool, pool: Any
    ) -> Callable[..., Tensor]:
        assert allow_unused_input and pool == f"pool {self.pools}"
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
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", stand_in.pool)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", stand_in.modes.append)
    return stand_in


CAPTURABLE = [name for name in BACKBONES.names() if BACKBONES.get(name).capturable]
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
    assert played.captures == [3, 1, 1], "a shape that is known is captured at once"


def test_trial_and_capture_leave_no_trace(played: Played) -> None:
    """Batch norms see each mini-batch once, and dropout's draws on a CPU are refused without a draw lost."""

    def after(dropout: float, replayed: bool) -> dict[str, Tensor]:
        torch.manual_seed(3)
        replays, forecaster, batches, module = made(dropout)
        for batch in batches * 2:
            (replays if replayed else module._loss)(batch)
        return {**dict(forecaster.named_buffers()), "drawn": torch.rand(3)}

    for dropout, captures in ((0.0, 2), (0.3, 0)):
        played.captures.clear()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            one, other = after(dropout, True), after(dropout, False)
        assert all(torch.equal(one[name], each) for name, each in other.items())
        # What is captured runs as often again here as it would be captured, and its statistics are put back.
        assert len(played.captures) == captures
        assert len(said) == (captures == 0)


class Reading(Forecasting):
    """A task whose loss depends on progress, read in one way, from an epoch on."""

    def __init__(self, how: str, since: int = 0):
        super().__init__()
        self.how, self.since = how, since

    def loss(self, model: Any, x: Tensor, ctx: Context, y: Tensor, observed: Tensor) -> Tensor:
        if self.since and ctx.progress.epoch < self.since:
            return super().loss(model, x, ctx, y, observed)
        factors = {
            "epoch": lambda: float(ctx.progress.epoch),
            "step": lambda: float(ctx.progress.step),
            "fraction": lambda: ctx.progress.fraction,
            "taken": lambda: ctx.progress.taken(x),
            "Python": random.random,
            "numpy": lambda: float(np.random.normal()),  # noqa: NPY002
            "torch on the CPU": lambda: float(torch.rand(())),
        }
        return super().loss(model, x, ctx, y, observed) * (1 + factors[self.how]())


def losses(how: str, replayed: bool, since: int = 0) -> tuple[list[float], Replays]:
    """The losses of three epochs, progress told as training does."""
    replays, forecaster, batches, module = made()
    module.task = Reading(how, since)
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
    with pytest.warns(UserWarning, match="not captured as CUDA graphs, but slower: .*progress.taken"):
        found, replays = losses(how, True)
    assert found == losses(how, False)[0]
    assert played.captures == []
    assert "progress.step" in replays.refused


def test_what_is_read_later_is_refused_then(played: Played) -> None:
    with pytest.warns(UserWarning, match="progress.taken"):
        found, replays = losses("step", True, since=2)
    assert found == losses("step", False, since=2)[0]
    assert played.captures == [3, 1, 1] and not replays._captured


@pytest.mark.parametrize("how", ["Python", "numpy", "torch on the CPU"])
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
    assert played.captures == []


def test_a_model_that_waits_is_said(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    replays, _, batches, module = made()
    plain = module._loss

    def waiting(batch: Batch) -> Tensor:
        if played.modes[-1:] == ["error"]:
            raise RuntimeError("called a synchronizing CUDA operation")
        return plain(batch)

    monkeypatch.setattr(replays, "_loss", waiting)
    replays(batches[0])
    with pytest.warns(
        UserWarning, match=r"but slower: the model waits for the GPU within a step \(as .item\(\) does\)\.$"
    ):
        assert torch.equal(replays(batches[1]), plain(batches[1]))
    assert played.modes == ["error", 0], "for the trial alone"
    replays(batches[2])
    assert not played.captures


def test_what_torch_refuses_ends_training_in_a_sentence(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    replays, _, batches, _ = made()
    replays(batches[0])
    with pytest.raises(FieldcastError, match=r"\(operation not permitted .*\): set cuda_graphs to false\.$"):
        replays(batches[1])


@pytest.mark.parametrize("name", CAPTURABLE)
def test_what_says_that_it_is_capturable_reads_no_number_of_progress(name: str) -> None:
    """The share of truth that DCRNN is told decays with a step that it reads as a tensor."""
    sizes = Sizes(lookback=12)
    subject = Subject(name)
    forecaster = subject.build(sizes).train()
    batch = subject.batch(sizes, 8, "train")
    module = TrainingModule(forecaster, RUN, RUN.task())
    forecaster.progress.steps = 100
    for step in (0, 60):
        forecaster.progress.step = step
        told = _Told(forecaster.progress, torch.tensor(step))
        torch.manual_seed(0)
        plain = module._loss(batch)
        torch.manual_seed(0)
        with _telling(forecaster, told):
            assert torch.equal(module._loss(batch), plain)
        assert not told.read


def test_only_what_says_so_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "is_cuda", True)
    batch = Batch.of(next(iter(WindowLoader(windows(), "train", 4))))

    def captures(backbone: str = "stid", stages: Any = (), **told: Any) -> bool:
        forecaster = create(backbone, windows(), stages, seed=0)
        options = dataclasses.replace(RUN, **told)
        return TrainingModule(forecaster, options, options.task())._captures(batch)

    assert captures()
    assert not captures("lstm") and not captures(stages=[STLoRA(rank=1)])
    assert not captures(recompute=True) and not captures(cuda_graphs=False)


def test_a_whole_training_is_the_same_replayed(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> tuple[list[dict[str, float]], dict[str, Tensor]]:
        data = windows()
        forecaster = create("graph_wavenet", data, graph=CHAIN, seed=0, dropout=0.0)
        rows = fit(forecaster, data, RUN, seed=0).rows
        return without_seconds(rows), state(forecaster)

    plain, weights = trained()
    assert not played.captures
    kept: list[Replays] = []
    monkeypatch.setattr(TrainingModule, "_captures", lambda self, _: not kept.append(self.replays))  # type: ignore[func-returns-value]
    rows, replayed = trained()
    assert rows == plain and all(torch.equal(each, replayed[name]) for name, each in weights.items())
    assert played.captures == [3, 1]
    assert not kept[0]._captured, "the graphs' memory is given back"


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU of CUDA here")


@GPU
@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", CAPTURABLE)
def test_on_a_gpu_training_is_the_same(name: str, precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To rounding: some kernels add in another order in each run. 250 nodes, on which an LSTM failed."""
    calls, make = [], torch.cuda.make_graphed_callables

    def counted(*given: Any, **told: Any) -> Any:
        calls.append(1)
        return make(*given, **told)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", counted)
    rows = []
    for graphs in (False, True):
        data = random_windows(Size(nodes=250, batch_size=80))
        options = TrainingOptions(max_epochs=3, batch_size=32, cuda_graphs=graphs, precision=precision, patience=0)
        rows.append(fit(create(name, data, seed=0), data, options, seed=0).rows)
        assert len(calls) == (2 if graphs else 0), "a whole mini-batch and the last one"
    for plain, graphed in zip(*rows, strict=True):
        assert graphed["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-3)
        assert graphed["selection"] == pytest.approx(plain["selection"], rel=1e-3)


@GPU
def test_on_a_gpu_each_epoch_is_captured_anew_where_it_is_read() -> None:
    data = random_windows(Size(nodes=20, batch_size=80))
    rows = []
    for graphs in (False, True):
        options = TrainingOptions(max_epochs=4, batch_size=32, cuda_graphs=graphs, patience=0)
        task = Reading("epoch")
        rows.append(fit(create("stgcn", data, seed=0), data, options, seed=0, task=task).rows)
    for plain, graphed in zip(*rows, strict=True):
        assert graphed["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-3)
