"""Graph WaveNet in [B, C, N, T] with convolutions over it, an einsum for each power of each support."""

from __future__ import annotations

import torch
from benchmarks.plain.layers import convolution_1x1
from torch import Tensor, nn
from torch.nn import functional as F

from fieldcast.backbones import graph_wavenet


class GraphWaveNet(nn.Module):
    """x [B, T, N, C] with its calendar channels -> y [B, H, N, O]."""

    def __init__(self, fast: graph_wavenet.GraphWaveNet):
        super().__init__()
        self.horizon, self.targets = fast.horizon, fast.targets
        self.missing_steps = fast.missing_steps
        self.walks = [walk.tensor().to_dense().T.contiguous() for walk in fast.walks]  # [N, N] each
        self.source, self.target = nn.Parameter(fast.source.detach()), nn.Parameter(fast.target.detach().T.contiguous())
        self.start = convolution_1x1(fast.start)
        self.filters, self.gates, self.skips, self.mixes, self.norms = (nn.ModuleList() for _ in range(5))
        for layer in fast.layers:
            f, g = layer.gate.weight.detach().chunk(2)
            fb, gb = layer.gate.bias.detach().chunk(2)
            self.filters.append(_convolution(f, fb, layer.dilation))
            self.gates.append(_convolution(g, gb, layer.dilation))
            self.skips.append(convolution_1x1(layer.skip))
            width = len(f)
            mix = layer.diffusion if layer.goes_on else nn.Linear((1 + 2 * 3) * width, width).to(f.dtype)
            self.mixes.append(convolution_1x1(mix))
            norm = nn.BatchNorm2d(width).to(f.dtype)
            if layer.goes_on:
                norm.load_state_dict(layer.norm.state_dict())
            self.norms.append(norm)
        self.dropout = fast.layers[0].dropout.p
        self.end1, self.end2 = convolution_1x1(fast.end1), convolution_1x1(fast.end2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 2, 1)  # [B, C, N, T]
        x = F.pad(x, (self.missing_steps, 0, 0, 0))
        x = self.start(x)
        adaptive = F.softmax(F.relu(torch.mm(self.source, self.target)), dim=1)
        supports = [*self.walks, adaptive]
        skip: Tensor | None = None
        for conv_f, conv_g, conv_s, mix, norm in zip(
            self.filters, self.gates, self.skips, self.mixes, self.norms, strict=True
        ):
            residual = x
            x = torch.tanh(conv_f(residual)) * torch.sigmoid(conv_g(residual))
            s = conv_s(x)
            skip = s if skip is None else s + skip[:, :, :, -s.size(3) :]
            out = [x]
            for a in supports:
                x1 = torch.einsum("ncvl,vw->ncwl", x, a).contiguous()
                out.append(x1)
                x2 = torch.einsum("ncvl,vw->ncwl", x1, a).contiguous()
                out.append(x2)
            x = F.dropout(mix(torch.cat(out, dim=1)), self.dropout, training=self.training)
            x = norm(x + residual[:, :, :, -x.size(3) :])
        assert skip is not None
        y = self.end2(F.relu(self.end1(F.relu(skip))))  # [B, H * O, N, 1]
        return y.reshape(len(y), self.horizon, self.targets, -1).permute(0, 1, 3, 2)


def _convolution(weight: Tensor, bias: Tensor, dilation: int) -> nn.Conv2d:
    width = weight.shape[1] // 2
    convolution = nn.Conv2d(width, len(weight), (1, 2), dilation=(1, dilation))
    convolution.weight.data = weight.unflatten(1, (2, width)).transpose(1, 2).unsqueeze(2).contiguous()
    convolution.bias.data = bias.clone()  # type: ignore[union-attr]
    return convolution
