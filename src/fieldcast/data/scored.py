"""Which cells of a dataset are scored: a rule that is data, read from ``scored_cells`` of its ``meta.toml``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from fieldcast.errors import FieldcastError

KNOWN_FORMS = ("all cells", "observed cells", "sea cells", "active cells", "cells with target > X")

# A rule may be followed by where it comes from: "..., as published" or "... (ST-SSL)".
_ORIGIN = r"(?:\s*,\s*as published)?(?:\s*\([^()]*\))?"
_FORM = r"(?:(?P<plain>all|observed|sea|active) cells|(?:cells with )?targets? *> *(?P<above>[-+]?\d+(?:\.\d+)?))"
_PRIMARY = re.compile(_FORM + _ORIGIN, re.IGNORECASE)
_BESIDE = re.compile(_FORM + r" beside" + _ORIGIN, re.IGNORECASE)


@dataclass(frozen=True)
class ScoreRule:
    """Which of the observed cells are scored.

    A cell is scored when it was observed, its reading is finite and, where the rule says so, lies above a threshold
    or belongs to an active node. An unobserved cell is never scored, whatever the rule.

    Args:
        name: how the rule is called in tables and records.
        above: score readings strictly greater than this, in the target's own unit; ``None`` for no threshold.
        active_only: score only the nodes (or node channels) that the caller names active.
    """

    name: str = "observed cells"
    above: float | None = None
    active_only: bool = False

    def __post_init__(self) -> None:
        if self.above is not None and not math.isfinite(self.above):
            raise FieldcastError(f"the threshold of the rule '{self.name}' is {self.above}: give a finite number.")

    def mask(self, y: np.ndarray, observed: np.ndarray | None, active: np.ndarray | None = None) -> np.ndarray:
        """Return which cells are scored: observed & finite(y) [& y > above] [& active].

        Args:
            y: readings in real units.
            observed: which of them were measured; ``None`` when all finite ones were.
            active: the active nodes, or node channels; needed when the rule is ``active_only``.

        Shapes:
            y, observed and the result [..., N, O]; active [N] or [N, O].
        """
        mask = np.isfinite(y)
        if observed is not None:
            mask &= np.asarray(observed, dtype=bool)
        if self.above is not None:
            mask &= np.asarray(y) > self.above
        if self.active_only:
            if active is None:
                raise FieldcastError(
                    f"the rule '{self.name}' scores active nodes, but nobody said which are active: "
                    "give `active`, for instance from active_nodes(values)."
                )
            active = np.asarray(active, dtype=bool)
            mask &= active[:, None] if active.ndim == 1 else active
        return mask

    @classmethod
    def parse(cls, text: str) -> tuple[ScoreRule, ...]:
        """Read the ``scored_cells`` line of a dataset: the primary rule first, then those that are scored beside it.

        Clauses are divided by semicolons. The first is the primary rule; a later one is a rule when it ends in
        "beside" (", as published" or a parenthesis may follow), and otherwise a remark for people. A remark that
        reads like a rule is refused, so that a forgotten "beside" drops no column.
        """
        clauses = [" ".join(clause.split()) for clause in text.split(";")]
        primary = _PRIMARY.fullmatch(clauses[0])
        if primary is None:
            raise FieldcastError(
                f"the scored cells '{clauses[0]}' are not understood: begin the line with one of "
                + ", ".join(f"'{form}'" for form in KNOWN_FORMS)
                + "."
            )
        rules = [cls._from_match(primary)]
        for clause in clauses[1:]:
            beside = _BESIDE.fullmatch(clause)
            if beside is not None:
                rules.append(cls._from_match(beside))
            elif _PRIMARY.fullmatch(clause) or re.search(r"\bbeside\b|[<>]", clause, re.IGNORECASE):
                raise FieldcastError(
                    f"the clause '{clause}' of the scored cells '{text}' is not understood: "
                    "write it like 'targets > 0 beside' or 'all cells beside', or leave it out."
                )
        return tuple(rules)

    @classmethod
    def _from_match(cls, match: re.Match[str]) -> ScoreRule:
        if match["above"] is not None:
            above = float(match["above"])
            return cls(f"targets > {above:g}", above=above)
        plain = match["plain"].lower()
        return cls(f"{plain} cells", active_only=plain == "active")


def primary_rule(rule: ScoreRule | str) -> ScoreRule:
    """Return ``rule`` itself, or the primary rule of a ``scored_cells`` line."""
    return rule if isinstance(rule, ScoreRule) else ScoreRule.parse(rule)[0]


def active_nodes(values: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
    """Return which nodes ever read something other than zero, in any channel.

    Shapes:
        values and observed [time, N, C]; result bool [N].
    """
    read = np.isfinite(values) & (np.asarray(values) != 0)
    if observed is not None:
        read &= np.asarray(observed, dtype=bool)
    return read.any(axis=(0, 2))
