"""Paired differences: they find what is there, claim nothing where nothing is, and match a plain reference."""

from __future__ import annotations

import numpy as np
import pytest

from fieldcast.errors import FieldcastError
from fieldcast.evaluation import ScoreSums, block_of, bootstrap_difference, holm, paired_difference


def sums(prediction: np.ndarray, target: np.ndarray, days: np.ndarray, observed: np.ndarray | None = None) -> ScoreSums:
    scored = ScoreSums(target.shape[1], target.shape[2], 1, "observed cells")
    scored.update(prediction, target, np.ones(target.shape, bool) if observed is None else observed, None, days)
    return scored


def world(days: int = 30, per_day: int = 8, seed: int = 0) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(days * per_day, 3, 4, 1))
    return rng, target, np.repeat(np.arange(days), per_day)


def test_a_clear_gain_is_found_and_its_size_is_the_plain_difference() -> None:
    rng, target, days = world()
    noise = rng.normal(size=target.shape)
    better = [sums(target + 0.5 * noise, target, days) for _ in range(3)]
    worse = [sums(target + noise, target, days) for _ in range(3)]
    found = paired_difference(better, worse)
    plain = np.abs(0.5 * noise).mean(axis=(0, 2, 3)).mean() - np.abs(noise).mean(axis=(0, 2, 3)).mean()
    assert found.difference == pytest.approx(plain, rel=1e-12)
    assert found.relative == pytest.approx(-0.5, rel=1e-9)
    assert found.high is not None and found.high < 0
    assert found.p is not None and found.p < 0.01
    assert found.days == 30 and found.seeds == 3


def test_equal_models_are_no_discovery() -> None:
    rejected = 0
    for seed in range(40):
        rng, target, days = world(days=20, seed=seed)
        day = rng.normal(size=(20, 1, 1, 1)).repeat(8, axis=0)  # hard days, hard for every seed
        one, other = (
            [sums(target + day * sign + rng.normal(size=target.shape), target, days) for _ in range(3)]
            for sign in (1, -1)
        )
        p = paired_difference(one, other, draws=400).p
        assert p is not None
        rejected += p < 0.05
    assert rejected <= 6  # 5 % of 40 is 2; a bootstrap over 20 days is a little liberal


def test_few_days_give_the_size_alone() -> None:
    rng, target, days = world(days=9)
    found = paired_difference([sums(target + 1, target, days)], [sums(target + 2, target, days)])
    assert found.difference == pytest.approx(-1)
    assert (found.low, found.high, found.p) == (None, None, None)
    del rng


def test_a_baseline_stands_against_every_seed() -> None:
    rng, target, days = world()
    seeds = [sums(target + rng.normal(size=target.shape), target, days) for _ in range(3)]
    assert paired_difference(seeds, [sums(target + 3, target, days)]).seeds == 3


def test_what_does_not_match_is_refused() -> None:
    _, target, days = world()
    one = sums(target, target, days)
    with pytest.raises(FieldcastError, match="different days"):
        paired_difference([one], [sums(target, target, days + 1)])
    fewer = np.ones(target.shape, bool)
    fewer[0] = False
    with pytest.raises(FieldcastError, match="different cells"):
        paired_difference([one], [sums(target, target, days, fewer)])
    with pytest.raises(FieldcastError, match="equal seeds"):
        paired_difference([one, one], [one, one, one])


def test_the_interval_repeats_for_a_seed() -> None:
    rng, target, days = world()
    one, other = (sums(target + rng.normal(size=target.shape), target, days) for _ in range(2))
    assert paired_difference([one], [other], seed=5) == paired_difference([one], [other], seed=5)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]
    assert holm([0.01, None, 0.5]) == [0.02, None, 0.5]
    assert holm([None, None]) == [None, None]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_block_is_as_long_as_two_horizons() -> None:
    assert block_of(12, 342, 342) == 24  # twelve days ahead, a window a day
    assert block_of(12, 868, 19) == 1  # six hours
    assert block_of(48, 24 * 30 - 60, 30) == 5  # two days of hours, in a part of 27.5 days
    assert block_of(12, 265, 12) == 1  # half a day of hours, in a part of 11 days that touches 12
    assert block_of(12, 130, 12) == 2  # a day of two-hour steps
    assert block_of(1, 1, 1) == 1


def test_copies_of_a_seed_make_no_more_days() -> None:
    """Three seeds alike know no more than one: the interval stays as wide."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1, 60, 2)) + 5
    counts, base = np.ones(one.shape), np.full(one.shape, 5.0)
    alone = bootstrap_difference(one, base, counts)
    copies = bootstrap_difference(*(np.repeat(each, 3, axis=0) for each in (one, base, counts)))
    assert alone.high is not None and alone.low is not None and copies.high is not None and copies.low is not None
    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_blocks_widen_the_interval_of_days_that_err_alike() -> None:
    """Runs of ten days share their error: days drawn one by one believe in ten times the days that there are."""
    rng = np.random.default_rng(0)
    other = np.repeat(rng.normal(size=(1, 40, 1)), 10, axis=1) + 5  # [1, 400, 1]
    count = np.ones(other.shape)
    plain, blocks = (bootstrap_difference(other, np.full(other.shape, 5.0), count, block=block) for block in (1, 10))
    assert blocks.difference == plain.difference and (plain.block, blocks.block) == (1, 10)
    widths = [each.high - each.low for each in (plain, blocks)]  # type: ignore[operator]
    assert widths[1] / widths[0] == pytest.approx(10**0.5, rel=0.2)
    short = slice(0, 90)
    assert bootstrap_difference(other[:, short], other[:, short], count[:, short], block=10).p is None
