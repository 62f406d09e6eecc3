"""Hyper-parameters are remembered, tensors with node axes are gathered."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from fieldcast.core.module import Configured, gather_nodes, require
from fieldcast.core.spec import Spec
from fieldcast.errors import FieldcastError


class Example(Configured):
    per_node = {"rows": (0,)}

    def __init__(self, spec: Spec, width: int = 3, *, name: str = "a"):
        super().__init__()
        self.rows = nn.Parameter(torch.ones(2, width))
        self.name = name


class Bare(Configured):
    """Without a constructor of its own."""


SPEC = None


def test_hyper_holds_all_arguments_but_the_spec() -> None:
    assert Example(SPEC).hyper == {"width": 3, "name": "a"}  # type: ignore[arg-type]
    assert Example(SPEC, 5, name="b").hyper == {"width": 5, "name": "b"}  # type: ignore[arg-type]
    assert Example(spec=SPEC, width=4).hyper == {"width": 4, "name": "a"}  # type: ignore[arg-type]
    assert Bare().hyper == {}


def test_hyper_makes_an_equal_module() -> None:
    first = Example(SPEC, 5, name="b")  # type: ignore[arg-type]
    second = Example(SPEC, **first.hyper)  # type: ignore[arg-type]
    assert second.hyper == first.hyper and second.rows.shape == first.rows.shape


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_keep_hyper_and_share_nothing(copier) -> None:  # type: ignore[no-untyped-def]
    first = Example(SPEC, 5)  # type: ignore[arg-type]
    second = copier(first)
    assert second.hyper == {"width": 5, "name": "a"} and second.name == "a"
    with torch.no_grad():
        second.rows += 1
    assert first.rows.eq(1).all()


def test_default_group_holds_what_trains() -> None:
    module = Example(SPEC)  # type: ignore[arg-type]
    assert module.groups()[0].parameters == [module.rows]
    module.rows.requires_grad_(False)
    assert module.groups()[0].parameters == []
    assert module.node_axes() == {"rows": (0,)}


def test_gather_selects_and_fills() -> None:
    tensor = torch.arange(12.0).view(3, 4)
    index = np.array([2, -1, 0])
    assert gather_nodes(tensor, (0,), index).tolist() == [[8, 9, 10, 11], [4, 5, 6, 7], [0, 1, 2, 3]]
    assert gather_nodes(tensor, (0,), index, "zero")[1].tolist() == [0, 0, 0, 0]
    assert gather_nodes(tensor, (1,), np.array([3, 1])).tolist() == [[3, 1], [7, 5], [11, 9]]


def test_gather_on_two_axes() -> None:
    tensor = torch.arange(9.0).view(3, 3)
    index = np.array([1, 2])
    assert gather_nodes(tensor, (0, 1), index).tolist() == [[4, 5], [7, 8]]
    grown = gather_nodes(tensor, (0, 1), np.array([0, 1, 2, -1]))
    assert torch.equal(grown[:3, :3], tensor)
    assert grown[3, 3] == tensor.mean() and grown[0, 3] == tensor[0].mean() and grown[3, 1] == tensor[:, 1].mean()


def test_gather_keeps_the_kind_of_number_and_the_order() -> None:
    counts = torch.tensor([[5, 6], [7, 8]])
    grown = gather_nodes(counts, (0,), np.array([1, 0, -1]))
    assert grown.dtype == counts.dtype and grown[:2].tolist() == [[7, 8], [5, 6]]
    assert gather_nodes(torch.rand(4, 5).t(), (1,), np.array([0, 2])).is_contiguous()


@pytest.mark.parametrize(("value", "least", "below"), [(0, 1, np.inf), (-1, 0, 1), (1.0, 0, 1), (float("nan"), 0, 1)])
def test_a_hyper_parameter_out_of_range_is_told(value: float, least: float, below: float) -> None:
    with pytest.raises(FieldcastError, match=f"width is {value}: give a number of at least {least}"):
        require("width", value, least, below)


def test_a_hyper_parameter_in_range_passes() -> None:
    require("width", 1, 1)
    require("dropout", 0.0, 0, below=1)
