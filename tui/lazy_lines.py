"""Lines of which there may be a million: found out in slices of time, and made when they are looked at."""

from __future__ import annotations

import time
from typing import Iterator, Sequence, Union, overload

from wxtrace.tui.lines import Line

__all__ = ["LazyLines"]

_LOOK_EVERY = 128


class LazyLines(Sequence[Line]):
    """Subclasses find out in `steps` how many lines there are, and make one in `line`; nothing is there before."""

    def __init__(self) -> None:
        self._steps = self.steps()

    def steps(self) -> Iterator[None]:
        """Small pieces of the work."""
        raise NotImplementedError

    def line(self, row: int) -> Line:
        """One of them."""
        raise NotImplementedError

    def work(self, seconds: float = float("inf")) -> bool:
        """Work for that long; whether all lines are there."""
        deadline = time.perf_counter() + seconds
        for count, _ in enumerate(self._steps, 1):
            if count % _LOOK_EVERY == 0 and time.perf_counter() > deadline:
                return False
        return True

    @overload
    def __getitem__(self, row: int) -> Line: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[Line]: ...

    def __getitem__(self, row: Union[int, slice]) -> Union[Line, Sequence[Line]]:
        if isinstance(row, slice):
            return [self.line(at) for at in range(*row.indices(len(self)))]
        return self.line(range(len(self))[row])
