"""The form of the data goes into a folder and comes back, and follows its nodes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fieldcast.data.form import Form
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from tests.tiny import tiny_values


def form() -> Form:
    readings = Readings.from_array(
        tiny_values(240, 4, 3), start="2024-01-01", frequency="1h", timezone="UTC", channels=["a", "b", "c"],
        grid=(2, 2), nodes=["w", "x", "y", "z"], coordinates=np.arange(8.0).reshape(4, 2),
    )  # fmt: skip
    return Windows(readings, 6, 3, channels=["c", "a", "b"], targets=["b", "c"], future=["a"], scaler="node").form


def test_through_json() -> None:
    first = form()
    saved = json.loads(json.dumps(first.to_json()))
    again = Form.from_json(saved, first.nodes, first.coordinates, first.scaler)
    for name in (
        "lookback",
        "horizon",
        "nodes",
        "channels",
        "targets",
        "future",
        "frequency",
        "timezone",
        "grid",
        "calendar",
    ):
        assert getattr(again, name) == getattr(first, name), name
    assert again.target_index.tolist() == [2, 0] and again.future_index.tolist() == [1]
    assert again.units == first.units and again.to_json() == first.to_json()


def test_renode_takes_names_scaler_and_places_along() -> None:
    first = form()
    other = first.renode(np.array([3, -1, 0]), ["new"])
    assert other.nodes == ("z", "new", "w") and other.grid is None
    assert other.scaler.mean[[0, 2]].tolist() == first.scaler.mean[[3, 0]].tolist()
    np.testing.assert_allclose(other.scaler.mean[1], first.scaler.mean.mean(axis=0), rtol=1e-6)
    assert other.coordinates is not None and other.coordinates[0].tolist() == [6.0, 7.0]
    assert np.isnan(other.coordinates[1]).all()
    assert first.renode(np.array([-1, -1])).nodes == ("new0", "new1")


@pytest.mark.parametrize(
    ("names", "said"), [(["a", "b"], "1 new nodes and 2 names"), (["x"], "has the name of another")]
)
def test_names_must_be_of_their_own(names: list[str], said: str) -> None:
    with pytest.raises(FieldcastError, match=said):
        form().renode(np.array([0, 1, -1]), names)
