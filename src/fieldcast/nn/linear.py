"""A linear map that takes the faster of torch's two libraries for products."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MANY = 4096
"""Rows from which the convolution is the faster one; below, its preparation costs what it gains."""

_LEAST = 20_480
"""Numbers up to which, and always with one thread, torch convolves a single image by its own slow form."""


class Linear(nn.Linear):
    """W x + b, ``torch.nn.Linear`` in all but speed: without gradients many rows go through a 1 x 1 convolution.

    On a CPU torch multiplies matrices by MKL and convolves by oneDNN, which adds b within the product, where MKL needs
    a pass over the result before it, and which uses the widest vectors of processors that MKL does not know. A tensor
    whose last axis is the channels' is read as an image of one column without a copy. With gradients oneDNN is slower.
    Compiled and exported it is torch's own.
    Shapes: x [.., in] -> [.., out]. Results of the two differ by rounding.
    Source: ``benchmarks/tried.py`` measures both.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not self._convolves(x):
            return super().forward(x)
        image = x.view(1, -1, 1, self.in_features).permute(0, 3, 1, 2)  # [1, in, rows, 1], channels last
        y = F.conv2d(image, self.weight[:, :, None, None], self.bias)  # [1, out, rows, 1]
        return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], self.out_features)  # [.., out]

    def _convolves(self, x: Tensor) -> bool:
        return (
            not torch.is_grad_enabled()
            and x.device.type == "cpu"
            and x.dtype == torch.float32
            and x.is_contiguous()
            and x.numel() > max(_MANY * self.in_features, _LEAST)
            and torch.get_num_threads() > 1
            and torch.backends.mkldnn.is_available()
            and bool(torch.backends.mkldnn.enabled)
        )
