"""Libraries that are unmapped as soon as they were mapped, told to the rule for what the loader refuses itself."""

from __future__ import annotations

from typing import Dict, Iterator, List

from wxtrace.model import facts
from wxtrace.model import flags as f
from wxtrace.model.causes.loader import GivenUp, refused_by_loader
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Event
from wxtrace.model.processes import Pending, TaskState
from wxtrace.model.region import Piece
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.row import CallRequest
from wxtrace.model.trace_state import TraceState

__all__ = ["Loading"]


class Loading:
    """Remembers what a verdict needs; costs nothing unless a library goes as soon as it came."""

    def __init__(self, trace: TraceState) -> None:
        self._trace = trace
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
        unloading = self.expected.pop(task.tid, None)
        if unloading is None:
            return
        stack = [piece for piece in task.state.space.pieces() if piece.region.provenance == "stack"]
        asked = self._asked.get(task.tid, 0)
        diagnosis = refused_by_loader(GivenUp(unloading, before, event.n, stack, asked))
        if diagnosis is not None:
            backing = before[0].region.backing
            details = {"library": backing.path if backing is not None else ""}
            refused = self._trace.event(
                task, event.t_ns, "dlopen", Outcome.REFUSED, details=details, diagnosis=diagnosis
            )
            pending = Pending(refused, task.process)
            pending.related.append(event.n)
            task.process.pending[refused.n] = pending
            yield refused
