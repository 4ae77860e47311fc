"""A library that the loader gave up: glibc 2.41 and later refuse to make the stack executable for dlopen.

No call fails, so there is only a shape: a library that wants an executable stack is mapped and, never relocated,
unmapped again by the same thread, while the stack is not executable and nobody asked for that.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional

from wxtrace.model import facts
from wxtrace.model import flags as f
from wxtrace.model.cast import Cast
from wxtrace.model.causes.loader import refused_by_loader, wants_executable_stack
from wxtrace.model.event import REFUSED, Diagnosis, Event
from wxtrace.model.processes import Pending, TaskState
from wxtrace.model.region import Piece
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.row import CallRequest

__all__ = ["Loading"]

_MOST_EVENTS = 16
"""From mapping the code of a library to giving it up: its other segments, and what other threads do meanwhile."""


class Loading:
    """Remembers what a verdict needs; costs nothing unless a library goes as soon as it came."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        # By thread, until its next call; nearly always empty, which is what a story asks at every call.
        self.expected: Dict[int, facts.Unloading] = {}
        self._asked: Dict[int, int] = {}

    def unloading(self, fact: facts.Unloading) -> None:
        """The next call of this thread unmaps it."""
        self.expected[fact.tid] = fact

    def refused(self, event: Event, request: CallRequest) -> None:
        """A call that failed: when it asked for the stack, the kernel refused and not the loader."""
        if isinstance(request, Mprotect) and request.prot & f.GROWSDOWN:
            self._asked[event.tid] = event.n

    def unloaded(self, task: TaskState, event: Event, before: List[Piece]) -> Iterator[Event]:
        """The event of a refused dlopen, if this event unmapped such a library; `before` was mapped there."""
        diagnosis = self._verdict(task, event, before)
        if diagnosis is not None:
            backing = before[0].region.backing
            details = {"library": backing.path if backing is not None else ""}
            refused = self._cast.event(task, event.t_ns, "dlopen", REFUSED, details=details, diagnosis=diagnosis)
            pending = Pending(refused, task.process)
            pending.related.append(event.n)
            task.process.pending[refused.n] = pending
            yield refused

    def _verdict(self, task: TaskState, event: Event, before: List[Piece]) -> Optional[Diagnosis]:
        unloading = self.expected.pop(task.tid, None)
        if unloading is None or not wants_executable_stack(unloading.library) or not _gives_up(unloading.loader):
            return None
        code = next((piece for piece in before if piece.prot & f.PROT_EXEC), None)
        if code is None or code.region.created_by is None or code.region.backing is None:
            return None
        began = code.region.created_by
        if event.n - began > _MOST_EVENTS or self._asked.get(task.tid, 0) > began:
            return None
        # What the loader has relocated it makes read-only (PT_GNU_RELRO), or had writable code for a while.
        if any(piece.earlier & f.PROT_WRITE for piece in before):
            return None
        if any(piece.prot & f.PROT_EXEC for piece in _stack(task)):
            return None
        return refused_by_loader(unloading, began, event.n)


def _gives_up(loader: str) -> bool:
    """Whether this loader may have refused: glibc from 2.41 on, or one that could not be told."""
    major, _, minor = loader.partition(".")
    if not loader:
        return True
    return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= (2, 41)


def _stack(task: TaskState) -> List[Piece]:
    return [piece for piece in task.state.space.pieces() if piece.region.provenance == "stack"]
