"""STAEformer with heads split and put side by side along the batch, scores kept whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fieldcast.backbones import staeformer
from fieldcast.nn.attention import EncoderLayer


class STAEformer(nn.Module):
    """x [B, T, N, C] with its calendar channels, slot and day ids [B, T] -> y [B, H, N, O]."""

    def __init__(self, fast: staeformer.STAEformer):
        super().__init__()
        self.horizon, self.targets = fast.horizon, fast.targets
        self.input, self.output = fast.input, fast.output
        self.slots = nn.Embedding.from_pretrained(fast.slot_embedding.weight.detach(), freeze=False)
        self.days = nn.Embedding.from_pretrained(fast.day_embedding.weight.detach(), freeze=False)
        self.adaptive_embedding = nn.Parameter(fast.adaptive_embedding.detach().clone())
        self.over_steps = nn.ModuleList(_Layer(layer) for layer in fast.over_steps)
        self.over_nodes = nn.ModuleList(_Layer(layer) for layer in fast.over_nodes)

    def forward(self, x: Tensor, slot: Tensor, day: Tensor) -> Tensor:
        batch, _, nodes, _ = x.shape
        slot = slot[:, :, None].expand(-1, -1, nodes).contiguous()  # [B, T, N], as the authors' data hold them
        day = day[:, :, None].expand(-1, -1, nodes).contiguous()
        adaptive = self.adaptive_embedding.expand(batch, *self.adaptive_embedding.shape)
        z = torch.cat([self.input(x), self.slots(slot), self.days(day), adaptive], dim=-1)  # [B, T, N, D]
        for layer in self.over_steps:
            z = layer(z, dim=1)
        for layer in self.over_nodes:
            z = layer(z, dim=2)
        out = z.transpose(1, 2).reshape(batch, nodes, -1)
        y = self.output(out).view(batch, nodes, self.horizon, self.targets)
        return y.transpose(1, 2)


class _Layer(nn.Module):
    def __init__(self, fast: EncoderLayer):
        super().__init__()
        self.heads = fast.heads
        weights, biases = fast.qkv.weight.detach().chunk(3), fast.qkv.bias.detach().chunk(3)
        self.q, self.k, self.v = (_linear(weight, bias) for weight, bias in zip(weights, biases, strict=True))
        self.out = fast.out
        self.feed = nn.Sequential(fast.first, nn.ReLU(inplace=True), fast.second)
        self.norm1, self.norm2 = fast.norm1, fast.norm2
        self.dropout1, self.dropout2 = nn.Dropout(fast.dropout.p), nn.Dropout(fast.dropout.p)

    def forward(self, x: Tensor, dim: int) -> Tensor:
        x = x.transpose(dim, -2)
        residual = x
        out = self.dropout1(self._attend(x))
        out = self.norm1(residual + out)
        residual = out
        out = self.dropout2(self.feed(out))
        return self.norm2(residual + out).transpose(dim, -2)

    def _attend(self, x: Tensor) -> Tensor:
        size = x.shape[-1] // self.heads
        query, key, value = (torch.cat(torch.split(part(x), size, dim=-1), dim=0) for part in (self.q, self.k, self.v))
        score = torch.softmax(query @ key.transpose(-1, -2) / size**0.5, dim=-1)
        return self.out(torch.cat(torch.split(score @ value, len(x), dim=0), dim=-1))


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], len(weight))
    linear.weight.data, linear.bias.data = weight.clone(), bias.clone()
    return linear
