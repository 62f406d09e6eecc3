"""The scaler: z-scores from training rows, kept as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldcast.errors import FieldcastError, did_you_mean

KINDS = ("channel", "global", "node", "none")


@dataclass(frozen=True)
class Scaler:
    """z = (x - mean) / scale with ``mean`` and ``scale`` float32 [1 or N, C].

    Kinds: ``channel`` (default: one pair a channel), ``global`` (one pair for all channels), ``node`` (one pair for
    every node and channel; a node without a training reading takes the channel's), ``none``. Standard deviations have
    ddof 0, as the protocol says; a constant series has scale 1, so that it becomes 0 and not noise.
    """

    kind: str
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, observed: np.ndarray, kind: str = "channel") -> Scaler:
        """Fit on training rows [rows, N, C]; sums run in float64 over observed cells."""
        if kind not in KINDS:
            raise FieldcastError(f"there is no scaler '{kind}'{did_you_mean(kind, KINDS)}: choose {', '.join(KINDS)}.")
        _, nodes, channels = values.shape
        if kind == "none":
            return cls(kind, np.zeros((1, channels), np.float32), np.ones((1, channels), np.float32))
        axes: tuple[int, ...] = {"channel": (0, 1), "global": (0, 1, 2), "node": (0,)}[kind]
        keep = {"channel": (1, channels), "global": (1, 1), "node": (nodes, channels)}[kind]
        # Row blocks keep the float64 copies small beside the readings themselves.
        block = max(1, 4_000_000 // (nodes * channels))
        count = np.zeros(keep)
        total = np.zeros(keep)
        for first in range(0, len(values), block):
            rows = slice(first, first + block)
            count += observed[rows].sum(axis=axes).reshape(keep)
            total += np.sum(values[rows], axis=axes, dtype=np.float64, where=observed[rows]).reshape(keep)
        mean = np.divide(total, count, out=np.zeros(keep), where=count > 0)
        squares = np.zeros(keep)
        for first in range(0, len(values), block):
            rows = slice(first, first + block)
            error = values[rows] - mean  # float64: a difference of squares would cancel
            squares += np.sum(np.square(error, out=error), axis=axes, where=observed[rows]).reshape(keep)
        if kind == "node" and (count == 0).any():
            # A sensor silent in training has no scale of its own: the channel's, pooled over the others, stands in.
            everyone = np.broadcast_to(count.sum(axis=0), keep)
            pooled = np.divide(total.sum(axis=0), everyone[0], out=np.zeros(channels), where=everyone[0] > 0)
            spread = squares.sum(axis=0) + (count * (mean - pooled) ** 2).sum(axis=0)
            squares = np.where(count == 0, spread, squares)
            mean = np.where(count == 0, pooled, mean)
            count = np.where(count == 0, everyone, count)
        deviation = np.sqrt(np.divide(squares, count, out=np.zeros(keep), where=count > 0))
        scale = np.where(deviation > 1e-8 * np.abs(mean), deviation, 1.0)
        shape = (keep[0], channels)
        return cls(
            kind, np.broadcast_to(mean, shape).astype(np.float32), np.broadcast_to(scale, shape).astype(np.float32)
        )

    def transform(self, values: np.ndarray) -> np.ndarray:
        """z-scores of values [..., N, C]."""
        return (values - self.mean) / self.scale

    def channels(self, index: np.ndarray) -> Scaler:
        """The scaler of some channels."""
        return Scaler(self.kind, self.mean[:, index], self.scale[:, index])

    def nodes(self, index: np.ndarray) -> Scaler:
        """The scaler of some nodes; -1 stands for a new node, which gets the mean of the others."""
        if self.kind != "node":
            return self
        gathered = [np.where(index[:, None] >= 0, part[index], part.mean(axis=0)) for part in (self.mean, self.scale)]
        return Scaler(self.kind, gathered[0].astype(np.float32), gathered[1].astype(np.float32))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Scaler:
        """Read what :meth:`to_json` wrote; refused are unknown kinds, and scales that are not above 0 and finite."""
        kind, mean, scale = saved["kind"], np.array(saved["mean"]), np.array(saved["scale"])
        if kind not in KINDS:
            raise FieldcastError(f"there is no scaler '{kind}'{did_you_mean(kind, KINDS)}: choose {', '.join(KINDS)}.")
        if any(part.dtype.kind not in "if" or part.ndim != 2 for part in (mean, scale)):
            raise FieldcastError("a saved scaler holds something else than numbers [1 or nodes, channels].")
        with np.errstate(over="ignore", under="ignore"):
            mean, scale = mean.astype(np.float32), scale.astype(np.float32)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise FieldcastError("a saved scaler has a mean or a scale that is not finite, or a scale not above 0.")
        return cls(kind, mean, scale)
