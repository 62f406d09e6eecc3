"""Backbones and stages made from their names and settings, with what does not fit told in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from torch import nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.kinds import fits, in_words
from fieldcast.core.module import Configured
from fieldcast.core.registry import STAGES
from fieldcast.core.spec import Spec
from fieldcast.core.stage import Stage
from fieldcast.errors import FieldcastError

Made = TypeVar("Made", bound=Configured)


def head_sizes(backbone: Backbone) -> dict[str, tuple[int, int]]:
    """Sizes in and out of the linear layers of the head."""
    sizes = {}
    for name in backbone.predictor_layers:
        layer = backbone.get_submodule(name)
        if not isinstance(layer, nn.Linear):
            raise FieldcastError(f"{type(backbone).__name__}.predictor_layers names '{name}', which is no nn.Linear.")
        sizes[name] = (layer.in_features, layer.out_features)
    return sizes


def make_stage(name: str, hyper: Mapping[str, Any] | None = None) -> Stage:
    """A stage by its name, from settings that somebody may have written; a ``recipe`` among them comes first."""
    cls = STAGES.get(name)
    given = dict(hyper or {})
    recipe = cls.recipe(str(given.pop("recipe"))).hyper if "recipe" in given else {}
    stage = construct(cls, "stage", (), {**recipe, **given})
    assert isinstance(stage, Stage)
    return stage


def construct(cls: type[Made], what: str, sizes: tuple[Spec, ...], hyper: Mapping[str, Any]) -> Made:
    """A backbone or stage from its sizes and settings; a setting of another name or kind is refused."""
    try:
        hints = get_type_hints(cls.__init__)
    except NameError:  # annotations of somebody's class that only a type checker can resolve
        hints = {}
    for name, value in hyper.items():
        if name in hints and not fits(value, hints[name]):
            raise FieldcastError(
                f"the {what} {cls.__name__} takes no {name} {str(value)[:60]!r}: {in_words(hints[name])}."
            )
    try:
        return cls(*sizes, **hyper)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        detail = str(error).split(") ", 1)[-1].removeprefix(f"{cls.__name__}.__init__() ")
        raise FieldcastError(f"the {what} {cls.__name__} cannot be made: {detail}.") from None


def check_needs(cls: type[Backbone], spec: Spec) -> None:
    """Refuse data without what a backbone needs."""
    needs = (
        ("a graph", cls.needs_graph, spec.graph, "give --graph FILE, or nearest:8 or correlation:8 to make one"),
        ("a grid", cls.needs_grid, spec.grid, "add one"),
        ("coordinates", cls.needs_coordinates, spec.coordinates, "add them"),
    )
    for what, needed, given, mend in needs:
        if needed and given is None:
            raise FieldcastError(f"the backbone {cls.__name__} needs {what}, which these data do not have: {mend}.")
    if spec.lookback < cls.min_lookback():
        raise FieldcastError(
            f"the backbone {cls.__name__} needs a look-back of {cls.min_lookback()} steps or more, not {spec.lookback}."
        )
