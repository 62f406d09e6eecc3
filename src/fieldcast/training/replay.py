"""Training steps replayed as CUDA graphs: a GPU is told a whole pass at once, not kernel by kernel."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from fieldcast.core.context import Batch, Progress
from fieldcast.core.seeding import get_generators, set_generators
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster

LossOf = Callable[[Batch], Tensor]
_PARTS = tuple(each.name for each in fields(Batch))


class Replays:
    """The loss of mini-batches on a GPU, forward and backward pass each replayed from a CUDA graph.

    The steps of most backbones are hundreds of small kernels, which a GPU finishes faster than a CPU can launch them.
    A graph holds the launches of one shape of mini-batch; it is captured when a shape comes for the second time, and
    computes what the kernels did, with new numbers and new draws, at the same addresses.

    What a step reads beside tensors must stay as it was. Where the model or the task reads the epoch, each epoch
    captures anew. A trial before each finds out what says that it is ``capturable`` and is not: where the model reads
    the number of the step as a number (``ctx.progress.taken`` gives it as a tensor), draws from a generator of Python,
    numpy or torch's CPU, or waits for the GPU within a step, as ``.item()`` and shapes that depend on values do, steps
    are not captured, and a warning says why.
    Source: ``torch.cuda.make_graphed_callables``.
    """

    def __init__(self, forecaster: Forecaster, loss: LossOf):
        self._forecaster, self._loss = forecaster, loss
        self._shapes: set[tuple[Any, ...]] = set()
        self._captured: dict[tuple[Any, ...], _Captured] = {}
        self._epoch = 0
        self._pool: Any = None
        self._reads_epoch = False
        self._warm = False  # whether all that is made once, of libraries and allocator, is made
        self.refused = ""
        """Why steps are not captured; empty where they are."""

    def __call__(self, batch: Batch) -> Tensor:
        if self.refused:
            return self._loss(batch)
        given = {name: each for name in _PARTS if (each := getattr(batch, name)) is not None}
        shape = tuple((name, each.shape, each.dtype) for name, each in given.items())
        if shape not in self._shapes:
            self._shapes.add(shape)
            return self._loss(batch)
        if self._reads_epoch and self._epoch != self._forecaster.progress.epoch:
            self.clear()
            self._epoch = self._forecaster.progress.epoch
        if shape not in self._captured:
            self.refused = self._why_not(batch)
            if self.refused:
                self.clear()
                warnings.warn(f"steps are not captured as CUDA graphs, but slower: {self.refused}.", stacklevel=2)
                return self._loss(batch)
            self._captured[shape] = self._capture(given)
        return self._captured[shape](given)

    def clear(self) -> None:
        """Let go of all graphs at once, and give their memory back.

        Graphs share the workspace of the products that their stream captured, which goes with the first that does.
        """
        if self._captured:
            for parameter in self._forecaster.parameters():
                parameter.grad = None  # which may lie in the graphs' memory
            self._captured.clear()
            self._pool = None  # it ends with its last graph
            gc.collect()  # what torch makes of a step refers to itself

    def _why_not(self, batch: Batch) -> str:
        """Why a step cannot be captured, found by a step that leaves no trace; empty where it can.

        After a capture that fails torch's generator on the GPU draws no more, so all is tried before each.
        """
        progress, waits = self._forecaster.progress, torch.cuda.get_sync_debug_mode()
        told = _Told(progress, torch.full((), progress.step, device=batch.x.device))
        with _without_trace(self._forecaster) as before, _telling(self._forecaster, told):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*debug mode is a prototype.*")
                torch.cuda.set_sync_debug_mode("error")
            try:
                loss = self._loss(batch)
                trained = [each for each in self._forecaster.parameters() if each.requires_grad]
                torch.autograd.grad(loss, trained, allow_unused=True)
            except RuntimeError as error:
                if "synchronizing CUDA operation" not in str(error):
                    raise
                return "the model waits for the GPU within a step (as .item() does)"
            finally:
                torch.cuda.set_sync_debug_mode(waits)
            after = get_generators()
        if "step" in told.read:
            return "the model reads progress.step as a number (progress.taken gives it as a tensor)"
        self._reads_epoch, self._epoch = self._reads_epoch or "epoch" in told.read, progress.epoch
        for what, named in (("torch", "torch on the CPU"), ("python", "Python"), ("numpy", "numpy")):
            if _plain(before[what]) != _plain(after[what]):
                return f"the model draws from the generator of {named}, whose draws a graph would repeat"
        return ""

    def _capture(self, given: dict[str, Tensor]) -> _Captured:
        self._pool = torch.cuda.graph_pool_handle() if self._pool is None else self._pool
        warmups, self._warm = 1 if self._warm else 3, True
        try:
            with _without_trace(self._forecaster):
                return _Captured(self._forecaster, self._loss, given, self._pool, warmups)
        except RuntimeError as error:
            why = " ".join(str(error).split())[:200]
            raise FieldcastError(
                f"the step cannot be captured as CUDA graphs ({why}): set cuda_graphs to false."
            ) from error


class _Captured:
    """The graphs of one shape of mini-batch."""

    def __init__(self, forecaster: Forecaster, loss: LossOf, given: dict[str, Tensor], pool: Any, warmups: int):
        self._forecaster = forecaster
        module = _Loss(forecaster, loss, list(given))
        arguments = tuple(each.clone() for each in self._arguments(given))  # where replays put what they are given
        caching = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)  # weights cast once would stay what they were
        try:
            with _telling(forecaster, _Told(forecaster.progress, arguments[0])):
                self._replay: Callable[..., Tensor] = torch.cuda.make_graphed_callables(
                    module, arguments, num_warmup_iters=warmups, allow_unused_input=True, pool=pool
                )  # type: ignore[assignment]
        finally:
            torch.set_autocast_cache_enabled(caching)

    def _arguments(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        step = torch.full((), self._forecaster.progress.step, device=given["x"].device)
        return step, *given.values()

    def __call__(self, given: dict[str, Tensor]) -> Tensor:
        return self._replay(*self._arguments(given))


class _Loss(nn.Module):
    """The loss as a module's function of tensors alone, as capturing asks for it."""

    def __init__(self, forecaster: Forecaster, loss: LossOf, names: list[str]):
        super().__init__()
        self.forecaster = forecaster  # whose parameters the backward pass is captured for
        self._loss, self._names = loss, names

    def forward(self, step: Tensor, *given: Tensor) -> Tensor:
        return self._loss(Batch(**dict(zip(self._names, given, strict=True))))


