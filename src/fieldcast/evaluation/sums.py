"""Streamed float64 sums of errors: what is kept of a forecast when its windows have gone by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fieldcast.errors import FieldcastError
from fieldcast.evaluation.rules import Arithmetic, ScoreRule, primary_rule

STATISTICS: tuple[str, ...] = (
    "absolute",  # sum of |prediction - y|
    "squared",  # sum of (prediction - y)^2
    "signed",  # sum of prediction - y
    "target",  # sum of |y|
    "count",  # scored cells
    "percentage",  # sum of |prediction - y| / |y| where y is not 0
    "percentage_count",  # scored cells where y is not 0
    "percentage_at_10",  # the same sum where y >= 10
    "count_at_10",  # scored cells where y >= 10
)
"""What is summed, in the order of the first axis of every array of sums."""

_FORMAT = 1


class ScoreSums:
    """Streamed sums of errors per horizon, node and channel, per hour of the day, and per day.

    The sums do not depend on how the windows were divided into batches, nor on their order (to rounding), so that
    no window is dropped, padded or weighted by its batch.

    Args:
        horizon: number of predicted steps H.
        nodes: number of nodes N, or their ids.
        channels: number of target channels O, or their names.
        rule: which cells are scored, a rule or the ``scored_cells`` line of a dataset (its primary rule is taken).
        active: the active nodes [N] or node channels [N, O]; needed for a rule that scores active nodes only.
        arithmetic: whose arithmetic is followed; the protocol's by default.
    """

    def __init__(
        self,
        horizon: int,
        nodes: int | Sequence[str],
        channels: int | Sequence[str],
        rule: ScoreRule | str = "observed cells",
        *,
        active: np.ndarray | None = None,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        if horizon < 1:
            raise FieldcastError(f"the horizon is {horizon}: score at least one step.")
        self.horizon = int(horizon)
        self.nodes = _names(nodes, "node")
        self.channels = _names(channels, "channel")
        self.arithmetic = arithmetic or Arithmetic()
        self.rule = self.arithmetic.effective(primary_rule(rule))
        self.active = _active(active, len(self.nodes), len(self.channels)) if self.rule.active_only else None
        if self.rule.active_only and self.active is None:
            raise FieldcastError(
                f"the rule '{self.rule.name}' scores active nodes, but nobody said which are active: "
                "give `active`, for instance from active_nodes(values)."
            )
        outputs = len(self.channels)
        self._by_node = np.zeros((len(STATISTICS), self.horizon, len(self.nodes), outputs))
        self._by_hour = np.zeros((len(STATISTICS), 24, self.horizon, outputs))
        self._by_day: dict[int, np.ndarray] = {}
        # None until the first windows come: then windows with and without a clock may not be mixed.
        self._has_hours: bool | None = None
        self._has_days: bool | None = None

    def update(
        self,
        prediction: np.ndarray,
        target: np.ndarray,
        observed: np.ndarray | None = None,
        target_hour: np.ndarray | None = None,
        day: np.ndarray | None = None,
    ) -> None:
        """Add a batch of windows; a refused batch leaves the sums as they were.

        Args:
            prediction: forecasts in real units; may hold anything where nothing is scored.
            target: readings in real units; NaN where missing.
            observed: which readings were measured; ``None`` when all finite ones were.
            target_hour: hour of the day, 0 to 23, of every predicted step; ``None`` for no table by hour.
            day: day of each window's first predicted step, as days since 1970-01-01 or datetime64; ``None`` for no
                sums by day.

        Shapes:
            prediction, target, observed [B, H, N, O]; target_hour [B, H]; day [B].

        Raises:
            FieldcastError: on another shape, and on a forecast that is not finite where a cell is scored.
        """
        shape = (np.shape(prediction)[0] if np.ndim(prediction) else 0, *self._by_node.shape[1:])
        prediction = _shaped(prediction, shape, "prediction", np.float64)
        target = _shaped(target, shape, "target", np.float64)
        if observed is not None:
            observed = _shaped(observed, shape, "observed", bool)
        if target_hour is not None:
            target_hour = _shaped(target_hour, shape[:2], "target_hour", np.int64)
            if target_hour.size and (target_hour.min() < 0 or target_hour.max() > 23):
                raise FieldcastError("target_hour holds a number outside 0 to 23: give the hour of the day.")
        if day is not None:
            day = np.asarray(day)
            day = day.astype("datetime64[D]").astype(np.int64) if day.dtype.kind == "M" else day
            day = _shaped(day, shape[:1], "day", np.int64)
        if not shape[0]:
            return
        mask = self.rule.mask(target, observed, self.active)
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.where(mask, prediction - target, 0.0)
            squared = error * error
        if not np.isfinite(squared).all():
            self._refuse(prediction, mask)
        has_hours = _agreed(self._has_hours, target_hour is not None, "target_hour")
        has_days = _agreed(self._has_days, day is not None, "day")
        self._has_hours, self._has_days = has_hours, has_days

        hours = None if target_hour is None else (target_hour.T[:, None, :] == np.arange(24)[:, None]).astype(float)
        days = None
        if day is not None:
            distinct, place = np.unique(day, return_inverse=True)
            days = (place == np.arange(len(distinct))[:, None]).astype(float)  # [days, B]
            for number in distinct.tolist():
                if number not in self._by_day:
                    self._by_day[number] = np.zeros((len(STATISTICS), shape[1], shape[3]))
        for index, cells in enumerate(_cell_statistics(error, squared, target, mask)):
            self._by_node[index] += cells.sum(axis=0)
            if hours is None and days is None:
                continue
            rows = cells.sum(axis=2)  # [B, H, O]
            if hours is not None:
                # one product per horizon: [24, B] @ [B, O]
                self._by_hour[index] += (hours @ rows.transpose(1, 0, 2)).transpose(1, 0, 2)
            if days is not None:
                sums = (days @ rows.reshape(shape[0], -1)).reshape(-1, shape[1], shape[3])
                for number, of_day in zip(distinct.tolist(), sums, strict=True):
                    self._by_day[number][index] += of_day

    def _refuse(self, prediction: np.ndarray, mask: np.ndarray) -> None:
        wrong = mask & ~np.isfinite(prediction)
        if not wrong.any():
            raise FieldcastError("the error of a forecast exceeds what float64 holds: check the unit of the forecasts.")
        window, step, node, channel = np.argwhere(wrong)[0]
        raise FieldcastError(
            f"{int(wrong.sum())} of {int(mask.sum())} scored cells have a forecast that is not finite, the first "
            f"({prediction[window, step, node, channel]}) in window {window} of the batch, step {step + 1}, "
            f"node '{self.nodes[node]}', channel '{self.channels[channel]}': mend the model or its input "
            "(a diverged training often needs a lower learning rate), they are not left out."
        )

    @property
    def days(self) -> np.ndarray:
        """The days that have windows, int64 days since 1970-01-01, increasing [D]."""
        return np.array(sorted(self._by_day), dtype=np.int64)

    @property
    def by_node(self) -> np.ndarray:
        """Sums per horizon, node and channel [len(STATISTICS), H, N, O]."""
        return self._by_node.copy()

    @property
    def by_hour(self) -> np.ndarray | None:
        """Sums per hour of the day, horizon and channel [len(STATISTICS), 24, H, O]; None when no hours were given."""
        return self._by_hour.copy() if self._has_hours else None

    @property
    def by_day(self) -> np.ndarray | None:
        """Sums per day, horizon and channel [len(STATISTICS), D, H, O]; None when no days were given."""
        if not self._has_days:
            return None
        return np.stack([self._by_day[number] for number in self.days.tolist()], axis=1)

    def merge(self, other: ScoreSums) -> ScoreSums:
        """Add the sums of other windows of the same split, and return self.

        Raises:
            FieldcastError: when the two differ in horizon, nodes, channels, rule or arithmetic.
        """
        mine, theirs = self._header(), other._header()
        for name in ("horizon", "nodes", "channels", "rule", "active", "arithmetic"):
            if mine[name] != theirs[name]:
                raise FieldcastError(f"two score sums differ in their {name} and cannot be merged: score them alike.")
        if other._has_hours is not None and other._has_days is not None:  # it has seen windows
            has_hours = _agreed(self._has_hours, other._has_hours, "target_hour")
            has_days = _agreed(self._has_days, other._has_days, "day")
            self._has_hours, self._has_days = has_hours, has_days
        self._by_node += other._by_node
        self._by_hour += other._by_hour
        for number, sums in other._by_day.items():
            self._by_day[number] = self._by_day[number] + sums if number in self._by_day else sums.copy()
        return self

    def _header(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "statistics": list(STATISTICS),
            "horizon": self.horizon,
            "nodes": list(self.nodes),
            "channels": list(self.channels),
            "rule": asdict(self.rule),
            "active": None if self.active is None else self.active.astype(int).tolist(),
            "arithmetic": asdict(self.arithmetic),
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return arrays that `numpy.savez` keeps and `from_arrays` reads back to the bit; nothing is pickled."""
        header = self._header() | {"has_hours": self._has_hours, "has_days": self._has_days}
        by_day = self.by_day
        return {
            "header": np.array(json.dumps(header, ensure_ascii=True)),
            "by_node": self._by_node.copy(),
            "by_hour": self._by_hour.copy(),
            "by_day": np.zeros((len(STATISTICS), 0, self.horizon, len(self.channels))) if by_day is None else by_day,
            "days": self.days,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ScoreSums:
        """Read what `to_arrays` returned, also from an open npz file.

        Raises:
            FieldcastError: when the arrays are not those of score sums of this format.
        """
        try:
            header = json.loads(str(arrays["header"]))
            if header["format"] != _FORMAT or tuple(header["statistics"]) != STATISTICS:
                raise ValueError(f"format {header['format']}")
            rule = ScoreRule(**header["rule"])  # already the one in effect, so the arithmetic is set afterwards
            sums = cls(header["horizon"], header["nodes"], header["channels"], rule, active=header["active"])
            sums.arithmetic = Arithmetic(**header["arithmetic"])
            sums._has_hours, sums._has_days = header["has_hours"], header["has_days"]
            days = np.asarray(arrays["days"]).tolist()
            by_day = np.asarray(arrays["by_day"], dtype=np.float64)
            if by_day.shape != (len(STATISTICS), len(days), sums.horizon, len(sums.channels)):
                raise ValueError(f"by_day has the shape {by_day.shape}")
            sums._by_day = {number: by_day[:, index].copy() for index, number in enumerate(days)}
            for name in ("by_node", "by_hour"):
                array = np.array(arrays[name], dtype=np.float64)
                if array.shape != getattr(sums, f"_{name}").shape:
                    raise ValueError(f"{name} has the shape {array.shape}")
                setattr(sums, f"_{name}", array)
        except (KeyError, TypeError, ValueError) as error:
            raise FieldcastError(f"these are not score sums of format {_FORMAT} ({error}): score again.") from None
        return sums


def _cell_statistics(
    error: np.ndarray, squared: np.ndarray, target: np.ndarray, mask: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield the statistics of every cell in the order of STATISTICS, zero where the cell is not scored."""
    absolute = np.abs(error)
    size = np.where(mask, np.abs(target), 0.0)
    nonzero = size > 0
    with np.errstate(over="ignore"):  # a reading next to nothing may make its percentage infinite
        relative = np.divide(absolute, size, out=np.zeros_like(absolute), where=nonzero)
    at_10 = mask & (target >= 10)
    yield from (absolute, squared, error, size, mask.astype(float), relative, nonzero.astype(float))
    yield np.where(at_10, relative, 0.0)
    yield at_10.astype(float)


def _names(given: int | Sequence[str], what: str) -> tuple[str, ...]:
    names = tuple(str(name) for name in (range(given) if isinstance(given, int | np.integer) else given))
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise FieldcastError(f"the {what} '{name}' is named more than once: give each {what} its own name.")
    return names


def _active(active: np.ndarray | None, nodes: int, channels: int) -> np.ndarray | None:
    if active is None:
        return None
    active = np.asarray(active, dtype=bool)
    if active.shape not in ((nodes,), (nodes, channels)):
        raise FieldcastError(
            f"active has the shape {active.shape}: give one truth a node, ({nodes},), or {(nodes, channels)}."
        )
    return active


def _shaped(array: Any, shape: tuple[int, ...], name: str, dtype: Any) -> np.ndarray:
    array = np.asarray(array)
    if dtype is np.int64 and array.size and array.dtype.kind not in "iu":
        raise FieldcastError(f"{name} holds {array.dtype} where whole numbers are expected: convert it first.")
    array = array.astype(dtype, copy=False)
    if array.shape != shape:
        raise FieldcastError(f"{name} has the shape {array.shape} where {shape} is expected: pass whole batches alike.")
    return array


def _agreed(before: bool | None, now: bool, name: str) -> bool:
    if before is not None and before != now:
        raise FieldcastError(f"some windows come with {name} and some without: give it for all of them, or for none.")
    return now
