"""A timeline that somebody sent, opened for looking around: read once, and kept in a file of our own meanwhile.

Its maps are drawn from what each event touched, over the regions that were found, each with its protection. A timeline
older than that member tells it only from the first event on that touched the region.
"""

from __future__ import annotations

import os
import pickle
import time
from array import array
from collections import OrderedDict
from typing import Any, Dict, Iterator, List, Optional

from wxtrace.errors import RecordError
from wxtrace.frozen import Frozen, replace
from wxtrace.model import flags as f
from wxtrace.model.checkpoint import Checkpoint, Checkpoints, restore
from wxtrace.model.event import Amendment, CallStack, Event
from wxtrace.model.facts import Call, Note
from wxtrace.model.processes import SpaceState
from wxtrace.model.region import Piece, Region
from wxtrace.model.run_view import MapView, RunView
from wxtrace.model.space import AddressSpace
from wxtrace.printable import printable
from wxtrace.record.importing import Timeline
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.record.spool import open_spool
from wxtrace.tui.columns import Columns
from wxtrace.tui.index import Index

__all__ = ["UNKNOWN_PROT", "ImportedIndex"]

UNKNOWN_PROT = -1
_BLOCK = 256
"""Events that are kept, and fetched again, together."""
_KEPT_BLOCKS = 16
_BLOCKS_A_CHECKPOINT = 8


