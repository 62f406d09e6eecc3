"""Every registered backbone, and the toys, keep the contracts that their flags promise."""

from __future__ import annotations

import json
from inspect import signature

import numpy as np
import pytest
import torch

from fieldcast.core.backbone import Backbone
from fieldcast.core.registry import BACKBONES
from fieldcast.forecaster import create, export
from fieldcast.training import TrainingOptions
from fieldcast.workflows.options import settings
from tests.contracts import checks, store
from tests.contracts.cases import ODD, Sizes, Subject

NAMES = BACKBONES.names()
CLASSES: dict[str, type[Backbone]] = {name: BACKBONES.get(name) for name in NAMES}  # type: ignore[misc]


def those(**flags: bool) -> list[str]:
    """Names of the backbones whose flags are as given."""
    return [name for name, cls in CLASSES.items() if all(getattr(cls, flag) is want for flag, want in flags.items())]


@pytest.mark.parametrize("sizes", ODD, ids=checks.ODD_IDS)
@pytest.mark.parametrize("name", NAMES)
def test_odd_sizes(name: str, sizes: Sizes) -> None:
    checks.takes_odd_sizes(Subject(name), sizes)


@pytest.mark.parametrize("name", NAMES)
def test_shortest_lookback(name: str) -> None:
    checks.keeps_its_shortest_lookback(Subject(name))


@pytest.mark.parametrize("name", NAMES)
def test_node_tensors_are_named(name: str) -> None:
    checks.names_its_node_tensors(Subject(name))


@pytest.mark.parametrize("name", those(trainable=True))
def test_gradients_reach_every_parameter(name: str) -> None:
    checks.trains_every_parameter(Subject(name))


@pytest.mark.parametrize("name", [name for name in NAMES if "legacy_params" in signature(CLASSES[name]).parameters])
def test_what_the_public_versions_never_use_asks_for_no_gradient(name: str) -> None:
    """Several processes would wait for it."""
    checks.trains_every_parameter(Subject(name, hyper=(("legacy_params", True),)))


@pytest.mark.parametrize(("name", "recipe"), [(name, each) for name in NAMES for each in CLASSES[name].recipes])
def test_a_recipe_holds_settings_that_exist(name: str, recipe: str) -> None:
    found = CLASSES[name].recipe(recipe)
    settings(TrainingOptions, found.training, recipe)
    assert found.source
    Subject(name, hyper=tuple(found.hyper.items())).build()
    checks.refused(CLASSES[name].recipe, f"{recipe}x", match=f"did you mean '{recipe}'")


@pytest.mark.parametrize("name", those(trainable=False))
def test_what_is_solved_has_nothing_to_train(name: str) -> None:
    assert not list(Subject(name).build().parameters())


@pytest.mark.parametrize("name", NAMES)
def test_unobserved_inputs_may_hold_anything(name: str) -> None:
    checks.ignores_what_was_not_observed(Subject(name))


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_never_seen(name: str) -> None:
    checks.never_sees_the_targets(Subject(name))


@pytest.mark.parametrize("name", NAMES)
def test_samples_stay_apart(name: str) -> None:
    checks.keeps_samples_apart(Subject(name))


@pytest.mark.parametrize("name", NAMES)
def test_head_is_node_local(name: str) -> None:
    checks.has_a_local_head(Subject(name))


@pytest.mark.parametrize("scaler", ["channel", "node"])
@pytest.mark.parametrize("name", those(needs_grid=False))
def test_permutation_through_renode(name: str, scaler: str) -> None:
    checks.follows_a_permutation(Subject(name), scaler)


@pytest.mark.parametrize("scaler", ["channel", "node"])
@pytest.mark.parametrize("name", those(needs_grid=False))
def test_compaction_equals_hard_masking(name: str, scaler: str) -> None:
    checks.compacts(Subject(name), scaler)


@pytest.mark.parametrize("name", those(needs_grid=False))
def test_growth(name: str) -> None:
    checks.grows(Subject(name))


@pytest.mark.parametrize("name", those(needs_grid=True))
def test_a_grid_cannot_change_its_nodes(name: str) -> None:
    checks.cannot_change_its_nodes(Subject(name))


@pytest.mark.parametrize("name", NAMES)
def test_copies(name: str) -> None:
    checks.copies(Subject(name))


@pytest.mark.parametrize("name", [each for each in those(trainable=True) if "fieldcast." in CLASSES[each].__module__])
def test_its_docstring_says_what_a_user_needs(name: str) -> None:
    """Equations, shapes, how its cost grows with the number of nodes, and the source."""
    said = CLASSES[name].__doc__ or ""
    assert "=" in said.partition("Shapes:")[0] and "Shapes: x [B, T, N, C] -> " in said
    assert "Cost: " in said and "Source" in said


LONG = ("d2stgnn", "graph_wavenet", "dcrnn")
"""Whose export takes many seconds."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in those(exportable=True)]
)
def test_export_with_a_dynamic_batch(name: str) -> None:
    checks.exports(Subject(name))


@pytest.mark.parametrize("name", those(trainable=True))
def test_half_precision(name: str) -> None:
    checks.takes_half_precision(Subject(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", those(trainable=True))
def test_compilation(name: str) -> None:
    checks.compiles(Subject(name))


def test_what_cannot_be_exported_says_so() -> None:
    for name in those(exportable=False):
        checks.refused(export, Subject(name).build(), match="cannot be exported")


@pytest.mark.parametrize("what", ["graph", "grid", "coordinates"])
def test_what_a_backbone_needs_is_asked_for(what: str) -> None:
    for name in those(**{f"needs_{what}": True}):
        form = Subject(name).windows(Sizes()).form
        bare = type(form)(**{**vars(form), "grid": None, "coordinates": None})
        checks.refused(create, name, bare, match=f"needs (a )?{what}")


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_output_as_stored(name: str) -> None:
    """``python -m tests.contracts.store`` writes the file anew after an intended change."""
    stored = json.loads(store.PATH.read_text(encoding="utf-8"))
    assert name in stored, f"{name} is not in {store.PATH.name}: run python -m tests.contracts.store"
    now = store.fingerprint(name)
    assert now["parameters"] == stored[name]["parameters"]
    np.testing.assert_allclose(now["output"], stored[name]["output"], rtol=1e-5, atol=1e-5)


def test_nothing_stored_is_gone() -> None:
    assert set(json.loads(store.PATH.read_text(encoding="utf-8"))) <= set(NAMES)


def test_equal_seeds_make_equal_models() -> None:
    windows = Subject("stid").windows(Sizes())
    first, second, other = (create("stid", windows, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
