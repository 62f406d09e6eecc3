"""The rules of scoring: whose arithmetic is followed, which horizons are shown; which cells are scored is data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fieldcast.data.scored import ScoreRule, active_nodes, primary_rule
from fieldcast.errors import FieldcastError

__all__ = ["Arithmetic", "ScoreRule", "active_nodes", "mean_label", "pooled_label", "primary_rule", "shown_horizons"]


@dataclass(frozen=True)
class Arithmetic:
    """Whose arithmetic the scores follow; the defaults are the protocol, the others reproduce foreign numbers.

    Args:
        mask: ``observed`` scores the cells that the dataset's rule leaves; ``none`` drops that rule and scores every
            observed cell (AGCRN's flow pipeline). Unobserved cells are not scored by either.
        average: the headline is the ``mean`` of the per-horizon figures (Graph WaveNet, LargeST), or one figure over
            all cells, ``pooled`` (STAEformer, BasicTS). Both are always computed.
    """

    mask: Literal["observed", "none"] = "observed"
    average: Literal["mean", "pooled"] = "mean"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("mask", self.mask, ("observed", "none")),
            ("average", self.average, ("mean", "pooled")),
        ):
            if value not in known:
                raise FieldcastError(f"the arithmetic {name}={value!r} is not known: choose one of {', '.join(known)}.")

    def effective(self, rule: ScoreRule) -> ScoreRule:
        """Return the rule that is really applied when ``rule`` is asked for."""
        return rule if self.mask == "observed" else ScoreRule("all observed cells (mask=none)")

    def departures(self) -> list[str]:
        """Return the switches that differ from the protocol, for the header of a result; empty for the protocol."""
        return [
            f"{name}={value}"
            for name, value, usual in (("mask", self.mask, "observed"), ("average", self.average, "mean"))
            if value != usual
        ]


def shown_horizons(horizon: int) -> tuple[int, ...]:
    """Return the steps that tables show, counted from 1: 3, 6 and 12 where they exist, and the last."""
    return tuple(sorted({step for step in (3, 6, 12) if step <= horizon} | {horizon}))


def mean_label(horizon: int) -> str:
    """Return the name of the mean over all per-horizon figures, such as ``mean12``."""
    return f"mean{horizon}"


def pooled_label(horizon: int) -> str:
    """Return the name of the one figure over all cells of all horizons, such as ``pooled12``."""
    return f"pooled{horizon}"
