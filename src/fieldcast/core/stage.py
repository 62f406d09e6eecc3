"""Stage: a small module beside a backbone, in one of three places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from fieldcast.core.context import Context
from fieldcast.core.module import Configured
from fieldcast.core.spec import Spec
from fieldcast.errors import FieldcastError


class Stage(Configured):
    """A lever on a forecast. Made with hyper-parameters only; :meth:`build` makes its tensors once sizes are known.

    Subclass one of :class:`BeforeStage`, :class:`BetweenStage`, :class:`AfterStage`. ``uses_future`` says that it reads
    ``ctx.future``, the channels known ahead.
    """

    uses_future = False

    def build(self, spec: Spec) -> Spec:
        """Make the tensors for ``spec`` and return the Spec as the next module sees it."""
        return spec

    def extra_loss(self, ctx: Context) -> Tensor | None:
        """A term added to the training loss (a penalty, a divergence), or None."""
        return None


class BeforeStage(Stage):
    """x [B, T, N, C] -> x' [B, T, N, C']; ``build`` returns the Spec with ``channels`` = C'.

    A stage that switches sensors off overrides :meth:`gate`. Gates act first, on x, on ``ctx.observed`` and on
    ``ctx.history`` alike, so that no later part can see a sensor that is off.
    """

    def gate(self) -> Tensor | None:
        """One factor a sensor, [N], or None."""
        return None

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return x


class BetweenStage(Stage):
    """h [B, N, D] -> h' [B, M, D]: may change the set of nodes, as a read-out to switched-off sensors does.

    Its ``per_node`` names axes over the N nodes that are read; ``per_output_node`` axes over the M that are forecast.
    """

    per_output_node: dict[str, tuple[int, ...]] = {}

    reads_out = False
    """True for a stage that forecasts all nodes from those that are read: compaction may then keep M > N."""

    def forward(self, h: Tensor, ctx: Context) -> Tensor:
        return h


class AfterStage(Stage):
    """y [B, H, M, O] -> y' [B, H, M, O], seeing h [B, M, D] and the context; ``per_node`` names axes over M.

    It may also reach into the head, by :meth:`injections`. One that is not ``enabled`` is left out of the forecast. One
    with an ``adapter`` name can be kept apart from its forecaster, in a folder of its own.
    """

    enabled = True
    merged = False
    adapter: str | None = None
    peft_type = "ADAPTER"
    """The kind that ``adapter_config.json`` names; ``LORA`` where the peft library itself can open the folder."""

    def merge(self, head: Mapping[str, nn.Linear]) -> None:
        """Put what it adds inside the head into the weights of the head's layers, where that is exact."""
        raise FieldcastError(f"{type(self).__name__} cannot be merged into a backbone: keep it beside it.")

    def unmerge(self, head: Mapping[str, nn.Linear]) -> None:
        """Bring back the very weights that stood there before :meth:`merge`."""

    def peft_settings(self) -> dict[str, Any]:
        """Settings by the names of the peft library, for ``adapter_config.json``."""
        return {}

    def peft_names(self) -> dict[str, str]:
        """The name of each of its tensors in an adapter's file, by the conventions of the peft library."""
        return {name: f"base_model.model.{name}" for name in self.state_dict()}

    def injections(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """What is added to the outputs of the head's ``predictor_layers``, by their names: a function of their input.

        Shapes: u [B, M, .., d_in] -> [B, M, .., d_out].
        """
        return {}

    def forward(self, y: Tensor, h: Tensor, ctx: Context) -> Tensor:
        return y