class _Told(Progress):
    """Progress while a step is captured: its step as a tensor that replays fill, and a note of what was read."""

    def __init__(self, now: Progress, step: Tensor):
        self.read: set[str] = set()
        super().__init__(now.step, now.epoch, now.steps, now.epochs)
        self._taken = step

    def __getattribute__(self, name: str) -> Any:
        if name in ("step", "epoch"):
            self.read.add(name)
        return super().__getattribute__(name)

    def taken(self, like: Tensor) -> Tensor:
        return self._taken.to(like.dtype)


@contextmanager
def _telling(forecaster: Forecaster, told: _Told) -> Iterator[None]:
    """Inside, the forecaster reads this progress."""
    before, forecaster.progress = forecaster.progress, told
    try:
        yield
    finally:
        forecaster.progress = before


@contextmanager
def _without_trace(forecaster: Forecaster) -> Iterator[dict[str, Any]]:
    """What is tried inside moves neither running statistics nor generators, whose states before it are handed in."""
    saved = forecaster.state_dict()
    buffers = [(each, each.clone()) for name, each in forecaster.named_buffers() if name in saved]
    before = get_generators()
    try:
        yield before
    finally:
        set_generators(before)
        with torch.no_grad():
            for buffer, old in buffers:
                buffer.copy_(old)


def _plain(state: Any) -> Any:
    """A generator's state as what can be compared."""
    parts = state if isinstance(state, list) else [state]
    return [each.tolist() if isinstance(each, Tensor) else each for each in parts]
