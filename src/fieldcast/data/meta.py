"""What a dataset says of itself: targets, null rule, scored cells, named splits (``meta.toml`` beside the data)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fieldcast.data.plain import Unreadable, read_plain
from fieldcast.errors import FieldcastError, did_you_mean

_KNOWN = ("frequency", "targets", "null_rule", "scored_cells", "role", "default_split", "splits", "timezone", "units")


@dataclass(frozen=True)
class Meta:
    """The rules of a dataset, as data and never as code.

    ``null_rule`` begins with one of ``none`` (every number is a reading), ``NaN`` (NaN is missing, numbers are
    readings) or ``zero is missing``; whatever follows is a remark for people. Zero is a reading unless the rule says
    otherwise. ``scored_cells`` is read by :class:`fieldcast.evaluation.ScoreRule`, ``splits`` by
    :mod:`fieldcast.data.splits`.
    """

    name: str = "readings"
    frequency: str | None = None
    targets: tuple[str, ...] = ()
    null_rule: str = "NaN only"
    scored_cells: str = "observed cells"
    default_split: str = "windows-first 7:1:2"
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    timezone: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    role: str = ""

    @classmethod
    def from_toml(cls, path: str | Path, name: str) -> Meta:
        """Read a ``meta.toml``; a key that is not known is refused, so that a spelling mistake changes no split."""
        path = Path(path)
        try:
            table = read_plain(path, "toml")
        except OSError as error:
            raise FieldcastError(f"{path} cannot be read ({error.strerror}): check its name and rights.") from None
        except Unreadable as error:
            raise FieldcastError(f"{path} is not valid TOML ({error}): mend that line.") from None
        unknown = sorted(set(table) - set(_KNOWN))
        if unknown:
            raise FieldcastError(
                f"{path} has the unknown key '{unknown[0]}'{did_you_mean(unknown[0], _KNOWN)}: known keys are "
                f"{', '.join(_KNOWN)}."
            )
        for key, value in table.items():
            _check_kind(path, key, value)
        table["targets"] = tuple(table.get("targets", ()))
        return cls(name=name, **table)

    def zero_is_missing(self) -> bool:
        """Tell whether zeros of the target channels are missing readings; refuse a rule that is not understood."""
        rule = self.null_rule.strip().lower()
        if rule.startswith("zero is missing"):
            return True
        if rule.startswith(("none", "nan")):
            return False
        raise FieldcastError(
            f"the null rule '{self.null_rule}' of {self.name} is not understood: "
            "begin it with 'none', 'NaN only' or 'zero is missing'."
        )

    def mask_zeros(self, values: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
        """Return a bool array [time, N, C], False where the null rule makes a zero of a target channel missing."""
        keep = np.ones(values.shape, dtype=bool)
        columns = self.zero_columns(channels)
        if len(columns) == len(channels):
            np.not_equal(values, 0, out=keep)
        elif columns:
            keep[..., columns] = values[..., columns] != 0
        return keep

    def zero_columns(self, channels: tuple[str, ...]) -> list[int]:
        """Positions of the channels whose zeros are missing readings: the targets (or all, where none are named)."""
        if not self.zero_is_missing():
            return []
        return [i for i, channel in enumerate(channels) if channel in self.targets or not self.targets]


def _check_kind(path: Path, key: str, value: object) -> None:
    """Refuse a value of the wrong kind, such as one text where a list of names is meant."""
    if key == "targets":
        right = isinstance(value, list) and all(isinstance(name, str) for name in value)
        kind = 'a list of channel names, as ["speed"]'
    elif key in ("splits", "units"):
        right = isinstance(value, dict)
        if key == "splits" and right:
            right = all(isinstance(part, dict) for part in value.values())  # pyright: ignore[reportAttributeAccessIssue]
        elif right:
            right = all(isinstance(unit, str) for unit in value.values())  # pyright: ignore[reportAttributeAccessIssue]
        kind = f"a table, as [{key}.name]" if key == "splits" else f"a table of texts, as [{key}]"
    else:
        right, kind = isinstance(value, str), "text in quotes"
    if not right:
        raise FieldcastError(f"{path} gives {key} as {value!r}: give {kind}.")
