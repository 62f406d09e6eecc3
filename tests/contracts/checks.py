"""The contracts as checks over a subject; the test files say which subjects they run over."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fieldcast.core.context import Batch
from fieldcast.core.seeding import seeded
from fieldcast.core.task import Forecasting
from fieldcast.data.loader import WindowLoader
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, create, export
from tests.contracts.cases import ODD, Sizes, Subject, train_steps
from tests.contracts.shapes import checked_forecast
from tests.reference.hard_mask import hard_masked_forecast

KEPT = [4, 1, 3]
ORDER = [3, 0, 4, 2, 1]


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> bool:
    """Equal up to ``tolerance`` of the largest value, or of 1."""
    return bool((actual - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max())))


def at_nodes(batch: Batch, nodes: Sequence[int]) -> Batch:
    """The batch over other nodes."""

    def take(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[:, :, list(nodes)]

    x, observed = batch.x[:, :, list(nodes)], batch.observed[:, :, list(nodes)]
    return dataclasses.replace(
        batch, x=x, observed=observed, y=take(batch.y), y_observed=take(batch.y_observed), future=take(batch.future)
    )


def refused(call: Any, *args: Any, match: str | None = None, **kwargs: Any) -> str:
    """The one sentence with which a call is refused."""
    with pytest.raises(FieldcastError, match=match) as caught:
        call(*args, **kwargs)
    said = str(caught.value)
    assert "\n" not in said and said.endswith("."), said
    return said


def takes_odd_sizes(subject: Subject, sizes: Sizes) -> None:
    """Every shape is as promised and every number finite, at B = 1 and 3, with the scaler of each kind."""
    forecaster = subject.build(sizes)
    for count in (1, 3):
        assert torch.isfinite(checked_forecast(forecaster, subject.batch(sizes, count))).all()


def keeps_its_shortest_lookback(subject: Subject) -> None:
    """Works at ``min_lookback`` and is refused below."""
    shortest = subject.cls.min_lookback()  # type: ignore[attr-defined]
    assert shortest >= 1
    sizes = Sizes(lookback=shortest)
    assert torch.isfinite(checked_forecast(subject.build(sizes), subject.batch(sizes))).all()
    if shortest > 1:
        form = dataclasses.replace(subject.windows(sizes).form, lookback=shortest - 1)
        graph = subject.windows(sizes).graph
        refused(create, subject.backbone, form, graph=graph, match=f"{shortest} steps")


def names_its_node_tensors(subject: Subject) -> None:
    """Exactly the axes that grow with N are declared, in parameters and in buffers that are saved."""
    small, large = subject.build(Sizes(nodes=4)), subject.build(Sizes(nodes=5))
    declared: dict[str, set[int]] = {}
    for prefix, axes, _ in large._node_tensors(np.arange(5), np.arange(5)):
        for name, dims in axes.items():
            declared.setdefault(f"{prefix}{name}", set()).update(dims)
    before, after = small.state_dict(), large.state_dict()
    # Grids of 4 and 5 nodes have other shapes, yet no weight of a convolution depends on them.
    for name, tensor in after.items():
        grown = {axis for axis, (a, b) in enumerate(zip(before[name].shape, tensor.shape, strict=True)) if a != b}
        assert grown == declared.pop(name, set()), f"{name}: axes {grown} grow with the number of nodes"
    assert not declared, f"per_node names what is not saved: {sorted(declared)}"
    if not subject.stages:
        own = large.backbone.node_axes()
        assert not (large.backbone.unseen_nodes and own), (
            "a model with tensors of its own per node takes no unseen nodes"
        )


def trains_every_parameter(subject: Subject) -> None:
    """Finite gradients throughout; within three steps every parameter gets one that is not zero."""
    sizes = Sizes(silent=True)
    forecaster = subject.build(sizes, stirred=False)
    named = {name: p for name, p in forecaster.named_parameters() if p.requires_grad}
    assert named, "a trainable model has parameters"
    waiting = set(named)
    for step in range(3):
        with seeded(step):  # what dropout draws decides how soon a gradient comes
            assert np.isfinite(train_steps(forecaster, subject.windows(sizes), 1, rate=0.05)).all()
        for name, parameter in named.items():
            if parameter.grad is None:
                continue
            assert torch.isfinite(parameter.grad).all(), f"{name} has a gradient that is not finite"
            if parameter.grad.abs().sum() > 0:
                waiting.discard(name)
    assert not waiting, f"no gradient reaches {sorted(waiting)}"


def ignores_what_was_not_observed(subject: Subject) -> None:
    """NaN, infinity, 1e30 or anything else where nothing was observed: the same bits."""
    sizes = Sizes(silent=True)
    forecaster, batch = subject.build(sizes), subject.batch(sizes)
    assert not batch.observed.all()
    expected = forecaster.forecast(batch)
    for value in (float("nan"), float("inf"), 1e30, -7.0):
        changed = dataclasses.replace(batch, x=torch.where(batch.observed, batch.x, value))
        assert torch.equal(forecaster.forecast(changed), expected), f"{value} leaks"


def never_sees_the_targets(subject: Subject) -> None:
    """In eval nothing depends on y, not even when the context carries a teacher."""
    forecaster, batch = subject.build(), subject.batch()
    assert batch.y is not None and batch.y_observed is not None
    expected = forecaster.forecast(batch)
    seen = torch.ones_like(batch.y_observed)
    for y in (torch.full_like(batch.y, 1e6), torch.zeros_like(batch.y)):
        changed = dataclasses.replace(batch, y=y, y_observed=seen)
        assert torch.equal(forecaster.forecast(changed), expected)
        with torch.no_grad():
            x, ctx = forecaster.prepare(changed, teacher=True)
            assert torch.equal(forecaster.unscale(forecaster(x, ctx)), expected)


def keeps_samples_apart(subject: Subject) -> None:
    """Another first sample leaves the bits of the others' forecasts alone."""
    forecaster, batch = subject.build(), subject.batch(count=4)
    x, observed = batch.x.clone(), batch.observed.clone()
    x[0], observed[0] = 3.0 * torch.nan_to_num(x[0]) + 11.0, True
    calendar = batch.calendar.clone()
    calendar[0] = calendar[0].flip(0)
    changed = dataclasses.replace(batch, x=x, observed=observed, calendar=calendar)
    before, after = forecaster.forecast(batch), forecaster.forecast(changed)
    assert torch.equal(before[1:], after[1:])


