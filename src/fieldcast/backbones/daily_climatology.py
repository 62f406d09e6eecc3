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

    Data with one slot a day (daily or coarser readings) have no hours: for them the mean runs over training days within
    ``reach`` days of the same day of the year, around the circle, the climatology of weather services. A slot without
    a training value gets the node's mean. Shapes: calendar [B, T+H, 3] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    trainable = False
    per_node = {"climatology.table": (1,), "climatology.node_mean": (0,)}
    paper = "classical (HA)"

    def __init__(self, spec: Spec, reach: int = 10):
        super().__init__(spec)
        self.width = spec.horizon * spec.targets
        self.column = 0 if spec.steps_per_day > 1 else 2
        self.reach = reach if self.column == 2 else 0
        self.climatology = Climatology(spec.calendar_sizes[self.column], spec.nodes, spec.targets)

    def fit_closed_form(self, windows: Windows) -> None:
        series = windows.training_series()
        values, observed = training_targets(series, windows.form.target_index)
        self.climatology.fit(values, observed, series.calendar[:, self.column], reach=self.reach)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        slot = ctx.calendar[:, -self.horizon :, self.column]  # [B, H]
        return self.climatology(slot).transpose(1, 2).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
