"""Arrays in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fieldcast.data.formats import open_readings
from fieldcast.errors import FieldcastError

START = {"start": "2020-02-03", "frequency": "1h"}


def test_time_or_start() -> None:
    values = np.arange(12.0).reshape(4, 3)
    by_start = open_readings(values, **START)
    by_time = open_readings(values, time=pd.date_range("2020-02-03", periods=4, freq="h"))
    assert by_start.hash == by_time.hash and by_start.shape == (4, 3, 1)
    with pytest.raises(FieldcastError, match="the array has no timestamps"):
        open_readings(values)


def test_mask_places_and_names() -> None:
    values = np.ones((4, 4, 2), dtype=np.float32)
    observed = np.ones_like(values, dtype=bool)
    observed[0, 1, 1] = False
    places = np.array([[51.0, 0], [51, 1], [50, 0], [50, 1]])
    readings = open_readings(
        values, observed=observed, coordinates=places, grid=(2, 2), channels=["t", "p"], nodes=list("abcd"), **START
    )
    assert readings.grid == (2, 2) and (~readings.observed).sum() == 1 and readings.nodes == tuple("abcd")
    values[:] = 5
    assert readings.values[1, 0, 0] == 1, "the caller's array is not held"
    masked = open_readings(np.ma.masked_equal(np.array([[1.0, -9.0]]), -9.0), **START)
    assert masked.observed[..., 0].tolist() == [[True, False]]


def test_refusals() -> None:
    with pytest.raises(FieldcastError, match="holds values of type object"):
        open_readings(np.array([[None, 1.0]], dtype=object), **START)
    with pytest.raises(FieldcastError, match="has shape"):
        open_readings(np.ones(3), **START)
