"""Scores of a forecaster over a part of the windows, streamed; and a sample of forecasts to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldcast.core import processes
from fieldcast.core.context import Batch
from fieldcast.data.loader import WindowLoader
from fieldcast.data.windows import Windows
from fieldcast.errors import FieldcastError
from fieldcast.evaluation import (
    ScoreSums,
    format_table,
    protocol_record,
    score_row,
    scores,
    to_jsonable,
)
from fieldcast.evaluation.rules import shown_horizons
from fieldcast.forecaster import Forecaster

_SAMPLE_ROWS = 576
_SAMPLE_NODES = 250


@dataclass
class Scored:
    """Sums by the dataset's primary rule and by those beside it, and forecasts of the last rows of the part."""

    primary: ScoreSums
    beside: list[ScoreSums]
    sample: Sample

    def scores(self) -> dict[str, Any]:
        return to_jsonable(scores(self.primary))

    def scores_beside(self) -> list[dict[str, Any]]:
        return [to_jsonable(scores(sums)) for sums in self.beside]


class Sample:
    """Truth and forecasts of the last rows of a part, at a few steps ahead, for at most some hundred nodes.

    Shapes: ``truth`` float32 [R, N, O], NaN where unobserved; ``forecast`` float32 [S, R, N, O], NaN where none.
    """

    def __init__(self, windows: Windows, part: str, rows: int = _SAMPLE_ROWS, nodes: int = _SAMPLE_NODES):
        form, readings = windows.form, windows.readings
        starts = windows.starts(part)
        stop = int(starts[-1]) + form.lookback + form.horizon
        self.first = max(int(starts[0]) + form.lookback, stop - rows)
        self.rows = np.arange(self.first, stop)
        self.node_index = np.unique(np.linspace(0, len(form.nodes) - 1, min(nodes, len(form.nodes))).astype(int))
        self.steps = np.array([step for step in shown_horizons(form.horizon) if step != 6] or [form.horizon])
        target = readings.channel_index(form.targets)
        self.time = readings.local_time(readings.time[self.rows]).to_numpy("datetime64[ns]")
        self.truth = readings.values[self.first : stop][:, self.node_index][..., target]
        self.nodes = [form.nodes[i] for i in self.node_index]
        self.targets = list(form.targets)
        self.forecast = np.full((len(self.steps), *self.truth.shape), np.nan, dtype=np.float32)
        self._lookback = form.lookback

    def update(self, start: np.ndarray, prediction: np.ndarray) -> None:
        """Keep what forecasts [B, H, N, O] from windows at ``start`` say of the sampled rows."""
        for position, step in enumerate(self.steps):
            row = start + self._lookback + step - 1 - self.first
            inside = (row >= 0) & (row < len(self.rows))
            self.forecast[position, row[inside]] = prediction[inside, step - 1][:, self.node_index]


def score(forecaster: Forecaster, windows: Windows, part: str = "test", batch_size: int = 256) -> Scored:
    """Score a forecaster by the protocol: observed cells that the dataset's rule leaves, every window once, float64.

    Several processes (torchrun) score each its own windows, none twice, and all return the scores of all.
    Only arrays in real units go to the evaluation; it never sees the model.
    """
    processes.begin("cpu" if forecaster.mean.device.type == "cpu" else "auto")
    windows = windows.under(forecaster.form)
    if len(windows.starts(part)) == 0:
        raise FieldcastError(f"the {part} part of {windows.readings.meta.name} has no window: score another part.")
    form, readings = windows.form, windows.readings
    rules, active = windows.rules, windows.active
    sums = [ScoreSums(form.horizon, form.nodes, form.targets, rule, active=active) for rule in rules]
    sample = Sample(windows, part)
    local = readings.local_time()
    hour, day = local.hour.to_numpy(), local.to_numpy("datetime64[D]")
    ahead = form.lookback + np.arange(form.horizon)
    training, device = forecaster.training, forecaster.mean.device
    forecaster.eval()
    for batch in WindowLoader(windows, part, batch_size, rank=processes.rank(), world=processes.world()):
        assert batch.y is not None and batch.y_observed is not None
        prediction = forecaster.forecast(Batch.of(batch, device)).cpu().numpy()
        first_target = batch.start + form.lookback
        for each in sums:
            each.update(prediction, batch.y, batch.y_observed, hour[batch.start[:, None] + ahead], day[first_target])
        sample.update(batch.start, prediction)
    forecaster.train(training)
    if processes.world() > 1:
        sums = [_of_all(each) for each in sums]
        shares = [each["forecast"] for each in processes.gathered({"forecast": sample.forecast})]
        for share in shares:  # a place is filled by the process that has its window, and NaN in all others
            sample.forecast = np.where(np.isnan(sample.forecast), share, sample.forecast)
    return Scored(sums[0], sums[1:], sample)


def _of_all(sums: ScoreSums) -> ScoreSums:
    """The sums of all processes, each of which scored its own windows."""
    parts = [ScoreSums.from_arrays(arrays) for arrays in processes.gathered(sums.to_arrays())]
    for part in parts[1:]:
        parts[0].merge(part)
    return parts[0]


@dataclass(frozen=True)
class Evaluation:
    """Scores with their protocol; printed as a table, saved as JSON."""

    scores: dict[str, Any]
    beside: list[dict[str, Any]]
    protocol: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"scores": self.scores, "beside": self.beside, "protocol": self.protocol}

    def __str__(self) -> str:
        rows = [
            {"target": target, "scored on": each["rule"], **score_row(each, target)}
            for target in self.scores["channels"]
            for each in (self.scores, *self.beside)
        ]
        return format_table(rows)


def evaluate(forecaster: Forecaster, windows: Windows, part: str = "test") -> Evaluation:
    """Score a forecaster on a part of the windows by the protocol (see :func:`score`)."""
    scored = score(forecaster, windows, part)
    protocol = {**protocol_of(windows, []), "part": part}
    return Evaluation(scored.scores(), scored.scores_beside(), protocol)


def protocol_of(windows: Windows, seeds: list[int] | tuple[int, ...]) -> dict[str, Any]:
    """The protocol that stands beside every score over these windows."""
    readings, form = windows.readings, windows.form
    record = protocol_record(
        dataset=readings.meta.name, dataset_hash=readings.hash, split=windows.split.name,
        null_rule=readings.meta.null_rule, rule=readings.meta.scored_cells, lookback=form.lookback,
        horizon=form.horizon, windows={part: len(windows.starts(part)) for part in ("train", "validation", "test")},
        seeds=seeds,
    )  # fmt: skip
    return to_jsonable({
        **record, "channels": list(form.channels), "targets": list(form.targets), "scaler": form.scaler.kind,
        "stride": windows.stride,
        **({} if windows.train_share == (0, 1) else {"train_share": list(windows.train_share)}),
    })  # fmt: skip
