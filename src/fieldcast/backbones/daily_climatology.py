"""Daily climatology: the usual value of each node at this time of day."""

from __future__ import annotations

from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec
from fieldcast.data.windows import Windows
from fieldcast.nn.climatology import Climatology, training_targets


class DailyClimatology(Backbone):
    """y_{t+h, n} = mean of node n's training values in the slot of day of t+h ("HA-day").

    Data with one slot a day (daily or coarser readings) get the node's training mean. A slot without a training value
    gets the node's mean. Shapes: calendar [B, T+H, 3] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    trainable = False
    per_node = {"climatology.table": (1,), "climatology.node_mean": (0,)}
    paper = "classical (HA)"

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.width = spec.horizon * spec.targets
        self.climatology = Climatology(spec.steps_per_day, spec.nodes, spec.targets)

    def fit_closed_form(self, windows: Windows) -> None:
        series = windows.training_series()
        values, observed = training_targets(series, windows.form.target_index)
        self.climatology.fit(values, observed, series.calendar[:, 0])

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        slot = ctx.calendar[:, -self.horizon :, 0]  # [B, H]
        return self.climatology(slot).transpose(1, 2).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