class ImportedIndex(Index):
    """The same face as over a journal."""

    def __init__(self, record: JournalBytes) -> None:
        self.name = record.name
        self.columns = Columns()
        self.amendments: Dict[int, Amendment] = {}
        self.stacks: Dict[int, CallStack] = {}
        self.notes: List[str] = []
        self.complete = False
        self.calls = 0
        self._record = record
        self._cursor = record.cursor()
        self._spool = open_spool()
        self._timeline = Timeline(self._cursor, self.name)
        self.replay: RunView = self._timeline
        self._offsets = array("Q")
        self._block: List[Event] = []
        self._blocks: OrderedDict[int, List[Event]] = OrderedDict()
        self._maps = _Maps(self._timeline)
        self._checkpoints = Checkpoints()
        self._taken: List[Checkpoint] = []
        self._walk_at = 0
        self._walked: Optional[_Maps] = None
        self._work: Iterator[None] = self._import()

    @property
    def progress(self) -> float:
        """The part that was read; the maps are drawn as it is read the second time, from our own file."""
        size = self._record.size
        return 1.0 if self.complete or not size else min(self._cursor.tell() / size, 0.99)

    def close(self) -> None:
        """Let go of the files."""
        super().close()
        self._spool.close()

    def advance(self, seconds: float) -> bool:
        """Import for that long."""
        if self.complete:
            return False
        deadline = time.perf_counter() + seconds
        for _ in self._work:
            if time.perf_counter() > deadline:
                return True
        self.complete = True
        return True

    def _import(self) -> Iterator[None]:
        for region, word in self._timeline.regions():
            self.columns.region(region)
            self._maps.know(region, word)
            yield
        for shown in self._timeline.shown():
            if isinstance(shown, Event):
                self._event(shown)
            elif isinstance(shown, Amendment):
                self.amendments[shown.n] = replace(shown, event=None)
            elif isinstance(shown, CallStack):
                self.stacks[shown.n] = shown
            elif isinstance(shown, Note):
                self.notes.append(printable(shown.text))
            yield
        self._write_block()

    def _event(self, event: Event) -> None:
        if event.n != len(self.columns) + 1:
            raise RecordError(
                "%s: events are not numbered one by one: %d is missing" % (self.name, len(self.columns) + 1)
            )
        if event.proc > len(self.replay.processes):
            raise RecordError("%s: event %d is of no process" % (self.name, event.n))
        self.calls += event.call is not None
        self.columns.add(event, self.replay, -1)
        self._maps.protection_before(event)
        self._block.append(event)
        if len(self._block) == _BLOCK:
            self._write_block()

    def _write_block(self) -> None:
        self._offsets.append(self._spool.seek(0, os.SEEK_END))
        pickle.dump(self._block, self._spool, pickle.HIGHEST_PROTOCOL)
        self._block = []

    # Looking around

    def event(self, n: int) -> Event:
        """Event n, whole. Raises IndexError when there is none."""
        if not 1 <= n <= len(self.columns):
            raise IndexError(n)
        return self._events(n)[(n - 1) % _BLOCK]

    def _events(self, n: int) -> List[Event]:
        at = (n - 1) // _BLOCK
        if at >= len(self._offsets):
            return self._block
        events = self._blocks.get(at)
        if events is None:
            self._spool.seek(self._offsets[at])
            events = self._blocks[at] = pickle.load(self._spool)
            if len(self._blocks) > _KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        return events

    def call(self, n: int) -> Optional[Call]:
        """The call of event n; None for what is no call."""
        return self.event(n).call

    def result(self, n: int) -> Optional[int]:
        """What the call of event n gave back; None where it never came back."""
        return self.event(n).result

    def details(self, n: int) -> Dict[str, Any]:
        """What is told of an event that is no call."""
        return self.event(n).details or {}

    def prepare(self, n: int, seconds: float) -> bool:
        """Nothing is told again here."""
        return True

    def moment(self, n: int) -> MapView:
        """The maps right after event n. Known only when all is imported: later events tell of earlier protections."""
        if not self.complete:
            return _Maps(self._timeline)
        if not self._taken:
            self._taken.append(self._checkpoints.take(self._maps))
        every = _BLOCK * _BLOCKS_A_CHECKPOINT
        # Before the first event, too.
        wanted = max(min((n - 1) // every, len(self._taken) - 1), 0)
        if self._walked is None or self._walk_at > n or self._walk_at < wanted * every:
            self._walked, self._walk_at = restore(self._taken[wanted]), wanted * every
        while self._walk_at < n:
            self._walk_at += 1
            self._walked.apply(self.event(self._walk_at))
            if self._walk_at == every * len(self._taken):
                self._taken.append(self._checkpoints.take(self._walked))
        return self._walked

    def left_at(self, event: Event) -> Optional[AddressSpace]:
        """The space of an event that left nothing of it, as it was before."""
        return next((state.space for state in self.moment(event.n - 1).spaces if state.space.id == event.space), None)


class _Known(Frozen):
    """What holds for the whole timeline; checkpoints share it. `of` is as of a Story's `origins`."""

    regions: Dict[int, Region] = {}
    words: Dict[int, str] = {}
    """How regions became executable."""
    prots: Dict[int, int] = {}
    """The protection of a region before it was first touched."""

    def of(self, region: Optional[int]) -> Optional[str]:
        """The word for one of them."""
        return self.words.get(region) if region is not None else None


class _Maps:
    """Every address space, changed by what events touched."""

    def __init__(self, timeline: Timeline) -> None:
        self.spaces: List[SpaceState] = []
        self.origins = _Known()
        self._by_id: Dict[int, SpaceState] = {}
        self._found_in: Dict[int, List[Region]] = {}
        # The children of a fork, by its event.
        self._forked_at: Dict[int, List[SpaceState]] = {}
        for state in timeline.spaces:
            fresh = SpaceState(AddressSpace(state.space.id, _no_region), state.parent, state.forked_at)
            # One that nobody uses changes no more (wxtrace.model.checkpoint), and these all may.
            fresh.users = 1
            self.spaces.append(fresh)
            self._by_id[state.space.id] = fresh
            if state.forked_at is not None:
                self._forked_at.setdefault(state.forked_at, []).append(fresh)

    def know(self, region: Region, word: Optional[str]) -> None:
        """A region of the timeline. What no event of its own space made was there from the start."""
        self.origins.regions[region.id] = region
        if word is not None:
            self.origins.words[region.id] = word
        state = self._by_id.get(region.space)
        forked = state.forked_at if state is not None else None
        if region.created_by is None or (forked is not None and region.created_by <= forked):
            self._found_in.setdefault(region.space, []).append(region)

    def protection_before(self, event: Event) -> None:
        """The first event to touch a region tells how it was protected until then."""
        for part in event.touched:
            if part.region is not None and part.before is not None:
                self.origins.prots.setdefault(part.region, f.prot_of_letters(part.before))

    def apply(self, event: Event) -> None:
        """What one event did."""
        state = self._by_id.get(event.space)
        if state is None:
            return
        space = state.space
        for region in self._found_in.pop(event.space, ()):
            space.remove(region.start, region.end)
            space.put(Piece(region.start, region.end, region, self._first_prot(region)))
        for part in event.touched:
            known = self.origins.regions.get(part.region) if part.region is not None else None
            if known is None or part.start >= part.end:
                continue
            space.remove(part.start, part.end)
            if part.after is not None:
                space.put(Piece(part.start, part.end, known, f.prot_of_letters(part.after), part.sealed_by))
        for child in self._forked_at.get(event.n, ()):
            if child.parent == event.space and child is not state:
                self._fork(space, child.space)

    def _fork(self, parent: AddressSpace, child: AddressSpace) -> None:
        """The child's regions are copies of its parent's, as far as those are mapped at the fork."""
        for region in self._found_in.pop(child.id, ()):
            if region.found_prot is not None:
                # Found by a later look at the map; no event tells when it came.
                child.remove(region.start, region.end)
                child.put(Piece(region.start, region.end, region, region.found_prot))
                continue
            for piece in parent.overlapping(region.start, region.end):
                if _is_copy(region, piece.region):
                    prot = piece.prot if piece.prot != UNKNOWN_PROT else self._first_prot(region)
                    child.remove(piece.start, piece.end)
                    child.put(piece._replace(region=region, prot=prot))

    def _first_prot(self, region: Region) -> int:
        if region.found_prot is not None:
            return region.found_prot
        return self.origins.prots.get(region.id, UNKNOWN_PROT)


def _is_copy(region: Region, original: Region) -> bool:
    return (region.start, region.end, region.created_by) == (original.start, original.end, original.created_by)


def _no_region(*_: object) -> Region:
    raise AssertionError("regions come from the timeline")
