"""Calendar ids of a time axis, with a neutral id for what training never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fieldcast.errors import FieldcastError

NEUTRAL = -1
"""The id of a calendar slot that no training row has; layers give it a zero vector."""

_MOST_SLOTS = 1440
_NEAR_DAYS = 10
"""Days of the year so near to one that training had that they count as seen: neighbours of a day, unlike those of a
weekday, are like it."""

COLUMNS = ("slot_of_day", "day_of_week", "day_of_year")


def steps_per_day(frequency: str) -> int:
    """Slots in a day for a step length: 288 for ``5min``, 24 for ``1h``, 1 for a day or longer.

    Never more than 1,440: with steps below a minute the readings of a minute share its slot, since a vector for each
    second of the day would see too few of them.
    """
    offset = pd.tseries.frequencies.to_offset(frequency)
    # Offsets longer than a day (months, years) have no fixed length and one slot.
    seconds = pd.Timedelta(offset).total_seconds() if isinstance(offset, pd.offsets.Tick) else 86400.0
    return min(_MOST_SLOTS, max(1, int(np.ceil(86400 / seconds))))


@dataclass(frozen=True)
class Calendar:
    """Maps wall-clock time to ids [time, 3]: slot of day, day of week (Monday = 0), day of year (0 to 365).

    ``seen`` lists, for each column, the ids that occur in training rows. Any other id becomes :data:`NEUTRAL`, because
    a vector for a Tuesday that was never trained is noise (a week of data has no second Tuesday to test on). Days of
    the year count as seen within ten days of one that was.
    """

    frequency: str
    seen: tuple[tuple[int, ...], ...] = ()

    @property
    def sizes(self) -> tuple[int, int, int]:
        return steps_per_day(self.frequency), 7, 366

    def raw(self, local: pd.DatetimeIndex) -> np.ndarray:
        """Ids of wall-clock times without regard to training: int64 [time, 3]."""
        slots = self.sizes[0]
        second = local.hour.to_numpy() * 3600 + local.minute.to_numpy() * 60 + local.second.to_numpy()
        columns = (second * slots // 86400, local.day_of_week.to_numpy(), local.day_of_year.to_numpy() - 1)
        return np.stack(columns, axis=1).astype(np.int64)

    def fitted(self, local: pd.DatetimeIndex) -> Calendar:
        """The same calendar, knowing which ids the training rows ``local`` have."""
        seen = [np.unique(column) for column in self.raw(local).T]
        near = seen[2][:, None] + np.arange(-_NEAR_DAYS, _NEAR_DAYS + 1)
        seen[2] = np.unique(near % self.sizes[2])
        return Calendar(self.frequency, tuple(tuple(column.tolist()) for column in seen))

    def ids(self, local: pd.DatetimeIndex) -> np.ndarray:
        """Ids of wall-clock times, :data:`NEUTRAL` where training had none: int64 [time, 3]."""
        ids = self.raw(local)
        for column, (size, seen) in enumerate(zip(self.sizes, self.seen, strict=False)):
            table = np.full(size, NEUTRAL, dtype=np.int64)
            table[list(seen)] = list(seen)
            ids[:, column] = table[ids[:, column]]
        return ids

    def to_json(self) -> dict[str, Any]:
        return {"frequency": self.frequency, "seen": [list(column) for column in self.seen]}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Calendar:
        seen: Sequence[Sequence[int]] = saved["seen"]
        calendar = cls(saved["frequency"], tuple(tuple(column) for column in seen))
        for size, column in zip(calendar.sizes, calendar.seen, strict=False):
            if not all(type(i) is int and 0 <= i < size for i in column):
                raise FieldcastError(f"a saved calendar knows ids that are none of 0 to {size - 1}.")
        if len(seen) not in (0, len(COLUMNS)):
            raise FieldcastError(f"a saved calendar has {len(seen)} columns of ids where there are {len(COLUMNS)}.")
        return calendar
