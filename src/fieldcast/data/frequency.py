"""The length of a step: its text, its arithmetic, and how it is read off a column of timestamps."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from fieldcast.errors import FieldcastError

DAY = 86_400_000_000_000
_UNITS = (("D", DAY), ("h", DAY // 24), ("min", DAY // 1440), ("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True)
class Step:
    """A step of equal length: a fixed number of nanoseconds, or whole months at their first or last midnight.

    Positions on the grid of a step are integers counted from a first timestamp: ``first + position * step`` for a fixed
    step, calendar months for the others, so that January and February are one step apart like any two months.
    """

    nanoseconds: int = 0
    months: int = 0
    at_end: bool = False

    @classmethod
    def parse(cls, frequency: Any, source: str) -> Step:
        """Read a frequency as pandas writes it (``5min``, ``1h``, ``1D``, ``7D``, ``1MS``, ``1ME``, ``1YS``).

        A week is seven days from the first row, whatever its anchor. Business days, and what pandas does not know, are
        refused.
        """
        try:
            if isinstance(frequency, np.timedelta64):
                frequency = pd.Timedelta(frequency)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                offset = to_offset(frequency)
            step = cls._of_offset(offset)
        except (ValueError, TypeError, AttributeError, OverflowError):
            step = None
        if step is None or not (0 < step.nanoseconds < 2**63 or 0 < step.months < 12_000):
            raise FieldcastError(
                f"the frequency '{frequency}' for {source} is not understood: write one such as 5min, 1h, 1D or 1MS "
                "(business days are 1D; days without rows only end a segment)."
            )
        return step

    @classmethod
    def _of_offset(cls, offset: Any) -> Step | None:
        kinds = pd.offsets
        # Day stopped being a Tick in pandas 3; both ways lead here.
        if isinstance(offset, kinds.Day):
            return cls(nanoseconds=offset.n * DAY)
        if isinstance(offset, kinds.Tick):
            return cls(nanoseconds=int(pd.Timedelta(offset).as_unit("ns").value))
        if isinstance(offset, kinds.Week):
            return cls(nanoseconds=offset.n * 7 * DAY)
        for months, starts, ends in (
            (1, kinds.MonthBegin, kinds.MonthEnd),
            (3, kinds.QuarterBegin, kinds.QuarterEnd),
            (12, kinds.YearBegin, kinds.YearEnd),
        ):
            if isinstance(offset, (starts, ends)):
                return cls(months=months * offset.n, at_end=isinstance(offset, ends))
        return None

    @classmethod
    def infer(cls, stamps: np.ndarray) -> Step | None:
        """Take the most common difference of sorted, distinct stamps [rows]; None for fewer than two.

        Stamps that all lie on month starts, or all on month ends, are counted in months. Of differences that are
        equally common the shortest is taken.
        """
        if len(stamps) < 2:
            return None
        common = _most_common(np.diff(stamps.astype("datetime64[ns]").astype(np.int64)))
        if common >= 28 * DAY:
            for at_end in (False, True):
                months = _month_numbers(stamps)
                if (_month_stamps(months, at_end) == stamps.astype("datetime64[ns]")).all():
                    return cls(months=_most_common(np.diff(months)), at_end=at_end)
        return cls(nanoseconds=common)

    @property
    def keeps_wall_clock(self) -> bool:
        """Tell whether the step is a day or longer: then it is the wall clock whose steps are equally long."""
        return bool(self.months) or self.nanoseconds >= DAY

    def text(self, first: Any) -> str:
        """Write the step as pandas reads it; ``first`` names the month in which a year of rows begins."""
        if not self.months:
            unit, size = next((unit, size) for unit, size in _UNITS if self.nanoseconds % size == 0)
            return f"{self.nanoseconds // size}{unit}"
        kind = "E" if self.at_end else "S"
        if self.months % 12:
            return f"{self.months}M{kind}"
        month = _MONTHS[int(_month_numbers(first)) % 12]
        anchor = "" if month == ("DEC" if self.at_end else "JAN") else f"-{month}"
        return f"{self.months // 12}Y{kind}{anchor}"

    def positions(self, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the position of each stamp [rows] on the grid from the first one, and whether it sits on the grid."""
        if not self.months:
            elapsed = stamps.astype("datetime64[ns]").astype(np.int64)
            elapsed = elapsed - elapsed[0]
            position = elapsed // self.nanoseconds
            return position, elapsed == position * self.nanoseconds
        months = _month_numbers(stamps)
        elapsed = months - months[0]
        on_grid = (elapsed % self.months == 0) & (_month_stamps(months, self.at_end) == stamps)
        return elapsed // self.months, on_grid

    def stamps(self, first: Any, positions: np.ndarray) -> np.ndarray:
        """Return the timestamps, datetime64[ns] [rows], at grid positions counted from ``first``.

        Raises FieldcastError where one lies beyond what nanoseconds since 1970 can tell, the years 1678 to 2261.
        """
        for edge in (int(positions.min()), int(positions.max())) if len(positions) else ():
            year = int(np.datetime64(first, "Y").astype(np.int64)) + 1970
            way = edge * (self.months / 12 if self.months else self.nanoseconds / (365.2425 * DAY))
            if not pd.Timestamp.min.year < year + way < pd.Timestamp.max.year - 1:
                raise FieldcastError(
                    f"{abs(edge)} steps of {self.text(first)} from {np.datetime64(first, 's')} lead beyond the years "
                    "1678 to 2261: give another start, or a shorter step."
                )
        if not self.months:
            return first.astype("datetime64[ns]") + positions * np.timedelta64(self.nanoseconds, "ns")
        return _month_stamps(_month_numbers(first) + positions * self.months, self.at_end)


def _most_common(differences: np.ndarray) -> int:
    sizes, counts = np.unique(differences, return_counts=True)
    return int(sizes[counts.argmax()])


def _month_numbers(stamps: Any) -> np.ndarray:
    """Months since January 1970, int64 [rows]; a multiple of 12 is a January."""
    return stamps.astype("datetime64[M]").astype(np.int64)


def _month_stamps(months: np.ndarray, at_end: bool) -> np.ndarray:
    """The first or the last midnight of each month, datetime64[ns]."""
    if at_end:
        return ((months + 1).astype("datetime64[M]").astype("datetime64[D]") - 1).astype("datetime64[ns]")
    return months.astype("datetime64[M]").astype("datetime64[ns]")
