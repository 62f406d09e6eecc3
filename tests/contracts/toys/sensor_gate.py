"""One gate a sensor, in the manner of DynST."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fieldcast.core.context import Context
from fieldcast.core.registry import register
from fieldcast.core.spec import Spec
from fieldcast.core.stage import BeforeStage


@register
class SensorGate(BeforeStage):
    """m = open * strength multiplies all that is known of a sensor; ``open`` is 0 or 1, ``strength`` is trained.

    A penalty * mean |strength| lowers the gates of sensors that nobody needs. Starts with every gate open at 1, so that
    the gated model equals the model without gates.
    """

    per_node = {"open": (0,), "strength": (0,)}

    open: Tensor
    strength: Tensor

    def __init__(self, penalty: float = 0.01):
        super().__init__()
        self.penalty = penalty

    def build(self, spec: Spec) -> Spec:
        self.register_buffer("open", torch.ones(spec.nodes))  # [N]
        self.strength = nn.Parameter(torch.ones(spec.nodes))  # [N]
        return spec

    def gate(self) -> Tensor:
        return self.open * self.strength  # [N]

    def extra_loss(self, ctx: Context) -> Tensor:
        return self.penalty * self.strength.abs().mean()

    def close(self, nodes: Sequence[int]) -> None:
        """Switch sensors off for good."""
        self.open[list(nodes)] = 0
