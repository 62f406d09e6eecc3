"""Backbones with a setting turned from its default keep the contracts that bear on nodes."""

from __future__ import annotations

from inspect import Parameter, signature

import pytest

from fieldcast.core.registry import BACKBONES
from tests.contracts import checks
from tests.contracts.cases import ODD, Subject

OTHER = {"bool": lambda default: not default, "bool | None": lambda _: True, "int | None": lambda _: 2}
"""How a switch is turned, and what stands in place of a choice that is left to the data."""


def turned(name: str) -> list[Subject]:
    """The backbone with each switch turned, one at a time."""
    settings = list(signature(BACKBONES.get(name)).parameters.values())
    return [
        Subject(name, hyper=((each.name, OTHER[each.annotation](each.default)),))
        for each in settings
        if each.default is not Parameter.empty and each.annotation in OTHER
    ]


VARIANTS = [subject for name in BACKBONES.names() if BACKBONES.get(name).trainable for subject in turned(name)]  # type: ignore[attr-defined]
IDS = [f"{subject}-{key}={value}" for subject in VARIANTS for key, value in subject.hyper]
over_variants = pytest.mark.parametrize("subject", VARIANTS, ids=IDS)


@over_variants
def test_odd_sizes(subject: Subject) -> None:
    for sizes in ODD:
        checks.takes_odd_sizes(subject, sizes)


@over_variants
def test_gradients_reach_every_parameter(subject: Subject) -> None:
    checks.trains_every_parameter(subject)


@over_variants
def test_node_tensors_are_named(subject: Subject) -> None:
    checks.names_its_node_tensors(subject)


@over_variants
def test_unobserved_inputs_may_hold_anything(subject: Subject) -> None:
    checks.ignores_what_was_not_observed(subject)


@pytest.mark.parametrize(
    "check", [checks.follows_a_permutation, checks.compacts, checks.grows], ids=lambda check: check.__name__
)
@over_variants
def test_nodes_can_change(subject: Subject, check) -> None:
    if not subject.on_grid:
        check(subject)
