"""A journal opened for looking around: every event at hand, and the story as it was at any of them.

The journal is read once from its start, in slices of time, and told as a story; on the way columns are filled and
checkpoints taken. Whatever else is wanted of an event is told again from the checkpoint before it.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from wxtrace.errors import RecordError
from wxtrace.frozen import replace
from wxtrace.model.checkpoint import Checkpoint, Checkpoints, restore
from wxtrace.model.event import Amendment, CallStack, Event
from wxtrace.model.facts import Call, Lost, Mismatch, Note, RunEnded, TaskExited
from wxtrace.model.replay import Replay
from wxtrace.model.run_view import MapView, RunView
from wxtrace.model.space import AddressSpace
from wxtrace.printable import printable
from wxtrace.record.journal import NEITHER, JournalReader, Place, call_at
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.record.opening import ENDS_EARLY
from wxtrace.tui.columns import Columns

__all__ = ["Index"]

_CHECKPOINT_BYTES = 160 << 10
"""Journal bytes that are told again at most before an event is reached: some 30 ms."""
_BYTES_A_PIECE = 5
"""A large map takes as long to put aside as some calls to tell: checkpoints are the rarer."""
_KEPT_EVENTS = 20_000
"""Events that are kept whole, beside the columns: those that are no plain calls, and alarms."""


class _Stretch(NamedTuple):
    """What lies between two checkpoints: how to tell it again."""

    first: int
    place: Place
    checkpoint: Checkpoint


class Index:
    """One journal, finished or still growing. `advance` reads on; everything else is about what was read."""

    def __init__(self, record: JournalBytes, follow: bool = False) -> None:
        self.name = record.name
        self.columns = Columns()
        self._telling = Replay(self.columns.region)
        self.replay: RunView = self._telling
        self.amendments: Dict[int, Amendment] = {}
        self.stacks: Dict[int, CallStack] = {}
        self.notes: List[str] = []
        self.complete = False
        """Whether nothing more will come."""
        self.calls = 0
        self._record = record
        self._reader = JournalReader(record.cursor(), self.name)
        self._facts: Optional[Iterator[Tuple[Place, Any]]] = None
        self._follow = follow
        self._position = 0
        self._checkpoints = Checkpoints()
        self._stretches: List[_Stretch] = []
        self._firsts = array("I")
        self._next_checkpoint = 0
        self._whole: Dict[int, Event] = {}
        self._walk: Optional[_Walk] = None
        self._left: Optional[AddressSpace] = None

    def close(self) -> None:
        """Let go of the file."""
        self._record.close()

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def progress(self) -> float:
        """The part of the journal that was read, from 0 to 1."""
        size = self._record.size
        return 1.0 if self.complete or not size else min(self._position / size, 1.0)

    # Reading on

    def advance(self, seconds: float) -> bool:
        """Read on for that long; whether there was anything. Raises RecordError on what is no journal."""
        if self.complete:
            return False
        deadline = time.perf_counter() + seconds
        if self._facts is None:
            self._facts = self._reader.placed()
        count = 0
        try:
            for place, fact in self._facts:
                self._take(place, fact)
                count += 1
                if count % 64 == 0 and time.perf_counter() > deadline:
                    return True
        except RecordError:
            if not self._reader.opened or self._reader.cut is None:
                raise
            self._end(self._reader.cut)
            return True
        self._facts = None
        if not self._follow and not self.complete:
            if not self._reader.opened:
                raise RecordError(NEITHER % self.name)
            self._end(self._reader.cut or ENDS_EARLY)
        return count > 0

    def no_more(self) -> None:
        """Nobody writes to it any more: what is there when it was read to its end is all."""
        self._follow = False

    def _end(self, why: Optional[str]) -> None:
        if self.replay.run is None:
            raise RecordError("%s holds no run: it ends before the program was started" % self.name)
        if why is not None:
            self._telling.lost = why
        for shown in self._telling.finish():
            self._shown(shown, None, -1)
        self.complete = True
        self._walk = None

    def _take(self, place: Place, fact: Any) -> None:
        if place.entry >= self._next_checkpoint:
            checkpoint = self._checkpoints.take(self._telling)
            self._firsts.append(len(self.columns) + 1)
            self._stretches.append(_Stretch(len(self.columns) + 1, place, checkpoint))
            self._next_checkpoint = place.entry + max(
                _CHECKPOINT_BYTES, 2 * len(checkpoint.state), _BYTES_A_PIECE * checkpoint.pieces
            )
        self._position = place.entry
        if type(fact) is TaskExited:
            self._left = self._telling.space_of(fact.tid)
        for shown in self._telling.feed(fact):
            self._shown(shown, fact, place.entry)
        if type(fact) is RunEnded:
            self._end(None)

    def _shown(self, shown: Any, fact: Any, entry: int) -> None:
        if isinstance(shown, Event):
            plain = shown.call is fact
            if shown.call is not None:
                self.calls += 1
            self.columns.add(shown, self.replay, entry if plain else -1)
            if not plain or (shown.diagnosis is not None and len(self._whole) < _KEPT_EVENTS):
                self._whole[shown.n] = shown
        elif isinstance(shown, Amendment):
            self.amendments[shown.n] = replace(shown, event=None)
        elif isinstance(shown, CallStack):
            if len(self.stacks) < _KEPT_EVENTS:
                self.stacks[shown.n] = shown
        elif isinstance(shown, Note):
            self.notes.append(printable(shown.text))
        elif isinstance(shown, Mismatch):
            text = "after %s in thread %d the map and /proc/PID/maps differed"
            self.notes.append(text % (printable(shown.call), shown.tid))
        elif isinstance(shown, Lost):
            self.notes.append("the record is incomplete: " + printable(shown.why))

    # Looking around

    def call(self, n: int) -> Optional[Call]:
        """The call of event n; None for what is no call."""
        whole = self._whole.get(n)
        if whole is not None:
            return whole.call
        entry = self.columns.entry[n - 1]
        return call_at(self._record, entry) if entry >= 0 else None

    def result(self, n: int) -> Optional[int]:
        """What the call of event n gave back; None where it never came back, whatever its register held then."""
        whole = self._whole.get(n)
        if whole is not None:
            return whole.result
        call = self.call(n)
        return call.result if call is not None else None

    def details(self, n: int) -> Dict[str, Any]:
        """What is told of an event that is no call."""
        whole = self._whole.get(n)
        return whole.details or {} if whole is not None else {}

    def event(self, n: int) -> Event:
        """Event n, whole. Raises IndexError when there is none, RecordError when the journal has changed since."""
        if not 1 <= n <= len(self.columns):
            raise IndexError(n)
        whole = self._whole.get(n)
        return whole if whole is not None else self._walk_to(n, rewind=False).event(n)

    def moment(self, n: int) -> MapView:
        """The story right after event n; to be looked at before the next one is asked for."""
        return self._telling if n >= len(self.columns) else self._walk_to(n, rewind=True).replay

    def prepare(self, n: int, seconds: float) -> bool:
        """Work towards `moment(n)` for that long; whether it can be had at once now."""
        if n >= len(self.columns):
            return True
        at = bisect_right(self._firsts, n) - 1
        walk = self._walk
        if walk is None or walk.at != at or walk.n > n:
            self._walk = _Walk(at, self._stretches[at], self._record)
            return False
        try:
            return walk.on_to(n, time.perf_counter() + seconds)
        except RecordError:
            # Whoever asks for it now is told.
            return True

    def _walk_to(self, n: int, rewind: bool) -> _Walk:
        at = bisect_right(self._firsts, n) - 1
        walk = self._walk
        if walk is None or walk.at != at or (rewind and walk.n > n):
            walk = self._walk = _Walk(at, self._stretches[at], self._record)
        walk.on_to(n)
        return walk

    def left_at(self, event: Event) -> Optional[AddressSpace]:
        """The space that an event took its last user from, as it was; to be asked for right after `moment` of it."""
        left = self._left if event.n >= len(self.columns) or self._walk is None else self._walk.left
        return left if left is not None and left.id == event.space else None


class _Walk:
    """A story told again from a checkpoint, step by step."""

    def __init__(self, at: int, stretch: _Stretch, record: JournalBytes) -> None:
        self.at = at
        self.replay = restore(stretch.checkpoint)
        self.left: Optional[AddressSpace] = None
        """Of the task that ended last."""
        self._first = stretch.first
        self._events: List[Event] = []
        self._facts = JournalReader(record.cursor(), record.name, stretch.place).placed()

    @property
    def n(self) -> int:
        """The event that the story has come to."""
        return self._first + len(self._events) - 1

    def on_to(self, n: int, deadline: float = float("inf")) -> bool:
        """Up to and with event n; False when the time was over before."""
        if self.n >= n:
            return True
        for _, fact in self._facts:
            if type(fact) is TaskExited:
                self.left = self.replay.space_of(fact.tid)
            self._events += [shown for shown in self.replay.feed(fact) if isinstance(shown, Event)]
            if self.n >= n:
                return True
            if len(self._events) % 64 == 0 and time.perf_counter() > deadline:
                return False
        self._events += [shown for shown in self.replay.finish() if isinstance(shown, Event)]
        return True

    def event(self, n: int) -> Event:
        """One of those that were passed."""
        if n > self.n:
            raise RecordError("the journal has changed under our eyes")
        return self._events[n - self._first]
