"""Hard masking: a full-size forecaster in which removed sensors have no reading, no edge and no weights of their own.

This is the slow plain form of compaction. The product removes sensors by ``renode`` alone; the tests compare the two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from fieldcast.core.context import Batch
from fieldcast.data.graph import Graph
from fieldcast.forecaster import Forecaster
from fieldcast.nn.adaptive import NodeSoftmax, StrongestLinks
from fieldcast.nn.attention import NodeAttention
from fieldcast.nn.normalisation import NodeLayerNorm


def isolate(graph: Graph, removed: Sequence[int]) -> Graph:
    """The graph without the edges of ``removed``, its normaliser that of all edges."""
    matrix = graph.adjacency().toarray().astype(np.float64)
    undirected = np.maximum(matrix, matrix.T)
    keep = ~np.isin(graph.edge_index, removed).any(axis=0)
    return Graph(
        graph.nodes, graph.edge_index[:, keep], graph.edge_weight[keep],
        out_degree=matrix.sum(axis=1), in_degree=matrix.sum(axis=0), degree=undirected.sum(axis=1),
        lambda_max=largest_eigenvalue(undirected),
        lambda_max_without_loops=largest_eigenvalue(undirected - np.diag(np.diag(undirected))),
    )  # fmt: skip


def largest_eigenvalue(matrix: np.ndarray) -> float:
    """That of the normalised Laplacian of an undirected adjacency [N, N]."""
    degree = matrix.sum(axis=1)
    root = np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    return float(np.linalg.eigvalsh(np.eye(len(matrix)) - root[:, None] * matrix * root)[-1])


def hard_masked(forecaster: Forecaster, kept: Sequence[int], *, keep_outputs: bool = False) -> Forecaster:
    """The same forecaster with the graph isolated and every node tensor's rows of removed nodes zero.

    With ``keep_outputs`` only tensors over the nodes that are read lose their rows.
    """
    removed = [i for i in range(len(forecaster.form.nodes)) if i not in set(kept)]
    masked = Forecaster(
        forecaster.form,
        type(forecaster.backbone),
        forecaster.backbone.hyper,
        [type(stage)(**stage.hyper) for stage in forecaster.stages],
        graph=None if forecaster.graph is None else isolate(forecaster.graph, removed),
    )
    parts = [("backbone", forecaster.backbone.node_axes())]
    parts += [(f"before.{i}", stage.node_axes()) for i, stage in enumerate(forecaster.before)]
    parts += [(f"between.{i}", stage.node_axes()) for i, stage in enumerate(forecaster.between)]
    if not keep_outputs:
        parts += [(f"between.{i}", stage.per_output_node) for i, stage in enumerate(forecaster.between)]
        parts += [(f"after.{i}", stage.node_axes()) for i, stage in enumerate(forecaster.after)]
    state = {name: tensor.clone() for name, tensor in forecaster.state_dict().items()}
    for prefix, axes in parts:
        for name, dims in axes.items():
            for axis in dims:
                state[f"{prefix}.{name}"].index_fill_(axis, torch.tensor(removed), 0)
    masked.load_state_dict(state)
    plain = {
        NodeLayerNorm: norm_over, NodeSoftmax: softmax_over, NodeAttention: attention_over, StrongestLinks: links_over,
    }  # fmt: skip
    for module in masked.modules():
        if type(module) in plain:
            module.forward = partial(plain[type(module)], module, list(kept))  # type: ignore[method-assign]
    return masked.eval()


def norm_over(module: NodeLayerNorm, kept: list[int], x: Tensor) -> Tensor:
    """The layer norm with mean and variance over the kept nodes alone: [.., N, C] -> [.., N, C]."""
    there = x[..., kept, :]
    mean = there.mean(dim=(-2, -1), keepdim=True)
    variance = (there - mean).square().mean(dim=(-2, -1), keepdim=True)
    return (x - mean) / torch.sqrt(variance + module.eps) * module.weight + module.bias


def softmax_over(module: NodeSoftmax, kept: list[int], scores: Tensor) -> Tensor:
    """The softmax among the kept nodes alone, rows and columns of others zero: [.., N, N] -> [.., N, N]."""
    there = torch.zeros(scores.shape[-1], dtype=scores.dtype)
    there[kept] = 1
    weights = scores.exp() * there
    return weights / weights.sum(dim=-1, keepdim=True) * there[:, None]


def links_over(module: StrongestLinks, kept: list[int], first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The strongest links among the kept nodes alone, those of removed nodes without weight: [N, keep] twice."""
    scores = first @ second[kept].T  # [N, kept]
    order = scores.argsort(dim=-1, descending=True)[:, : module.keep]  # [N, keep]
    strong = scores.gather(1, order).clamp_min(0).exp()  # [N, keep]
    there = torch.zeros(len(first), dtype=scores.dtype)
    there[kept] = 1
    return torch.tensor(kept)[order], strong / strong.sum(dim=-1, keepdim=True) * there[:, None]


def attention_over(module: NodeAttention, kept: list[int], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention to the kept nodes alone: [.., heads, N, d] -> [.., heads, N, d]."""
    scores = (q @ k[..., kept, :].transpose(-1, -2) / q.shape[-1] ** 0.5).exp()  # [.., heads, N, kept]
    return scores / scores.sum(dim=-1, keepdim=True) @ v[..., kept, :]


def hard_masked_forecast(
    forecaster: Forecaster, batch: Batch, kept: Sequence[int], *, keep_outputs: bool = False
) -> Tensor:
    """The forecast of the hard-masked forecaster for all its nodes, in real units: [B, H, M, O]."""
    there = torch.zeros(len(forecaster.form.nodes), dtype=torch.bool)
    there[list(kept)] = True
    unread = dataclasses.replace(
        batch,
        x=torch.where(there[:, None], batch.x, 0.0),  # [B, T, M, C]
        observed=batch.observed & there[:, None],  # [B, T, M, C]
    )
    return hard_masked(forecaster, kept, keep_outputs=keep_outputs).forecast(unread)
