"""New readings in, labelled forecasts out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch

from fieldcast.core.context import Batch
from fieldcast.data.forecast import Forecast
from fieldcast.data.form import Form
from fieldcast.data.readings import Readings
from fieldcast.data.windows import Gather
from fieldcast.errors import FieldcastError, did_you_mean
from fieldcast.forecaster.model import Forecaster


def predict(
    forecaster: Forecaster,
    readings: Readings,
    origins: str | Sequence[object] | None = None,
    batch_size: int = 256,
) -> Forecast:
    """Forecast new readings of the same sensors, in any order, some of them missing, at other dates.

    ``origins`` are times of the last reading to use: None for the latest, "all" for every row with a full look-back, or
    a list of timestamps on the wall clock of the readings (or with an offset, where the readings have a timezone).
    Unknown sensors, another step length, and too short a history are refused in a sentence; a sensor that is absent
    counts as unobserved, with a warning.
    """
    form = forecaster.form
    present = set(readings.nodes)
    readings = conform(readings, form, {form.nodes[i] for i in forecaster.inputs})
    rows = origin_rows(readings, form, origins)
    gather = Gather(readings, form)
    _warn_of_silence(readings, form, rows, [i for i in forecaster.inputs if form.nodes[i] in present])
    device = forecaster.mean.device
    training = forecaster.training
    forecaster.eval()
    try:
        parts = [
            forecaster.forecast(Batch.of(gather(rows[i : i + batch_size] - form.lookback + 1, targets=False), device))
            for i in range(0, len(rows), batch_size)
        ]
    finally:
        forecaster.train(training)
    return Forecast.label(torch.cat(parts).cpu().numpy(), readings, rows, form)


def _warn_of_silence(readings: Readings, form: Form, rows: np.ndarray, inputs: Sequence[int]) -> None:
    """Say when sensors have no reading in the look-back of the latest origin: their forecast is a guess."""
    latest = slice(int(rows[-1]) - form.lookback + 1, int(rows[-1]) + 1)
    target = readings.channel_index(form.targets)
    heard = readings.observed[latest][:, list(inputs)][..., target].any(axis=(0, 2))
    if not np.all(heard):
        first = form.nodes[inputs[int(np.flatnonzero(~heard)[0])]]
        warnings.warn(
            f"{int((~heard).sum())} of {len(inputs)} sensors, first '{first}', have no reading in the last "
            f"{form.lookback} steps: their forecasts rest on the others and on habit.",
            stacklevel=3,
        )


def conform(readings: Readings, form: Form, read: Iterable[str] | None = None) -> Readings:
    """New readings in the order and form that a forecaster was made for; what does not fit is refused.

    ``read`` are the sensors whose absence is worth a warning (default all): a switched-off sensor may be absent.
    """
    name = readings.meta.name
    if readings.frequency != form.frequency:
        raise FieldcastError(
            f"{name} has a reading every {readings.frequency}, the forecaster was trained on every {form.frequency}: "
            "resample the readings to that."
        )
    if (readings.timezone or "") != (form.timezone or ""):
        raise FieldcastError(
            f"{name} is in the timezone {readings.timezone or 'of a plain wall clock'}, the forecaster was trained in "
            f"{form.timezone or 'plain wall-clock time'}: open the readings in the same one."
        )
    for channel in form.channels:
        if channel not in readings.channels:
            raise FieldcastError(
                f"{name} lacks the channel '{channel}'{did_you_mean(channel, readings.channels)} that the forecaster "
                f"reads: it has {', '.join(readings.channels)}."
            )
    unknown = sorted(set(readings.nodes) - set(form.nodes))
    if unknown:
        raise FieldcastError(
            f"{name} has {len(unknown)} sensors that the forecaster does not know, first '{unknown[0]}'"
            f"{did_you_mean(unknown[0], form.nodes)}: leave them out, or train with them."
        )
    absent = set(form.nodes) - set(readings.nodes)
    missed = sorted(absent & set(form.nodes if read is None else read))
    if missed:
        warnings.warn(
            f"{name} lacks {len(missed)} of {len(form.nodes)} sensors, first '{missed[0]}': they count as unobserved.",
            stacklevel=3,
        )
    return readings.align(form.nodes)


def origin_rows(readings: Readings, form: Form, origins: str | Sequence[object] | None) -> np.ndarray:
    """Rows of the last readings to use, int64 [origins]; each has a full look-back in its segment."""
    lookback, rows = form.lookback, len(readings.time)
    name = readings.meta.name
    last = rows - 1
    if form.future:
        # Rows that hold only what is known ahead are the horizon, not the history.
        index = readings.channel_index(form.targets)
        seen = np.flatnonzero(readings.observed[..., index].any(axis=(1, 2)))
        last = min(int(seen[-1]) if len(seen) else -1, rows - 1 - form.horizon)
    ends = np.arange(lookback - 1, last + 1, dtype=np.int64)
    # What is known ahead must not come from behind a gap either.
    reach = ends + (form.horizon if form.future else 0)
    ends = ends[readings.segment[ends - lookback + 1] == readings.segment[reach]] if len(ends) else ends
    if isinstance(origins, str) and origins == "all":
        if len(ends) == 0:
            raise FieldcastError(f"{name} has no {lookback} rows without a gap, which the look-back needs: give more.")
        return ends
    if origins is None:
        if last not in ends:
            run = int((readings.segment[: last + 1] == readings.segment[last]).sum()) if last >= 0 else 0
            raise FieldcastError(
                f"{name} ends with {run} rows without a gap, the forecaster looks back {lookback}: give at least "
                f"{lookback}" + (f" and {form.horizon} rows of what is known ahead." if form.future else ".")
            )
        return np.array([last], dtype=np.int64)
    wanted = [origins] if isinstance(origins, str) else list(origins)
    if not wanted:
        raise FieldcastError(
            "there is no origin in the list: give at least one time, 'all', or nothing for the latest."
        )
    wall = readings.local_time().to_numpy()
    chosen = []
    for origin in wanted:
        try:
            stamp = pd.Timestamp(origin)  # type: ignore[arg-type]
        except (ValueError, TypeError):
            stamp = pd.NaT
        if stamp is pd.NaT:
            raise FieldcastError(f"the origin '{origin}' is no date: write it as 2012-03-07T08:00.")
        if stamp.tzinfo is not None and readings.timezone is None:
            raise FieldcastError(f"the origin '{origin}' has a timezone and {name} has none: write it without.")
        clock = readings.time if stamp.tzinfo is not None else wall
        plain = stamp if stamp.tzinfo is None else stamp.tz_convert("UTC").tz_localize(None)
        found = np.flatnonzero(clock == plain.to_datetime64())
        if len(found) == 0:
            raise FieldcastError(f"{name} has no row at {stamp}: give the time of a reading as origin.")
        if len(found) > 1:
            raise FieldcastError(
                f"{stamp} came twice on the wall clock of {readings.timezone}: write the origin with its offset, "
                f"such as {stamp.isoformat()}-07:00."
            )
        row = int(found[0])
        if row not in ends:
            raise FieldcastError(f"{name} has fewer than {lookback} rows in a row up to {stamp}: choose a later one.")
        chosen.append(row)
    return np.array(chosen, dtype=np.int64)
