"""LSTM: one recurrent network shared by all nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.module import Recipe, require
from fieldcast.core.spec import Spec
from fieldcast.nn.calendar import with_clock


class LSTM(Backbone):
    """A node-shared LSTM over the look-back; no node sees another.

    v_t = W_in x_t + b ; s_1..s_T = LSTM(v_1..v_T), ``layers`` layers of ``width`` ; h = [s_T | channels known ahead] ;
    y = W_2 relu(W_1 h + b_1) + b_2.

    ``calendar_inputs`` adds time of day and day of week to the channels of x (97,932 parameters with one channel at
    T = H = 12; 97,868 without). Shapes: x [B, T, N, C] -> h [B, N, D], D = width + H * F.
    Cost: nodes. Source: FC-LSTM as in Liu et al., NeurIPS 2023, arXiv:2306.08259.
    """

    # Not capturable: replayed on nycbike_drop (N = 250, B = 64, torch 2.11) it read memory that was not its own, why is
    # not known; only cuDNN's recurrences are unlike what other backbones do.
    unseen_nodes = True
    predictor_layers = ("end1", "end2")
    uses_future = True
    paper = "Hochreiter & Schmidhuber 1997; as in Liu et al., NeurIPS 2023, arXiv:2306.08259"
    recipes = {
        "largest": Recipe(
            "Liu et al., NeurIPS 2023, arXiv:2306.08259",
            {"max_epochs": 100, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 1e-4, "patience": 30},
        ),
    }

    def __init__(
        self, spec: Spec, width: int = 64, layers: int = 2, input_width: int = 32, end_width: int = 512,
        dropout: float = 0.1, calendar_inputs: bool = True,
    ):  # fmt: skip
        super().__init__(spec)
        sizes = {"width": width, "layers": layers, "input_width": input_width, "end_width": end_width}
        for name, size in sizes.items():
            require(name, size, 1)
        require("dropout", dropout, 0, below=1)
        self.width = width + spec.horizon * spec.future_channels
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        self.start = nn.Linear(spec.channels + (2 if calendar_inputs else 0), input_width)
        self.lstm = nn.LSTM(input_width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.end1 = nn.Linear(self.width, end_width)
        self.end2 = nn.Linear(end_width, spec.horizon * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        batch, nodes = x.shape[0], x.shape[2]
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        series = self.start(x).transpose(1, 2).flatten(0, 1)  # [B * N, T, input_width]
        states, _ = self.lstm(series)  # [B * N, T, width]
        h = states[:, -1].unflatten(0, (batch, nodes))  # [B, N, width]
        return h if ctx.future is None else torch.cat([h, ctx.future.transpose(1, 2).flatten(2)], dim=-1)  # [B, N, D]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.end2(self.end1(h).relu()))  # [B, H, N, O]
