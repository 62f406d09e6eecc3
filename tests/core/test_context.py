"""What stands beside x."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fieldcast.core.context import Batch, Context, Progress
from fieldcast.core.spec import Spec
from tests.contracts.cases import Sizes, tiny_windows


def context() -> Context:
    values = torch.arange(1.0, 25.0).view(2, 3, 4, 1)  # [B, T, M, O]
    seen = torch.ones(2, 3, 4, 1, dtype=torch.bool)
    calendar = torch.zeros(2, 5, 3, dtype=torch.long)
    told = torch.arange(16).view(2, 2, 4, 1) % 3 > 0  # [B, H, M, O]
    return Context(
        seen.expand(2, 3, 4, 2), values, seen, calendar, future=torch.rand(2, 2, 4, 1), teacher=told.float(),
        teacher_observed=told,
    )  # fmt: skip


@pytest.mark.parametrize(("step", "steps", "fraction"), [(0, 0, 0), (5, 0, 0), (0, 10, 0), (5, 10, 0.5), (12, 10, 1)])
def test_fraction_of_training(step: int, steps: int, fraction: float) -> None:
    assert Progress(step=step, steps=steps).fraction == fraction


def test_a_gate_acts_on_history_and_on_what_was_observed() -> None:
    before = context()
    gate = torch.tensor([1.0, 0.0, 0.5, -0.0])
    after = before.gated(gate, gate)
    assert torch.equal(after.history, before.history * gate[:, None])
    assert after.observed.any(dim=3).any(dim=1).tolist() == [[True, False, True, False]] * 2
    assert torch.equal(after.history_observed, after.observed[..., :1])
    assert after.teacher is not None and after.teacher_observed is not None and before.teacher is not None
    for now, then in ((after.teacher, before.teacher), (after.teacher_observed, before.teacher_observed)):
        assert torch.equal(now[:, :, [0, 2]], then[:, :, [0, 2]]) and not now[:, :, [1, 3]].any()  # type: ignore[index]
    assert before.observed.all() and after.calendar is before.calendar and after.future is before.future


def test_a_gate_of_a_compacted_model_has_two_sizes() -> None:
    compact = context()
    compact.observed = compact.observed[:, :, [2, 0]]
    after = compact.gated(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert after.observed.any(dim=3).any(dim=1).tolist() == [[False, True]] * 2
    assert after.history[:, :, 1:].eq(0).all() and after.history[:, :, 0].ne(0).all()


def test_the_context_at_the_nodes_that_are_read() -> None:
    whole = context()
    part = whole.at(torch.tensor([2, 0]))
    assert torch.equal(part.history, whole.history[:, :, [2, 0]]) and part.history_observed.shape == (2, 3, 2, 1)
    assert part.future is not None and part.future.shape == (2, 2, 2, 1)
    assert part.teacher is not None and torch.equal(part.teacher.bool(), whole.teacher_observed[:, :, [2, 0]])  # type: ignore[index]
    assert torch.equal(part.teacher.bool(), part.teacher_observed)  # type: ignore[arg-type]
    assert part.observed is whole.observed


def test_a_batch_shares_the_numbers_and_keeps_their_kinds() -> None:
    windows = tiny_windows(Sizes())
    batch = Batch.of(windows.batch(windows.starts("test")[:3]))
    assert batch.x.shape == (3, 6, 5, 2) and batch.x.dtype == torch.float32
    assert batch.observed.dtype == torch.bool and batch.calendar.dtype == torch.int64
    assert batch.y is not None and batch.y.shape == (3, 3, 5, 1) and batch.future is None
    assert batch.window.tolist() == windows.starts("test")[:3].tolist()


def test_the_spec_of_some_nodes() -> None:
    windows = tiny_windows(Sizes())
    whole, part = Spec.of(windows.form), Spec.of(windows.form, inputs=np.array([3, 1]))
    assert (whole.nodes, whole.output_nodes, part.nodes, part.output_nodes) == (5, 5, 2, 5)
    assert (whole.channels, whole.targets, whole.steps_per_day) == (2, 1, 4)
    assert part.coordinates is not None and np.array_equal(part.coordinates, windows.form.coordinates[[3, 1]])  # type: ignore[index]
    changed = whole.with_(channels=16)
    assert (changed.channels, whole.channels) == (16, 2)
