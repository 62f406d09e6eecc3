"""The shapes that the contracts promise, executed: jaxtyping annotations, checked by beartype at run time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from beartype import beartype
from jaxtyping import Bool, Float, Int64, jaxtyped
from torch import Tensor

from fieldcast.core.context import Batch, Context
from fieldcast.core.stage import Stage
from fieldcast.forecaster import Forecaster


@dataclass(frozen=True)
class Dimensions:
    """Sizes by name, as annotations below read them."""

    B: int
    T: int
    H: int
    N: int
    M: int
    O: int  # noqa: E741
    D: int


@jaxtyped(typechecker=beartype)
def checked_context(
    size: Dimensions,
    observed: Bool[Tensor, "{size.B} {size.T} {size.N} channels"],
    history: Float[Tensor, "{size.B} {size.T} {size.M} {size.O}"],
    history_observed: Bool[Tensor, "{size.B} {size.T} {size.M} {size.O}"],
    calendar: Int64[Tensor, "{size.B} {size.T+size.H} 3"],
) -> None:
    """The context beside x."""


@jaxtyped(typechecker=beartype)
def checked_enhance(
    size: Dimensions, stage: Callable, x: Float[Tensor, "{size.B} {size.T} {size.N} C"], ctx: Context
) -> Float[Tensor, "{size.B} {size.T} {size.N} C2"]:
    return stage(x, ctx)


@jaxtyped(typechecker=beartype)
def checked_encode(
    size: Dimensions, encode: Callable, x: Float[Tensor, "{size.B} {size.T} {size.N} C"], ctx: Context
) -> Float[Tensor, "{size.B} {size.N} {size.D}"]:
    return encode(x, ctx)


@jaxtyped(typechecker=beartype)
def checked_between(
    size: Dimensions, stage: Callable, h: Float[Tensor, "{size.B} _ {size.D}"], ctx: Context
) -> Float[Tensor, "{size.B} _ {size.D}"]:
    return stage(h, ctx)


@jaxtyped(typechecker=beartype)
def checked_head(
    size: Dimensions, head: Callable, h: Float[Tensor, "{size.B} {size.M} {size.D}"]
) -> Float[Tensor, "{size.B} {size.H} {size.M} {size.O}"]:
    return head(h)


@jaxtyped(typechecker=beartype)
def checked_adapt(
    size: Dimensions,
    stage: Callable,
    y: Float[Tensor, "{size.B} {size.H} {size.M} {size.O}"],
    h: Float[Tensor, "{size.B} {size.M} {size.D}"],
    ctx: Context,
) -> Float[Tensor, "{size.B} {size.H} {size.M} {size.O}"]:
    return stage(y, h, ctx)


@jaxtyped(typechecker=beartype)
def checked_gate(size: Dimensions, gate: Callable) -> Float[Tensor, "{size.N}"] | None:
    return gate()


def checked_forecast(forecaster: Forecaster, batch: Batch) -> Tensor:
    """The forecaster's sentence with every shape checked: scaled forecast [B, H, M, O]."""
    form, backbone = forecaster.form, forecaster.backbone
    size = Dimensions(
        batch.x.shape[0], form.lookback, form.horizon, len(forecaster.inputs), len(form.nodes), len(form.targets),
        backbone.width,
    )  # fmt: skip
    x, ctx = forecaster.prepare(batch)
    checked_context(size, ctx.observed, ctx.history, ctx.history_observed, ctx.calendar)
    for stage in forecaster.before:
        checked_gate(size, stage.gate)  # type: ignore[arg-type]
    x, ctx = forecaster.gate(x, ctx)
    read = ctx.at(forecaster.input_index) if forecaster.compacted else ctx
    for stage in forecaster.before:
        x = checked_enhance(size, _stage(stage), x, read)
    h = checked_encode(size, backbone.encode, x, read)
    for stage in forecaster.between:
        h = checked_between(size, _stage(stage), h, ctx)
    y = checked_head(size, backbone.head, h)
    for stage in forecaster.after:
        y = checked_adapt(size, _stage(stage), y, h, ctx)
    return y


def _stage(stage: object) -> Stage:
    assert isinstance(stage, Stage)
    return stage
