"""Every registered stage, beside a backbone that reads each node by itself and beside one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from fieldcast.core.registry import STAGES
from fieldcast.core.stage import AfterStage, BeforeStage, BetweenStage
from tests.contracts import checks
from tests.contracts.cases import ODD, Sizes, Subject, train_steps

NAMES = STAGES.names()
BESIDE = ("stid", "dcrnn")
SUBJECTS = [Subject(backbone, (name,)) for name in NAMES for backbone in BESIDE]
every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=str)


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_has_one_place(name: str) -> None:
    places = [place for place in (BeforeStage, BetweenStage, AfterStage) if issubclass(STAGES.get(name), place)]
    assert len(places) == 1


@pytest.mark.parametrize("sizes", ODD, ids=checks.ODD_IDS)
@pytest.mark.parametrize("name", NAMES)
def test_odd_sizes(name: str, sizes: Sizes) -> None:
    checks.takes_odd_sizes(Subject("stid", (name,)), sizes)


@pytest.mark.parametrize("name", NAMES)
def test_node_tensors_are_named(name: str) -> None:
    checks.names_its_node_tensors(Subject("lstm", (name,)))


@every_subject
def test_gradients_reach_every_parameter(subject: Subject) -> None:
    checks.trains_every_parameter(subject)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_frozen_stays(name: str) -> None:
    subject = Subject("stid", (name,))
    forecaster = subject.build()
    frozen = {key: p.detach().clone() for key, p in forecaster.named_parameters() if not p.requires_grad}
    train_steps(forecaster, subject.windows(Sizes()))
    after = dict(forecaster.named_parameters())
    assert all(np.array_equal(after[key].detach(), before) for key, before in frozen.items())
    grouped = [p for stage in forecaster.stages for group in stage.groups() for p in group.parameters]
    own = [p for stage in forecaster.stages for p in stage.parameters() if p.requires_grad]
    assert {id(p) for p in grouped} == {id(p) for p in own}, "groups() must hold every parameter that trains, once"
    assert len(grouped) == len(own)


@every_subject
def test_unobserved_inputs_may_hold_anything(subject: Subject) -> None:
    checks.ignores_what_was_not_observed(subject)


@every_subject
def test_targets_are_never_seen(subject: Subject) -> None:
    checks.never_sees_the_targets(subject)


@every_subject
def test_samples_stay_apart(subject: Subject) -> None:
    checks.keeps_samples_apart(subject)


@every_subject
def test_permutation_through_renode(subject: Subject) -> None:
    checks.follows_a_permutation(subject)


@every_subject
def test_compaction_equals_hard_masking(subject: Subject) -> None:
    checks.compacts(subject)


@every_subject
def test_growth(subject: Subject) -> None:
    checks.grows(subject)


@pytest.mark.parametrize("name", NAMES)
def test_export_with_a_dynamic_batch(name: str) -> None:
    checks.exports(Subject("stid", (name,)))


@pytest.mark.parametrize("name", [name for name in NAMES if getattr(STAGES.get(name), "reads_out", False)])
def test_a_stage_that_reads_out_lets_a_model_forecast_what_it_does_not_read(name: str) -> None:
    subject = Subject("stid", (name,))
    compact = subject.build().renode(checks.KEPT, keep_outputs=True)
    assert compact.forecast(subject.batch()).shape[2] == 5
    assert compact.backbone.node_embedding.shape[0] == 3  # type: ignore[union-attr]


def test_without_one_it_is_refused() -> None:
    checks.refused(Subject("stid").build().renode, checks.KEPT, keep_outputs=True, match="reads out")
