"""The loader: its state is all there is to say, its orders come from the seed, its shares cover everything once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.data.loader import WindowLoader
from tests.tiny import tiny_windows

WINDOWS = tiny_windows()


def starts(loader: WindowLoader) -> list[list[int]]:
    return [batch.start.tolist() for batch in loader]


def flat(batches: list[list[int]]) -> list[int]:
    return [start for batch in batches for start in batch]


@pytest.mark.parametrize(("batch_size", "full"), [(7, 3), (23, 1), (100, 0)])
def test_the_last_mini_batch_is_filled_with_windows_that_weigh_nothing(batch_size: int, full: int) -> None:
    assert len(WINDOWS.starts("validation")) == 23
    filled = [*WindowLoader(WINDOWS, "validation", batch_size, fill=True)]
    given = [*WindowLoader(WINDOWS, "validation", batch_size)]
    assert [len(batch.x) for batch in filled] == [batch_size] * len(given)
    assert sum(len(batch.x) == batch_size for batch in given) == full
    for more, batch in zip(filled, given, strict=True):
        own = len(batch.x)
        assert batch.y_observed is not None and more.y_observed is not None and batch.y_observed.any()
        assert np.array_equal(more.x[:own], batch.x, equal_nan=True) and np.array_equal(more.start[:own], batch.start)
        assert np.array_equal(more.y_observed[:own], batch.y_observed) and not more.y_observed[own:].any()
    assert WINDOWS.batch(WINDOWS.starts("validation")[:1]).y_observed.any(), "the data's own mask is as it was"  # type: ignore[union-attr]


@settings(deadline=None, max_examples=30)
@given(batch_size=st.integers(1, 200), epoch=st.integers(0, 3), at=st.integers(0, 200), shuffle=st.booleans())
def test_a_restored_state_goes_on_with_the_same_batches(batch_size: int, epoch: int, at: int, shuffle: bool) -> None:
    loader = WindowLoader(WINDOWS, "train", batch_size, shuffle=shuffle, seed=3)
    loader.set_epoch(epoch)
    expected = starts(loader)
    assert len(expected) == len(loader)
    at %= len(loader)
    loader.set_epoch(epoch)
    iterator = iter(loader)
    for _ in range(at):
        next(iterator)
    state = json.loads(json.dumps(loader.state_dict()))
    assert state == {"epoch": epoch, "position": at}
    again = WindowLoader(WINDOWS, "train", batch_size, shuffle=shuffle, seed=3)
    again.load_state_dict(state)
    again.set_epoch(epoch)  # what the trainer does when it goes on within an epoch
    assert starts(again) == expected[at:]
    again.set_epoch(epoch + 1)
    fresh = WindowLoader(WINDOWS, "train", batch_size, shuffle=shuffle, seed=3)
    fresh.set_epoch(epoch + 1)
    assert starts(again) == starts(fresh), "the next epoch is whole"


def test_a_state_at_the_end_of_an_epoch_starts_the_next() -> None:
    loader = WindowLoader(WINDOWS, "train", 50, shuffle=True)
    loader.load_state_dict({"epoch": 0, "position": len(loader)})
    assert len(starts(loader)) == len(loader)


def test_validation_iterates_fully_twice_and_in_order() -> None:
    loader = WindowLoader(WINDOWS, "validation", 5)
    first, second = starts(loader), starts(loader)
    assert first == second and flat(first) == WINDOWS.starts("validation").tolist()
    assert len(first[-1]) == 3, "the last, smaller batch is not dropped"


def test_the_values_are_those_of_the_windows() -> None:
    batch = next(iter(WindowLoader(WINDOWS, "test", 4)))
    np.testing.assert_array_equal(batch.x, WINDOWS.batch(WINDOWS.starts("test")[:4]).x)


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("shuffle", [False, True])
def test_ranks_cover_every_window_once(world: int, shuffle: bool) -> None:
    loaders = [WindowLoader(WINDOWS, "train", 8, shuffle=shuffle, seed=1, rank=r, world=world) for r in range(world)]
    for loader in loaders:
        loader.set_epoch(2)
    shares = [flat(starts(loader)) for loader in loaders]
    assert sorted(flat(shares)) == WINDOWS.starts("train").tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for loader, share in zip(loaders, shares, strict=True):
        assert len(loader) == -(-len(share) // 8)


def test_orders_come_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = WindowLoader(WINDOWS, "train", shuffle=True, seed=seed)
        loader.set_epoch(epoch)
        return loader.order().tolist()

    np.random.seed(0)  # noqa: NPY002
    first = order(5, 1)
    np.random.seed(1)  # noqa: NPY002
    assert first == order(5, 1), "the global generator has no say"
    assert first != order(5, 2) and first != order(6, 1) and sorted(first) == sorted(order(6, 2))