def has_a_local_head(subject: Subject) -> None:
    """h of one node changes y of that node alone."""
    forecaster = subject.build()
    h = torch.randn(2, 5, forecaster.backbone.width, generator=torch.Generator().manual_seed(0))  # [B, N, D]
    other = h.clone()
    other[:, 2] += 1.0
    with torch.no_grad():
        y, z = forecaster.backbone.head(h), forecaster.backbone.head(other)  # [B, H, N, O]
    rest = [0, 1, 3, 4]
    assert torch.equal(y[:, :, rest], z[:, :, rest])
    assert not torch.equal(y[:, :, 2], z[:, :, 2])


def follows_a_permutation(subject: Subject, scaler: str = "channel") -> None:
    """Permuted readings in the renoded model give permuted forecasts; in the old model they do not, if nodes differ."""
    sizes = Sizes(scaler=scaler)
    forecaster, batch = subject.build(sizes), subject.batch(sizes)
    permuted = at_nodes(batch, ORDER)
    expected = forecaster.forecast(batch)[:, :, ORDER]
    renoded = forecaster.renode(ORDER)
    assert renoded.form.nodes == tuple(forecaster.form.nodes[i] for i in ORDER)
    assert close(renoded.forecast(permuted), expected)
    tells_apart = any(axes for _, axes, _ in forecaster._node_tensors(np.arange(5), np.arange(5)))
    if tells_apart or forecaster.backbone.needs_graph:
        assert not close(forecaster.forecast(permuted), expected, 1e-3), "node tensors have no part in the forecast"
    elif scaler != "node":
        assert close(forecaster.forecast(permuted), expected)


def compacts(subject: Subject, scaler: str = "channel") -> None:
    """``renode`` to fewer nodes equals the hard-masked reference on those that are kept."""
    sizes = Sizes(scaler=scaler)
    forecaster, batch = subject.build(sizes), subject.batch(sizes)
    compact = forecaster.renode(KEPT)
    actual = compact.forecast(at_nodes(batch, KEPT))
    expected = hard_masked_forecast(forecaster, batch, KEPT)[:, :, KEPT]
    assert close(actual, expected), float((actual - expected).abs().max())


