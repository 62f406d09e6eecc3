"""Scores of forecasts: rules, sums, figures and the protocol they carry. Stands on arrays, never on a model."""

from __future__ import annotations

from fieldcast.evaluation.metrics import score_arrays, scores, tgcn_scores
from fieldcast.evaluation.protocol import across_seeds, format_table, protocol_record, score_row, to_jsonable
from fieldcast.evaluation.rules import Arithmetic, ScoreRule, active_nodes
from fieldcast.evaluation.significance import Difference, block_of, bootstrap_difference, holm, paired_difference
from fieldcast.evaluation.sums import ScoreSums

__all__ = [
    "Arithmetic",
    "Difference",
    "ScoreRule",
    "ScoreSums",
    "across_seeds",
    "active_nodes",
    "block_of",
    "bootstrap_difference",
    "format_table",
    "holm",
    "paired_difference",
    "protocol_record",
    "score_arrays",
    "score_row",
    "scores",
    "tgcn_scores",
    "to_jsonable",
]
