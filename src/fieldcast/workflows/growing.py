"""A run over more sensors than the one that it comes from: what is new to it, and how its forecasters are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fieldcast.data.graph import Graph
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.forecaster import Forecaster, freeze, load
from fieldcast.workflows.options import RunOptions


def grown_windows(options: RunOptions, old: Sequence[str]) -> Windows:
    """The windows of such a run: the base's sensors, ``old``, in their order, then the new ones.

    The readings are those of all; the graph is the one that the options make of them, or that lies beside them.
    """
    readings, data = options.readings.open(), options.readings.data
    new = [node for node in readings.nodes if node not in set(old)]
    absent = [node for node in old if node not in set(readings.nodes)]
    if absent or not new:
        said = f"lacks the run's sensor '{absent[0]}'" if absent else "has no sensor that the run does not have"
        raise FieldcastError(f"{data} {said}: give readings of the run's sensors and of new ones.")
    place = {node: i for i, node in enumerate(readings.nodes)}
    graph = options.windows.windows(readings, beside=data).graph  # over the sensors in the order of the data
    if graph is not None:
        graph = graph.renode(np.array([place[node] for node in (*old, *new)]))
    windows = options.windows.over(readings.select(nodes=[*old, *new]), graph)
    first, stop = windows.split.train_rows
    targets = windows.readings.channel_index(windows.form.targets)
    read = windows.readings.observed[first:stop, len(old) :][..., targets].any(axis=(0, 2))  # [new]
    if not read.all():
        silent = new[int(np.argmin(read))]
        raise FieldcastError(f"the training rows of {data} hold no reading of the new sensor '{silent}': leave it out.")
    return windows


def grow(options: RunOptions, windows: Windows, seed: int) -> Forecaster:
    """The base's forecaster of a seed over all sensors, in which only what new ones have of their own is trained.

    Whatever a sensor has to itself (codes, embeddings) is for a new one the mean over the base's. A backbone that needs
    a graph is refused one in which no new sensor has an edge.
    """
    base = load(Path(str(options.base)) / f"seed{seed}")
    old, nodes = base.form.nodes, windows.form.nodes
    if base.backbone.needs_graph and not _reaches(windows.graph, len(old)):
        raise FieldcastError(
            f"no new sensor in {options.readings.data} has an edge in a graph: give the graph of all sensors, in the "
            "order of these readings (--graph), or a rule such as nearest:8."
        )
    order = [*range(len(old)), *[-1] * (len(nodes) - len(old))]
    forecaster = base.renode(order, names=nodes[len(old) :], coordinates=windows.form.coordinates, graph=windows.graph)
    freeze(forecaster, "codes")
    fresh = torch.tensor([position < 0 for position in order])  # [N]
    for stage in forecaster.after:
        for name, axes in stage.node_axes().items():  # type: ignore[operator]
            parameter = stage.get_parameter(name)
            if parameter.requires_grad:
                shape = [-1 if axis == axes[0] else 1 for axis in range(parameter.dim())]
                parameter.register_hook(partial(_masked, fresh.view(shape)))
        # Decay would move the rows that are to stay.
        stage.weight_decay = 0.0  # type: ignore[assignment]
    return forecaster


def _masked(mask: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return mask.to(gradient.device) * gradient


def _reaches(graph: Graph | None, old: int) -> bool:
    """Whether an edge joins one of the nodes from ``old`` on to another."""
    if graph is None:
        return False
    here, there = graph.edge_index
    return bool(((here >= old) | (there >= old))[here != there].any())
