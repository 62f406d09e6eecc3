"""Differences between two models: paired by window, resampled by day and by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.sums import STATISTICS, ScoreSums

FEWEST_DAYS = 10
"""With fewer test days (or blocks of days) a bootstrap says nothing: only the size of a difference is reported."""


@dataclass(frozen=True)
class Difference:
    """MAE of a model minus MAE of the reference (negative: the model is better), mean over horizons.

    ``low`` and ``high`` are the 95 % percentile interval and ``p`` the two-sided bootstrap value, None where there are
    fewer than ten test days, or blocks of ``block`` days.
    """

    difference: float
    relative: float
    low: float | None
    high: float | None
    p: float | None
    days: int
    seeds: int
    block: int = 1

    @property
    def resampled(self) -> str:
        """Over what the bootstrap ran, in words; or that it did not."""
        if self.p is None:
            return f"{self.too_few}: sizes only, no significance"
        blocks = f" in blocks of {self.block}" if self.block > 1 else ""
        return f"bootstrap over {self.days} test days{blocks}{' and over seeds' if self.seeds > 1 else ''}"

    @property
    def too_few(self) -> str:
        """What there are too few of where there is no interval, in words."""
        return f"fewer than {FEWEST_DAYS} {'blocks' if self.block > 1 else 'test days'}"

    def row(self, adjusted: float | None) -> dict[str, str]:
        """The columns of a table's row; ``adjusted`` is the p by :func:`holm` over that table."""
        p = "-" if adjusted is None else "< 0.001" if adjusted < 0.001 else f"{adjusted:.3f}"
        return {
            "difference": f"{self.difference:+.3f} ({100 * self.relative:+.1f} %)",
            "95 % interval": "-" if self.low is None else f"{self.low:+.3f} to {self.high:+.3f}",
            "p (Holm)": p,
        }


def paired_difference(
    model: Sequence[ScoreSums], reference: Sequence[ScoreSums], channel: str | None = None, *, block: int = 1,
    draws: int = 10_000, seed: int = 0,
) -> Difference:  # fmt: skip
    """Compare two models on the same windows, seed by seed.

    d = mean over seeds s of [M(model, s) - M(reference, s)], M = mean over horizons of sum_days |e| / sum_days n. One
    draw of the bootstrap takes seeds with replacement and days with replacement, the same days for all seeds and both
    models; with ``block`` > 1 (see :func:`block_of`) it takes runs of so many neighbouring days, since windows whose
    horizons overlap err alike. The interval holds the middle 95 % of d, p = 2 min(share of d <= 0, share of d >= 0), at
    least 2 / (draws + 1). A model without seeds (a baseline) stands against every seed of the other.

    Raises FieldcastError where days, cells or seeds of the two do not match.
    """
    pairs = max(len(model), len(reference))
    for what, runs in (("model", model), ("reference", reference)):
        if len(runs) not in (1, pairs):
            raise FieldcastError(f"the {what} has {len(runs)} seeds and the other {pairs}: compare equal seeds.")
    first = model[0]
    if not all(np.array_equal(first.days, other.days) for other in (*model, *reference)) or len(first.days) == 0:
        raise FieldcastError("the two models were scored on different days: score them on the same windows.")
    errors, counts = [], []
    for runs in (model, reference):
        tables = [_daily(run, channel) for run in runs]
        tables = tables * pairs if len(tables) == 1 else tables
        errors.append(np.stack([error for error, _ in tables]))  # [S, D, H]
        counts.append(np.stack([count for _, count in tables]))
    if not np.array_equal(counts[0], counts[1]):
        raise FieldcastError("the two models were scored on different cells: score them by the same rule.")
    return bootstrap_difference(errors[0], errors[1], counts[0], block=block, draws=draws, seed=seed)


def bootstrap_difference(
    model: np.ndarray, reference: np.ndarray, counts: np.ndarray, *, block: int = 1, draws: int = 10_000, seed: int = 0
) -> Difference:
    """The difference of :func:`paired_difference` from sums of absolute errors by day.

    Shapes: ``model``, ``reference`` and ``counts`` (scored cells, the same for both) float64 [S, D, H], with H = 1
    where the steps are pooled.
    """
    pairs, days = counts.shape[:2]
    everything = np.ones((1, days))
    base = float(np.mean([_mean_error(e, n, everything) for e, n in zip(reference, counts, strict=True)]))
    size = float(np.mean([_mean_error(e, n, everything) for e, n in zip(model, counts, strict=True)])) - base
    relative = size / base if base else np.nan
    if days < FEWEST_DAYS * block:
        return Difference(size, relative, None, None, None, days, pairs, block)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(pairs, size=(draws, pairs))  # which seed stands in each place
    # The same days for all seeds of a draw: a hard day is hard for every seed, so that more seeds make no more days.
    drawn = rng.multinomial(round(days / block), np.full(days, 1 / days), size=draws)  # [R, D]
    # A block begins at each drawn day and goes round the end of the test part (Politis & Romano, 1992).
    drawn = sum((np.roll(drawn, shift, axis=-1) for shift in range(block)), np.zeros(drawn.shape))
    each = np.stack([
        _mean_error(model[s], counts[s], drawn) - _mean_error(reference[s], counts[s], drawn) for s in range(pairs)
    ], axis=1)  # fmt: skip
    resampled = np.take_along_axis(each, chosen, axis=1)  # [R, S]
    differences = resampled.mean(axis=1)  # [R]
    differences = differences[np.isfinite(differences)]
    low, high = np.quantile(differences, [0.025, 0.975])
    share = min((differences <= 0).sum(), (differences >= 0).sum())
    p = min(1.0, 2 * (share + 1) / (len(differences) + 1))
    return Difference(size, relative, float(low), float(high), float(p), days, pairs, block)


def block_of(horizon: int, windows: int, days: int) -> int:
    """Days that two horizons span, rounded up: the length of a block of the bootstrap, 2 H / (windows a day).

    Errors of windows depend on one another at least as far as their horizons overlap, which is H. The first and the
    last of the ``days`` are seldom whole and count as one; a tenth of a day makes no day more.
    """
    return max(1, math.ceil(2 * horizon * (days - 1) / windows - 0.1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment over all comparisons of a table; None stays None and is not counted.

    Sorted p_(1) <= ... <= p_(m): adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)). Holm, 1979.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = highest
    return adjusted


def _daily(sums: ScoreSums, channel: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Absolute errors and counts by day and horizon, [D, H] each."""
    if channel is None and len(sums.channels) > 1:
        raise FieldcastError(f"there are several channels: choose one of {', '.join(sums.channels)}.")
    position = 0 if channel is None else list(sums.channels).index(channel)
    by_day = sums.by_day
    if by_day is None:
        raise FieldcastError("the scores were kept without days: evaluate the run again.")
    error, count = (by_day[STATISTICS.index(name)][..., position] for name in ("absolute", "count"))
    return error, count


def _mean_error(error: np.ndarray, count: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over horizons of each horizon's MAE with weighted days: error, count [D, H], weights [R, D] -> [R]."""
    total, cells = weights @ error, weights @ count  # [R, H] each
    return np.divide(total, cells, out=np.full_like(total, np.nan), where=cells > 0).mean(axis=-1)
