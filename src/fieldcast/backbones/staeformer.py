"""STAEformer: a plain transformer over steps, then over nodes, with a learned vector for each step and node."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.core.backbone import Backbone
from fieldcast.core.context import Context
from fieldcast.core.module import Recipe, require
from fieldcast.core.spec import Spec
from fieldcast.errors import FieldcastError
from fieldcast.nn.attention import EncoderLayer
from fieldcast.nn.calendar import CalendarEmbedding, with_clock


class STAEformer(Backbone):
    """Transformer layers over the steps of each node, then over the nodes of each step, and one linear map.

    e_ti = [W_in x_ti + b | D_slot(t) | W_day(t) | E_ti], E learned for each step of the look-back and each node ;
    ``layers`` encoder layers over t (all steps see all), ``layers`` over i ; y_i = W_out [z_1i | .. | z_Ti] + b_out.

    ``calendar_inputs`` adds time of day and day of week to the channels of x, both in [0, 1), where the authors have
    the day from 0 to 6 (1,258,980 parameters at N = 207, T = H = 12, 288 slots). A neutral id is the zero vector.

    Shapes: x [B, T, N, C] -> h [B, N, T * D], D = input + slot + day + adaptive width (152). Cost: N^2.
    Source: Liu et al., CIKM 2023, arXiv:2308.10425, section 3.
    """

    per_node = {"adaptive_embedding": (1,)}
    capturable = True
    recompute_blocks = ("over_steps", "over_nodes")
    predictor_layers = ("output",)
    cost = "N^2"
    paper = "Liu et al., CIKM 2023, arXiv:2308.10425"
    recipes = {
        name: Recipe(
            f"the authors' code for {data}; on flows their loss is Huber's in real units, where it is all but the MAE",
            {
                "max_epochs": epochs, "batch_size": 16, "learning_rate": 1e-3, "weight_decay": decay,
                "schedule": "multistep", "milestones": milestones, "gamma": 0.1, "clip_norm": 0.0, "patience": patience,
            },
        )
        for name, data, decay, milestones, patience, epochs in (
            ("official", "METR-LA", 3e-4, [20, 30], 30, 200),
            ("pems_bay", "PEMS-BAY", 1e-4, [10, 30], 20, 300),
            ("pems03", "PEMS03", 5e-4, [15, 30, 40], 20, 300),
            ("pems04", "PEMS04", 5e-4, [15, 30, 50], 20, 300),
            ("pems07", "PEMS07", 1e-3, [15, 35, 50], 20, 300),
            ("pems08", "PEMS08", 1.5e-3, [25, 45, 65], 30, 300),
        )
    }  # fmt: skip

    def __init__(
        self, spec: Spec, input_width: int = 24, slot_width: int = 24, day_width: int = 24, adaptive_width: int = 80,
        hidden: int = 256, heads: int = 4, layers: int = 3, dropout: float = 0.1, calendar_inputs: bool = True,
    ):  # fmt: skip
        super().__init__(spec)
        sizes = {
            "input_width": input_width, "slot_width": slot_width, "day_width": day_width,
            "adaptive_width": adaptive_width, "hidden": hidden, "heads": heads,
        }  # fmt: skip
        for name, size in sizes.items():
            require(name, size, 1)
        require("layers", layers, 0)
        require("dropout", dropout, 0, below=1)
        self.calendar_sizes = spec.calendar_sizes[:2]
        self.calendar_inputs = calendar_inputs
        self.input = nn.Linear(spec.channels + (2 if calendar_inputs else 0), input_width)
        self.slot_embedding = CalendarEmbedding(spec.steps_per_day, slot_width, zero_start=False)
        self.day_embedding = CalendarEmbedding(7, day_width, zero_start=False)
        for table in (self.slot_embedding, self.day_embedding):
            nn.init.normal_(table.weight)  # as the authors' start
        start = nn.init.xavier_uniform_(torch.empty(spec.lookback, spec.nodes, adaptive_width))
        self.adaptive_embedding = nn.Parameter(start)  # [T, N, adaptive]
        width = input_width + slot_width + day_width + adaptive_width
        if width % heads:
            raise FieldcastError(
                f"{heads} heads do not share {width} channels evenly: give widths whose sum they divide."
            )
        self.over_steps = nn.ModuleList(
            EncoderLayer(width, heads, hidden, dropout, over_nodes=False) for _ in range(layers)
        )
        self.over_nodes = nn.ModuleList(
            EncoderLayer(width, heads, hidden, dropout, over_nodes=True) for _ in range(layers)
        )
        self.width = spec.lookback * width
        self.output = nn.Linear(self.width, spec.horizon * spec.targets)

    def encode(self, x: Tensor, ctx: Context) -> Tensor:
        batch, lookback, nodes, _ = x.shape
        now = ctx.calendar[:, :lookback]  # [B, T, 3]
        if self.calendar_inputs:
            x = with_clock(x, ctx.calendar, self.calendar_sizes)  # [B, T, N, C + 2]
        clock = torch.cat([self.slot_embedding(now[..., 0]), self.day_embedding(now[..., 1])], dim=-1)  # [B, T, 48]
        parts = [
            self.input(x).transpose(1, 2),  # [B, N, T, input]
            clock.unsqueeze(1).expand(-1, nodes, -1, -1),  # [B, N, T, slot + day]
            self.adaptive_embedding.transpose(0, 1).expand(batch, -1, -1, -1),  # [B, N, T, adaptive]
        ]
        z = torch.cat(parts, dim=-1)  # [B, N, T, D]
        for place, layer in enumerate(self.over_steps):
            z = layer(z) if place else layer(z, self.first_qkv(x, clock))  # [B, N, T, D]
        z = z.transpose(1, 2).contiguous()  # [B, T, N, D], for a linear map of a strided tensor adds its bias apart
        for layer in self.over_nodes:
            z = layer(z)  # [B, T, N, D]
        return z.transpose(1, 2).flatten(2)  # [B, N, T * D]

    def first_qkv(self, x: Tensor, clock: Tensor) -> Tensor:
        """Queries, keys and values of the first layer, W_qkv e + b, whose parts are each multiplied where they vary.

        The adaptive share is the same for all windows, that of the clock for all nodes, and W_in x + b goes through
        both maps at once, so that nothing of D columns is multiplied for each step, node and window.
        Shapes: x [B, T, N, C], clock [B, T, slot + day] -> [B, N, T, 3 D].
        """
        mapped: nn.Linear = self.over_steps[0].qkv  # type: ignore[assignment,union-attr]
        widths = [self.input.out_features, clock.shape[-1], self.adaptive_embedding.shape[-1]]
        of_input, of_clock, of_adaptive = mapped.weight.split(widths, dim=1)  # [3 D, each]
        of_nodes = self.adaptive_embedding.transpose(0, 1) @ of_adaptive.t()  # [N, T, 3 D]
        of_times = F.linear(clock, of_clock, mapped.bias + of_input @ self.input.bias)  # [B, T, 3 D]
        known = of_nodes + of_times.unsqueeze(1)  # [B, N, T, 3 D]
        rows = x.transpose(1, 2).flatten(0, 2)  # [B * N * T, C]
        qkv = torch.addmm(known.flatten(0, 2), rows, (of_input @ self.input.weight).t())  # [B * N * T, 3 D]
        return qkv.view_as(known)  # [B, N, T, 3 D]

    def head(self, h: Tensor) -> Tensor:
        return self.unflatten(self.output(h))  # [B, H, N, O]
