"""Export: the whole forecaster, scaler included, as one graph from raw readings to real units."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from fieldcast.core.context import Batch
from fieldcast.errors import FieldcastError
from fieldcast.forecaster.model import Forecaster
from fieldcast.nn.graph import Support


class _FromReadings(nn.Module):
    """values, observed, calendar[, future] -> forecast in real units."""

    def __init__(self, forecaster: Forecaster):
        super().__init__()
        self.forecaster = forecaster

    def forward(self, values: Tensor, observed: Tensor, calendar: Tensor, future: Tensor | None = None) -> Tensor:
        window = torch.zeros_like(calendar[:, 0, 0])  # [B]
        x, ctx = self.forecaster.prepare(Batch(values, observed, calendar, window, future=future))
        return self.forecaster.unscale(self.forecaster(x, ctx))  # [B, H, M, O]


def export(forecaster: Forecaster) -> torch.export.ExportedProgram:
    """Export a forecaster by ``torch.export`` with a dynamic batch.

    The program takes values float32 [B, T, M, C] in real units (anything where not observed), observed bool
    [B, T, M, C], calendar int64 [B, T+H, 3] and, for models with channels known ahead, future float32 [B, H, M, F]; it
    returns the forecast float32 [B, H, M, O] in real units. Save it with ``torch.export.save``.
    """
    backbone = type(forecaster.backbone)
    if not backbone.exportable:
        raise FieldcastError(f"the backbone {backbone.__name__} cannot be exported: serve it from its saved folder.")
    if any(isinstance(module, Support) and module.dense is None for module in forecaster.modules()):
        raise FieldcastError(
            f"{backbone.__name__} holds its graph by edges here, which cannot be exported: serve it from its saved "
            "folder, or make it with sparse=False."
        )
    form = forecaster.form
    batch, nodes = 2, len(form.nodes)  # a batch of 1 would be taken for a constant
    device = forecaster.mean.device
    shape = (batch, form.lookback, nodes, len(form.channels))
    example: tuple[Tensor, ...] = (
        torch.zeros(shape, device=device),
        torch.ones(shape, dtype=torch.bool, device=device),
        torch.zeros(batch, form.lookback + form.horizon, 3, dtype=torch.long, device=device),
    )
    if form.future:
        example = (*example, torch.zeros(batch, form.horizon, nodes, len(form.future), device=device))
    dynamic = tuple({0: torch.export.Dim.DYNAMIC} for _ in example)
    training = forecaster.training
    try:
        with warnings.catch_warnings():
            # torch's own LSTM refreshes a list of views of its weights, which are parameters and do get exported.
            warnings.filterwarnings("ignore", r"The tensor attributes? .*_flat_weights")
            return torch.export.export(_FromReadings(forecaster).eval(), example, dynamic_shapes=dynamic)
    finally:
        forecaster.train(training)
