"""The rows of the event list: which events pass the filter, and which of them are folded into one row."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from typing import Callable, Iterator, NamedTuple, Optional, Sequence, Tuple

from wxtrace.tui.columns import Columns
from wxtrace.tui.filters import ALL, Filter, matcher

__all__ = ["Listing", "RowSpan"]


class RowSpan(NamedTuple):
    """One row: `times` events from `first` on. With `period` 2 it is two kinds that take turns."""

    first: int
    times: int
    period: int


class Listing:
    """Grows with the columns. Events of one kind by one thread that follow each other are one row, with a count.

    So are two kinds that take turns, as a JIT flips its pages.
    """

    def __init__(self, columns: Columns, wanted: Filter = ALL, fold: bool = True) -> None:
        self.wanted = wanted
        self.fold = fold
        self.seen = 0
        """The events that were looked at so far."""
        self.matched = 0
        self._columns = columns
        self._matches: Optional[Callable[[int], bool]] = matcher(wanted, columns)
        self._first = array("I")
        self._count = array("I")
        self._period = array("B")
        # What the next event has to be like to belong to the last row.
        self._next_kind = self._next_who = -1

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, row: int) -> RowSpan:
        return RowSpan(self._first[row], self._count[row], self._period[row])

    def extend(self, seconds: float = 10.0) -> bool:
        """Take in new events, for that long at most; whether any row changed."""
        deadline = time.perf_counter() + seconds
        before = self.matched
        matches = self._matches
        kinds, whos, counts = self._columns.kind, self._columns.who, self._count
        for n in range(self.seen + 1, len(self._columns) + 1):
            if matches is None or matches(n):
                self.matched += 1
                if kinds[n - 1] == self._next_kind and whos[n - 1] == self._next_who:
                    counts[-1] += 1
                    if self._period[-1] == 2:
                        self._turn(n)
                else:
                    self._add(n)
            self.seen = n
            if n % 256 == 0 and time.perf_counter() > deadline:
                break
        return self.matched != before

    def _turn(self, n: int) -> None:
        """Of two kinds that take turns, what the next event has to be like."""
        like = n - 1 if self._matches is None else next(m for m in range(n - 1, 0, -1) if self._matches(m))
        self._next_kind, self._next_who = self._like(like)

    def row_of(self, n: int) -> int:
        """The row that shows event n, or the nearest one before it; -1 before the first row."""
        return bisect_right(self._first, n) - 1

    def shows(self, n: int) -> bool:
        """Whether there is an event n, and it passes the filter."""
        return 1 <= n <= len(self._columns) and (self._matches is None or self._matches(n))

    def members(self, row: int) -> Sequence[int]:
        """The events that a row stands for, in order."""
        if self._matches is None or self._count[row] == 1:
            return range(self._first[row], self._first[row] + self._count[row])
        return list(self._matching(row))

    def _matching(self, row: int) -> Iterator[int]:
        left = self._count[row]
        n = self._first[row]
        while left:
            if self._matches is None or self._matches(n):
                yield n
                left -= 1
            n += 1

    def unfold(self, row: int) -> None:
        """Give each event of a folded row a row of its own."""
        numbers = array("I", self.members(row))
        self._first[row : row + 1] = numbers
        self._count[row : row + 1] = array("I", [1]) * len(numbers)
        self._period[row : row + 1] = array("B", [1]) * len(numbers)

    def _add(self, n: int) -> None:
        self._first.append(n)
        self._count.append(1)
        self._period.append(1)
        if self.fold:
            self._next_kind, self._next_who = self._like(n)
            if len(self._first) >= 4:
                self._fold_turns(n)

    def _fold_turns(self, n: int) -> None:
        """Four rows of one event each that read a b a b are one."""
        counts = self._count
        if not counts[-1] == counts[-2] == counts[-3] == counts[-4] == 1:
            return
        a, b, c, d = (self._like(m) for m in self._first[-4:])
        if a == c and b == d:
            for column in (self._first, self._count, self._period):
                del column[-3:]
            self._count[-1], self._period[-1] = 4, 2
            self._next_kind, self._next_who = a

    def _like(self, n: int) -> Tuple[int, int]:
        return self._columns.kind[n - 1], self._columns.who[n - 1]
