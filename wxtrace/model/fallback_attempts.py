"""One story, not ten alarms: a program that is refused executable memory tries the next way to get some.

libffi, PCRE2, libgcc and .NET ask for memory that is writable and executable first, then for a file in one folder
after the other, or for a memfd. The rule: one thread, attempts of a similar size, few calls between them; and only
memory that the program filled itself ends the search, because libraries are loaded in between, too.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.event import Attempt, Event, Fallback
from wxtrace.model.origins import DUAL, FLIPPED, HEAP, OBJECT_WRITTEN, RWX, Origins
from wxtrace.model.processes import TaskState
from wxtrace.model.syscalls.memfd import MemfdCreate
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.row import CallRequest
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["FallbackSearches"]

_MOST_CALLS = 32
"""Successful calls of the thread from one attempt to the next. libffi needs one or two, PCRE2 none."""
_SIMILAR = 4
"""One attempt may be this many times as large as another: allocators round, and add a page for themselves."""
_MOST_EVENTS = 64
_FILLED = frozenset({RWX, FLIPPED, DUAL, HEAP, OBJECT_WRITTEN})
_OBJECTS = {"memfd": "a memfd", "memfd-private": "a memfd", "shm": "shared memory", "anon-shared": "shared memory"}


class _Search:
    """A search that goes on."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.attempts: List[Attempt] = []
        self.kinds: List[Tuple[object, ...]] = []
        self.events: List[int] = []
        self.calls = 0
        # What worked, if the next call does not show otherwise: event, region, and what it was made of.
        self.candidate: Optional[Tuple[int, int, str]] = None

    def so_far(self) -> Fallback:
        return Fallback(tuple(self.attempts), tuple(self.events))


class FallbackSearches:
    """Follows each thread from its first refusal on; costs nothing before."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        # By thread; empty as long as nobody searches, which is what a story asks at every call.
        self.searches: Dict[int, _Search] = {}

    def of(self, event: Event) -> Optional[Fallback]:
        """The search that this refused call, the latest of its thread, belongs to, if it has others."""
        search = self.searches.get(event.tid)
        if search is None or event.n not in search.events or len(search.attempts) < 2:
            return None
        return search.so_far()

    def refused(self, task: TaskState, event: Event, request: CallRequest, path: str) -> None:
        """A refused call. `path` is the file it was about, if the descriptor tells."""
        search = self.searches.get(task.tid)
        # Without its writable view an executable one is of no use.
        useless = search is not None and search.candidate is not None and _wants(request, f.PROT_WRITE)
        nothing_to_map = search is not None and isinstance(request, MemfdCreate)
        if not (useless or nothing_to_map or _wants(request, f.PROT_EXEC)):
            return
        if event.diagnosis is None or _of_a_stack(event):
            return
        if search is None or not (nothing_to_map or _similar(search.length, request.length)):
            search = self.searches[task.tid] = _Search(request.length)
        search.candidate = None
        search.calls = 0
        if len(search.events) >= _MOST_EVENTS:
            return
        prot = request.prot if isinstance(request, (Mmap, Mprotect)) else None
        kind = (request.name, prot, _provenance(event), path.rpartition("/")[0], event.diagnosis.cause)
        if kind not in search.kinds:
            search.kinds.append(kind)
            search.attempts.append(Attempt(event.n, _way_refused(event, request, path), event.diagnosis.cause))
        search.events.append(event.n)
        self._relate(task, search)

    def went_well(self, task: TaskState, event: Event, request: CallRequest) -> Optional[Fallback]:
        """A call that succeeded; the attempts, when that ended the search."""
        search = self.searches.get(task.tid)
        if search is None:
            return None
        if search.candidate is not None:
            return self._end(task, search)
        search.calls += 1
        if search.calls > _MOST_CALLS:
            del self.searches[task.tid]
            return None
        if not _wants(request, f.PROT_EXEC) or not _similar(search.length, request.length):
            return None
        part = next((part for part in event.touched if part.after is not None), None)
        word = self._origins.of(part.region) if part is not None else None
        if part is None or part.region is None or word not in _FILLED:
            return None
        if part.before is not None and part.before[2] == "x":
            # It has had this memory for long.
            return None
        search.candidate = (event.n, part.region, part.provenance or "")
        # The writable view of an object may be made after the executable one: the next call tells.
        return None if word == OBJECT_WRITTEN else self._end(task, search)

    def forget(self, tid: int) -> None:
        """The thread runs another program now."""
        self.searches.pop(tid, None)

    def gone(self, task: TaskState) -> Optional[Fallback]:
        """The thread ended; the attempts, when its last attempt had worked."""
        search = self.searches.get(task.tid)
        if search is None:
            return None
        if search.candidate is not None:
            return self._end(task, search)
        del self.searches[task.tid]
        return None

    def _end(self, task: TaskState, search: _Search) -> Fallback:
        assert search.candidate is not None
        n, region, provenance = search.candidate
        search.attempts.append(Attempt(n, _way_that_worked(self._origins.of(region), provenance), None))
        self._relate(task, search)
        del self.searches[task.tid]
        return search.so_far()

    def _relate(self, task: TaskState, search: _Search) -> None:
        """Every refused call of one search names the others, and what worked."""
        if len(search.attempts) < 2:
            return
        fallback = search.so_far()
        numbers = [*search.events, *([fallback.worked.n] if fallback.worked is not None else [])]
        for n in search.events:
            pending = task.process.pending.get(n)
            if pending is not None:
                pending.fallback = fallback
                pending.related += [other for other in numbers if other != n and other not in pending.related]


def _wants(request: CallRequest, bit: int) -> bool:
    if isinstance(request, Shmat):
        return bit == f.PROT_EXEC and bool(request.shmflg & f.SHM_EXEC)
    return isinstance(request, (Mmap, Mprotect)) and bool(request.prot & bit)


def _similar(one: int, other: int) -> bool:
    return max(one, other) <= _SIMILAR * min(one, other)


def _provenance(event: Event) -> str:
    return (event.touched[0].provenance or "") if event.touched else ""


def _of_a_stack(event: Event) -> bool:
    """The loader asks for an executable stack for another purpose."""
    return _provenance(event) in ("stack", "thread-stack")


def _way_refused(event: Event, request: CallRequest, path: str) -> str:
    both = _wants(request, f.PROT_WRITE) and _wants(request, f.PROT_EXEC)
    how = "executable" if _wants(request, f.PROT_EXEC) else "writable"
    provenance = _provenance(event)
    if isinstance(request, MemfdCreate):
        return "a memfd"
    if isinstance(request, Mprotect):
        return "making memory writable and executable" if both else "making memory executable after writing it"
    if provenance in _OBJECTS:
        return "%s mapped %s" % (_OBJECTS[provenance], how)
    if provenance.startswith("file"):
        folder = path.rpartition("/")[0]
        return "a file%s mapped %s" % (" in " + folder if folder else "", how)
    return "memory writable and executable at once" if both else "executable memory"


def _way_that_worked(word: Optional[str], provenance: str) -> str:
    thing = _OBJECTS.get(provenance, "a file")
    if word == DUAL:
        return "%s mapped twice, once to write and once to run" % thing
    if word == OBJECT_WRITTEN:
        return "%s filled and then mapped executable" % thing
    if word == FLIPPED:
        return "memory written first and made executable then"
    return "memory writable and executable at once"
