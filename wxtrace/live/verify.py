"""`--verify`: after every map-changing call, is the map what /proc/PID/maps says?

Runs the very model that readers of the journal run, fed with the same facts, and compares in normal form. A
mismatch is written down once and the kernel's map believed from then on, so that one error is counted once.

A small map is compared whole after every call. Of a large one the neighbourhood of the call is compared every time,
and the whole once its calls have paid for it: 65,000 lines after each of 65,000 calls would take hours.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from wxtrace.decoders.procmaps import MapLine
from wxtrace.live.recorder import Recorder
from wxtrace.live.task import Task
from wxtrace.model.facts import Mismatch, Resynced, Verified
from wxtrace.model.replay import Replay
from wxtrace.model.space import AddressSpace, NormalLine, normal_form_of_lines

__all__ = ["Verifier"]

SMALL = 256
"""Pieces up to which the whole map is compared after every call."""

_CALLS_PER_LINE = 8
_SHOWN = 8
_WHOLE = (0, 1 << 64)
Range = Tuple[int, int]


class Verifier:
    """Compares after each call; the counts go into the journal."""

    def __init__(self, recorder: Recorder, page_size: int) -> None:
        self._recorder = recorder
        self._page_size = page_size
        self._replay = Replay()
        self._checked = 0
        # Per space: calls since its whole map was compared.
        self._since_whole: Dict[int, int] = {}
        recorder.watch = self._feed

    def check(self, task: Task, call: str, ranges: Sequence[Range]) -> None:
        """Compare this task's space now. Its other threads wait their turn (MmOrder): nothing is in flight."""
        space = self._replay.space_of(task.tid)
        if space is None or task.space.stale or task.space.in_use_beside(task):
            return
        since = self._since_whole.get(space.id, 0) + 1
        whole = not ranges or len(space) <= SMALL or since > len(space) // _CALLS_PER_LINE
        self._since_whole[space.id] = 0 if whole else since
        if whole:
            self._compare(task, call, space, _WHOLE)
        else:
            for start, end in ranges:
                self._compare(task, call, space, (max(start - self._page_size, 0), end + self._page_size))
        self._checked += 1

    def _compare(self, task: Task, call: str, space: AddressSpace, window: Range) -> None:
        try:
            maps = task.space.maps_file(task.tid)
            lines = maps.lines() if window == _WHOLE else maps.range(*window)
        except OSError:
            return
        space.absorb_growth(lines)
        expected = _clipped(space.normal_form(*window), window)
        found = _clipped(normal_form_of_lines(lines), window)
        if expected != found:
            self._mismatch(task, call, expected, found, lines, window)

    def _mismatch(
        self,
        task: Task,
        call: str,
        expected: List[NormalLine],
        found: List[NormalLine],
        lines: List[MapLine],
        window: Range,
    ) -> None:
        ours, theirs = set(expected), set(found)
        only_ours = [str(line) for line in expected if line not in theirs]
        only_theirs = [str(line) for line in found if line not in ours]
        self._recorder.fact(Mismatch(task.tid, self._recorder.now(), call, only_ours[:_SHOWN], only_theirs[:_SHOWN]))
        self._recorder.fact(Resynced(task.tid, task.space.id, *window, lines, "mismatch"))

    def report(self) -> None:
        """Write the number of comparisons down."""
        self._recorder.fact(Verified(self._checked))

    def _feed(self, fact: Any) -> None:
        for _ in self._replay.feed(fact):
            pass


def _clipped(lines: List[NormalLine], window: Range) -> List[NormalLine]:
    """Only what lies inside the window; offsets move along with a cut-off start."""
    clipped = []
    for line in lines:
        start, end = max(line.start, window[0]), min(line.end, window[1])
        if start < end:
            offset = line.offset + start - line.start if line.inode else line.offset
            clipped.append(line._replace(start=start, end=end, offset=offset))
    return clipped
