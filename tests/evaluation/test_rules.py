"""The rules of scoring: which cells count, as the datasets say it."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.rules import Arithmetic, ScoreRule, active_nodes, mean_label, pooled_label, shown_horizons
from tests.datasets import dataset_path

# What the ten datasets say, and what it means: (name, above, active_only) of the primary rule and those beside it.
DATASET_RULES = {
    "beijing_air": [("observed cells", None, False)],
    "era5_uk_t2m": [("all cells", None, False)],
    "los_loop_week": [("all cells", None, False)],
    "metr_la_10": [("observed cells", None, False)],
    "montevideo_bus": [("all cells", None, False), ("targets > 0", 0.0, False)],
    "noaa_daily": [("observed cells", None, False)],
    "nycbike1_grid": [("active cells", None, True), ("targets > 5", 5.0, False)],
    "nycbike_drop": [("all cells", None, False), ("targets > 0", 0.0, False)],
    "pems08_tail": [("targets > 0", 0.0, False), ("all cells", None, False)],
    "sst_pacific": [("sea cells", None, False)],
}


@pytest.mark.parametrize("name", DATASET_RULES)
def test_scored_cells_of_every_dataset_are_understood(name):
    meta = tomllib.loads((dataset_path(name) / "meta.toml").read_text(encoding="utf-8"))
    rules = ScoreRule.parse(meta["scored_cells"])
    assert [(rule.name, rule.above, rule.active_only) for rule in rules] == DATASET_RULES[name]


@pytest.mark.parametrize(
    ("text", "above"),
    [
        ("cells with target > 0, as published", 0.0),
        ("Targets > -2.5", -2.5),
        ("  targets>10 (Some Paper, 2020) ", 10.0),
    ],
)
def test_thresholds_in_their_spellings(text, above):
    assert ScoreRule.parse(text) == (ScoreRule(f"targets > {above:g}", above=above),)


@pytest.mark.parametrize("text", ["", "every cell", "all cells beside", "targets > much", "cells with target >= 0"])
def test_unknown_primary_rule_is_refused_with_the_known_forms(text):
    with pytest.raises(FieldcastError) as refused:
        ScoreRule.parse(text)
    for form in ("all cells", "observed cells", "sea cells", "active cells", "cells with target > X"):
        assert form in str(refused.value)


@pytest.mark.parametrize("clause", ["targets > 0", "all cells", "flows above 3 beside", "targets >= 5 besides"])
def test_later_clause_that_reads_like_a_rule_is_never_dropped(clause):
    with pytest.raises(FieldcastError, match="not understood"):
        ScoreRule.parse(f"all cells; {clause}")


def test_trailing_remark_is_no_rule():
    assert ScoreRule.parse("all cells; zeros were filled by the distributors") == (ScoreRule("all cells"),)


def test_unobserved_and_missing_cells_are_never_scored_whatever_the_rule():
    y = np.array([[0.0, 3.0], [np.nan, 7.0], [9.0, np.inf]])[:, :, None]  # [rows, N, O]
    observed = np.array([[True, True], [True, False], [True, True]])[:, :, None]
    active = np.array([True, True])
    for text in ("all cells", "observed cells", "sea cells", "active cells", "targets > -1"):
        rule = ScoreRule.parse(text)[0]
        assert rule.mask(y, observed, active)[..., 0].tolist() == [[True, True], [False, False], [True, False]]
    assert ScoreRule.parse("targets > 3")[0].mask(y, observed)[..., 0].tolist() == [[False] * 2] * 2 + [[True, False]]


def test_active_rule_scores_active_nodes_or_node_channels_and_asks_who_they_are():
    rule = ScoreRule.parse("active cells")[0]
    y = np.ones((4, 3, 2))
    assert (rule.mask(y, None, np.array([True, False, True])).sum(axis=(0, 2)) == [8, 0, 8]).all()
    per_channel = np.array([[True, False], [False, False], [True, True]])
    assert (rule.mask(y, None, per_channel).sum(axis=0) == 4 * per_channel).all()
    with pytest.raises(FieldcastError, match="active"):
        rule.mask(y, None)


def test_active_nodes_of_the_bike_grid():
    values = np.load(dataset_path("nycbike1_grid") / "data.npz")["values"]
    assert active_nodes(values).sum() == 81
    assert active_nodes(values, np.zeros(values.shape, dtype=bool)).sum() == 0


def test_threshold_must_be_a_number():
    with pytest.raises(FieldcastError, match="finite"):
        ScoreRule("odd", above=float("nan"))


def test_arithmetic_names_its_departures_from_the_protocol():
    assert Arithmetic().departures() == []
    assert Arithmetic(mask="none", average="pooled").departures() == ["mask=none", "average=pooled"]
    with pytest.raises(FieldcastError, match="average"):
        Arithmetic(average="median")  # type: ignore[arg-type]


def test_shown_horizons_and_labels():
    assert shown_horizons(12) == (3, 6, 12)
    assert shown_horizons(1) == (1,)
    assert shown_horizons(7) == (3, 6, 7)
    assert shown_horizons(24) == (3, 6, 12, 24)
    assert (mean_label(12), pooled_label(7)) == ("mean12", "pooled7")