def takes_half_precision(subject: Subject) -> None:
    """Under autocast to bfloat16 the forecast is that of float32 to a few hundredths, and training moves on."""
    forecaster, batch = subject.build(stirred=False), subject.batch()
    x, ctx = forecaster.prepare(batch)
    with torch.no_grad():
        expected = forecaster(x, ctx)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert close(forecaster(x, ctx).float(), expected, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = train_steps(forecaster, subject.windows(Sizes()))
    assert np.isfinite(losses).all()
    assert all(torch.isfinite(p.grad).all() for p in forecaster.parameters() if p.grad is not None)


def compiles(subject: Subject) -> None:
    """``torch.compile`` takes it whole, once for all mini-batches of one size, in training and in evaluation.

    The last mini-batch is filled up with windows that weigh nothing.
    """
    from torch._dynamo import config, reset
    from torch._dynamo.testing import CompileCounter

    forecaster, task, windows = subject.build(), Forecasting(), subject.windows(Sizes())
    size = len(windows.starts("validation")) // 2 + 1  # two mini-batches, the second not full
    filled, whole = ([*WindowLoader(windows, "validation", size, fill=fill)] for fill in (True, False))
    assert len(whole) == 2 and len(whole[1].x) < len(whole[0].x) == len(filled[1].x)
    batches = [Batch.of(each) for each in filled]
    reset()
    with config.patch(allow_rnn=True):
        counter = CompileCounter()
        compiled = torch.compile(forecaster, fullgraph=True, backend=counter)
        with torch.no_grad():
            for batch, given in zip(batches, map(Batch.of, whole), strict=True):
                x, ctx = forecaster.prepare(batch)
                expected = task.loss(forecaster, *forecaster.prepare(given), *_truth(forecaster, given))
                assert close(compiled(x, ctx), forecaster(x, ctx))
                assert close(task.loss(compiled, x, ctx, *_truth(forecaster, batch)), expected)
        assert counter.frame_count == 1, "compiled anew for a mini-batch of the same size"
        forecaster.train()
        forecaster.progress.steps, before = 100, counter.frame_count
        for step in range(6):
            forecaster.progress.step, batch = step, batches[step % 2]
            x, ctx = forecaster.prepare(batch, teacher=True)
            task.loss(compiled, x, ctx, *_truth(forecaster, batch)).backward()
        assert counter.frame_count <= before + 2, "compiled anew for every step"
    reset()


def _truth(forecaster: Forecaster, batch: Batch) -> tuple[Tensor, Tensor]:
    assert batch.y is not None and batch.y_observed is not None
    return forecaster.rescale(batch.y), batch.y_observed


def grows(subject: Subject) -> None:
    """New nodes: rows are the mean (or zero), old rows stay, and old forecasts too where nodes do not mix."""
    forecaster, batch = subject.build(), subject.batch()
    grown = forecaster.renode([0, 1, 2, 3, 4, -1, -1], names=["north", "south"])
    zeroed = forecaster.renode([0, 1, 2, 3, 4, -1, -1], fill="zero")
    assert grown.form.nodes[5:] == ("north", "south")
    old, new, zero = forecaster.state_dict(), grown.state_dict(), zeroed.state_dict()
    for prefix, axes, _ in forecaster._node_tensors(np.arange(5), np.arange(5)):
        for name, dims in axes.items():
            tensor = new[f"{prefix}{name}"]
            for axis in dims:
                rows, empty = tensor.select(axis, 6), zero[f"{prefix}{name}"].select(axis, 6)
                assert torch.equal(rows, tensor.select(axis, 5)) and not empty.any()
            if len(dims) == 1 and f"{prefix}{name}" not in _twice(forecaster):
                assert torch.equal(tensor.narrow(dims[0], 0, 5), old[f"{prefix}{name}"])
                assert close(tensor.select(dims[0], 5), old[f"{prefix}{name}"].mean(dim=dims[0]), 1e-6)
    wide = at_nodes(batch, [0, 1, 2, 3, 4, 0, 1])
    forecast = grown.forecast(wide)
    assert torch.isfinite(forecast).all() and forecast.shape[2] == 7
    if not mixes_nodes(forecaster, batch):
        assert close(forecast[:, :, :5], forecaster.forecast(batch))


def _twice(forecaster: Forecaster) -> set[str]:
    """Tensors with an axis over the nodes that are read and one over those that are forecast."""
    return {
        f"between.{i}.{name}"
        for i, stage in enumerate(forecaster.between)
        for name in stage.node_axes()  # type: ignore[operator]
        if name in stage.per_output_node  # type: ignore[operator]
    }


def mixes_nodes(forecaster: Forecaster, batch: Batch) -> bool:
    """Whether readings of one node change the forecast of another, found by trying."""
    x, observed = batch.x.clone(), batch.observed.clone()
    x[:, :, 0], observed[:, :, 0] = 5.0 + 2.0 * torch.nan_to_num(x[:, :, 0]), True
    changed = forecaster.forecast(dataclasses.replace(batch, x=x, observed=observed))
    return not torch.equal(changed[:, :, 1:], forecaster.forecast(batch)[:, :, 1:])


def cannot_change_its_nodes(subject: Subject) -> None:
    """A grid model says so in a sentence."""
    refused(subject.build().renode, KEPT, match="grid")


def copies(subject: Subject) -> None:
    """A deep copy, a pickled one and one taken to another kind of number and back say the same to the bit."""
    forecaster, batch = subject.build(), subject.batch()
    expected = forecaster.forecast(batch)
    there_and_back = copy.deepcopy(forecaster).double().float()
    for each in (copy.deepcopy(forecaster), pickle.loads(pickle.dumps(forecaster)), there_and_back):
        assert torch.equal(each.forecast(batch), expected)
    assert torch.equal(forecaster.forecast(batch), expected)


def exports(subject: Subject) -> None:
    """The exported graph equals the model at batches of 1, 2 and 5, and leaves the model as it was."""
    forecaster = subject.build()
    batches = [subject.batch(count=count) for count in (1, 2, 5)]
    expected = [forecaster.forecast(batch) for batch in batches]
    program = export(forecaster).module()
    for batch, forecast in zip(batches, expected, strict=True):
        assert close(program(batch.x, batch.observed, batch.calendar), forecast)
        assert torch.equal(forecaster.forecast(batch), forecast)


ODD_IDS = [f"N{sizes.nodes}-T{sizes.lookback}-H{sizes.horizon}-C{sizes.channels}-O{sizes.targets}" for sizes in ODD]
