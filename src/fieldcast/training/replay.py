"""Training steps replayed as CUDA graphs: a GPU is told a whole pass at once, not kernel by kernel."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from fieldcast.core.context import Batch, Progress
from fieldcast.core.seeding import get_generators, set_generators
from fieldcast.forecaster import Forecaster

LossOf = Callable[[Batch], Tensor]
_PARTS = tuple(each.name for each in fields(Batch))


class Replays:
    """The loss of mini-batches on a GPU, forward and backward pass each replayed from a CUDA graph.

    The steps of most backbones are hundreds of small kernels, which a GPU finishes faster than a CPU can launch them.
    A graph holds the launches of one shape of mini-batch; it is captured when a shape comes for the second time, and
    computes what the kernels did, with new numbers and new draws, at the same addresses.

    What a step reads beside tensors must stay as it was. A new epoch captures anew where the model or the task read
    the epoch. Steps are not captured, which is said in a warning, where the model read the number of the step as a
    number (``ctx.progress.taken`` gives it as a tensor) or drew from a generator of Python, numpy or torch's CPU, and
    where torch refuses, as it does when a step waits for the GPU (``.item()``, a shape that depends on values).
    Source: ``torch.cuda.make_graphed_callables``.
    """

    def __init__(self, forecaster: Forecaster, loss: LossOf):
        self._forecaster, self._loss = forecaster, loss
        self._seen: dict[tuple[Any, ...], _Captured | None] = {}
        self._pool: Any = None
        self._warm = False  # whether all that is made once, of libraries and allocator, is made
        self.refused = ""
        """Why steps are not captured; empty where they are."""

    def __call__(self, batch: Batch) -> Tensor:
        if self.refused:
            return self._loss(batch)
        given = {name: each for name in _PARTS if (each := getattr(batch, name)) is not None}
        shape = tuple((name, each.shape, each.dtype) for name, each in given.items())
        if shape not in self._seen:
            self._seen[shape] = None
            return self._loss(batch)
        captured, epoch = self._seen[shape], self._forecaster.progress.epoch
        if captured is None or (captured.reads_epoch and captured.epoch != epoch):
            captured = self._capture(given)
            if captured is None:
                return self._loss(batch)
            self._seen[shape] = captured
        return captured(given)

    def clear(self) -> None:
        """Give the graphs' memory back."""
        self._seen.clear()

    def _capture(self, given: dict[str, Tensor]) -> _Captured | None:
        self._pool = torch.cuda.graph_pool_handle() if self._pool is None else self._pool
        try:
            with _without_trace(self._forecaster):
                captured = _Captured(self._forecaster, self._loss, given, self._pool, 1 if self._warm else 3)
        except (RuntimeError, _Refused) as error:
            why = str(error).strip().partition("\n")[0]
            self.refused = why or type(error).__name__
            warnings.warn(f"the steps are not captured as CUDA graphs, which is slower: {self.refused}", stacklevel=2)
            self.clear()
            return None
        self._warm = True
        return captured


class _Refused(Exception):
    """Says why a step is none that could be replayed."""


class _Captured:
    """The graphs of one shape of mini-batch."""

    def __init__(self, forecaster: Forecaster, loss: LossOf, given: dict[str, Tensor], pool: Any, warmups: int):
        progress = forecaster.progress
        self.epoch = progress.epoch
        self._forecaster = forecaster
        self._module = _Loss(forecaster, loss, list(given))
        arguments = tuple(each.clone() for each in self._arguments(given))  # where replays put what they are given
        told = _Told(progress, arguments[0])
        forecaster.progress = told
        caching = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        try:
            self._replay: Callable[..., Tensor] = torch.cuda.make_graphed_callables(
                self._module, arguments, num_warmup_iters=warmups, allow_unused_input=True, pool=pool
            )  # type: ignore[assignment]
        finally:
            forecaster.progress = progress
            torch.set_autocast_cache_enabled(caching)
        if "step" in told.read:
            raise _Refused("the model reads progress.step as a number: let it read progress.taken")
        self.reads_epoch = "epoch" in told.read

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
def _without_trace(forecaster: Forecaster) -> Iterator[None]:
    """What is tried inside moves neither running statistics nor generators; refuse what draws elsewhere than a GPU."""
    saved = forecaster.state_dict()
    buffers = [(each, each.clone()) for name, each in forecaster.named_buffers() if name in saved]
    before = get_generators()
    try:
        yield
        after = get_generators()
    finally:
        set_generators(before)
        with torch.no_grad():
            for buffer, old in buffers:
                buffer.copy_(old)
    for what, named in (("torch", "torch's CPU"), ("python", "Python"), ("numpy", "numpy")):
        if _plain(before[what]) != _plain(after[what]):
            raise _Refused(f"the model draws from the generator of {named}, where a graph would repeat its draws")


def _plain(state: Any) -> Any:
    """A generator's state as what can be compared."""
    return [each.tolist() if isinstance(each, Tensor) else each for each in state] if isinstance(state, list) else state.tolist()
