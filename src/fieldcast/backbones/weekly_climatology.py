"""Weekly climatology: the usual value of each node at this time of the week."""

from __future__ import annotations

import calendar

import numpy as np
import torch
from torch import Tensor

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.spec import Spec
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.nn.climatology import Climatology, training_targets


class WeeklyClimatology(Backbone):
    """y_{t+h, n} = mean of node n's training values in the slot of week of t+h ("HA-week").

    Slot of week = 7 days x slots a day. A slot without a training value falls back to the slot of day, then to the
    node's mean. Refused where a weekday has readings on fewer than two training dates, since a mean over one week is a
    copy of it.
    Shapes: calendar [B, T+H, 3] -> h [B, N, H * O] -> y [B, H, N, O].
    """

    trainable = False
    per_node = {"climatology.table": (1,), "climatology.node_mean": (0,)}
    paper = "Li et al., ICLR 2018, arXiv:1707.01926 (HA)"

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.width = spec.horizon * spec.targets
        self.slots = spec.steps_per_day
        self.climatology = Climatology(7 * self.slots, spec.nodes, spec.targets)

    def fit_closed_form(self, windows: Windows) -> None:
        series = windows.training_series()
        values, observed = training_targets(series, windows.form.target_index)
        read = windows.split.train_rows[0] + np.flatnonzero(observed.any(axis=(1, 2)))
        days = windows.readings.local_time(windows.readings.time[read]).normalize().unique()
        dates = np.bincount(days.day_of_week, minlength=7)  # of each weekday
        if dates.min() < 2:
            weekday = calendar.day_name[int(dates.argmin())]
            raise FieldcastError(
                f"weekly climatology needs two training weeks: the training rows have readings on {dates.min()} "
                f"{weekday}{'' if dates.min() == 1 else 's'}, so use daily_climatology."
            )
        slot, day = series.calendar[:, 0], series.calendar[:, 1]
        daily = Climatology(self.slots, *values.shape[1:])
        daily.fit(values, observed, slot)
        week = np.where((slot >= 0) & (day >= 0), day * self.slots + slot, -1)
        self.climatology.fit(values, observed, week, fallback=daily.table.repeat(7, 1, 1))

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        slot, day = ctx.calendar[:, -self.horizon :, 0], ctx.calendar[:, -self.horizon :, 1]  # [B, H] each
        week = torch.where((slot >= 0) & (day >= 0), day * self.slots + slot, -1)  # [B, H]
        return self.climatology(week).transpose(1, 2).flatten(2)  # [B, N, H * O]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(h)  # [B, H, N, O]
