"""Attention: heads padded for a GPU's kernels say what unpadded ones say."""

from __future__ import annotations

import pytest
import torch

from fieldcast.nn.attention import Attention, EncoderLayer


@pytest.mark.parametrize("size", [38, 5, 8])
@pytest.mark.parametrize("steps", [12, 40])
def test_padded_heads_equal_unpadded_ones(size: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """STAEformer's heads of 38 channels are given two of zeros; the scale stays that of 38. Gradients too."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, steps, size, dtype=torch.float64, requires_grad=True) for _ in range(3))

    def said() -> list[torch.Tensor]:
        out = Attention()(q, k, v)
        return [out, *torch.autograd.grad(out.square().sum(), (q, k, v))]

    scores = (q @ k.transpose(-1, -2) / size**0.5).softmax(dim=-1)
    plain = said()
    torch.testing.assert_close(plain[0], scores @ v, rtol=0, atol=1e-12)
    monkeypatch.setattr(Attention, "padding", staticmethod(lambda given: -given.shape[-1] % 8))
    padded = said()
    assert padded[0].shape == q.shape
    for one, other in zip(padded, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("gradients", [True, False])
def test_in_mixed_precision_the_residual_sum_is_of_float32(gradients: bool) -> None:
    """Maps give bfloat16 there; what goes into a norm is float32 all the same."""
    layer = EncoderLayer(8, 2, 16, 0.0, over_nodes=False).eval()
    given: list[torch.dtype] = []
    for norm in (layer.norm1, layer.norm2):
        norm.register_forward_pre_hook(lambda _, x: given.append(x[0].dtype))
    with torch.set_grad_enabled(gradients), torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(3, 5, 8))
    assert given == [torch.float32] * 2
