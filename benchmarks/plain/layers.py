"""A map over channels as public code writes it: a convolution of one by one."""

from __future__ import annotations

from torch import nn


def convolution_1x1(linear: nn.Linear) -> nn.Conv2d:
    """With the weights of a linear map."""
    convolution = nn.Conv2d(linear.in_features, linear.out_features, (1, 1))
    convolution.weight.data = linear.weight.detach()[:, :, None, None].clone()
    convolution.bias.data = linear.bias.detach().clone()  # type: ignore[union-attr]
    return convolution
