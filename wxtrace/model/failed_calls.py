"""Calls that did not simply succeed: what they touched all the same, why, and whether that is an alarm."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import facts
from wxtrace.model.causes.context import CallContext, Intercepted
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.event import Event, Partial, Touched
from wxtrace.model.failed_effect import apply_failure
from wxtrace.model.processes import Pending, SpaceState, TaskState
from wxtrace.model.region import Piece, provenance_of_line
from wxtrace.model.syscalls.ptrace import Ptrace
from wxtrace.model.syscalls.row import CallRequest, Other, Syscall, page_align_up
from wxtrace.model.syscalls.shm import Shmdt
from wxtrace.model.syscalls.table import row_of
from wxtrace.model.trace_state import TraceState

if TYPE_CHECKING:
    from wxtrace.model.causes.diagnosis import Diagnosed

__all__ = ["FailedCalls"]

_SYS_SECCOMP = 1
"""si_code of a SIGSYS that a filter sent (sigaction(2)); syscall user dispatch sends it with 2."""


class _Unclear(NamedTuple):
    """A call that a filter answered; `trapped`: by SIGSYS."""

    task: TaskState
    call: facts.Call
    trapped: bool = False


class FailedCalls:
    """Holds the evidence that came before a call, and uses it up with the call."""

    def __init__(self, trace: TraceState) -> None:
        self.trace = trace
        self.mapped: Dict[int, facts.Mapped] = {}
        self.probes: Dict[int, facts.Probe] = {}
        self._resynced: Dict[int, List[facts.Resynced]] = {}
        # Calls that a filter answered: whether by TRAP, KILL or a made-up result, the next fact of the task tells.
        self._unclear: Dict[int, _Unclear] = {}

    @property
    def undecided(self) -> List[int]:
        """The tasks with a call whose answer is not understood yet."""
        return list(self._unclear)

    def postpone(self, task: TaskState, call: facts.Call) -> None:
        """Wait for the next fact of this task."""
        self._unclear[call.tid] = _Unclear(task, call)

    def waits_for(self, tid: int, t_ns: int) -> bool:
        """Whether the call of a thread that came back at `t_ns` is one of them."""
        unclear = self._unclear.get(tid)
        return unclear is not None and unclear.call.t_ns == t_ns

    def keep_resynced(self, fact: facts.Resynced) -> None:
        """To be believed with the next call of the task."""
        self._resynced.setdefault(fact.tid, []).append(fact)

    def apply_resynced(self, task: TaskState) -> List[Tuple[Optional[Piece], Optional[Piece]]]:
        """Bring the space to what was read again; (before, after) for what that changed."""
        changes: List[Tuple[Optional[Piece], Optional[Piece]]] = []
        page = self.trace.page_size
        for resync in self._resynced.pop(task.tid, ()):
            # A call may speak of parts of pages; the lines are of whole ones.
            start, end = resync.start // page * page, page_align_up(resync.end, page)
            changes += task.state.space.resync(start, end, resync.lines)
        return changes

    def _context(
        self,
        task: TaskState,
        call: facts.Call,
        request: CallRequest,
        touched: List[Touched],
        probe: facts.Probe,
        did: Optional[Intercepted] = None,
    ) -> CallContext:
        host = self.trace.run.host if self.trace.run is not None else facts.Host("", "", 4096)
        return CallContext(
            request,
            call.decided,
            host,
            probe,
            touched,
            task.filters,
            task.state.mdwe,
            task.state.mdwe_by,
            isinstance(request, Ptrace) and (request.request == 0 or request.pid in self.trace.tasks),
            call,
            task.state.mdwe_who,
            task.state.mdwe_own,
            task.seen_filters,
            did,
        )

    def _apply(
        self, task: TaskState, call: facts.Call, row: Syscall, request: CallRequest
    ) -> Tuple[List[Touched], facts.Probe, bool]:
        """What the call touched all the same, its evidence, and whether a fresh reading found anything changed."""
        probe = self.probes.pop(call.tid, None)
        changes = self.apply_resynced(task)
        n, page_size = self.trace.last_n + 1, self.trace.page_size
        vmas = probe.vmas if probe is not None else []
        touched: List[Touched] = []
        if not isinstance(request, Other):
            touched = apply_failure(task.state.space, row, request, changes, vmas, n, page_size)
        known = facts.Probe(call.tid) if probe is None else self._looked_at(task.state, row, request, probe)
        return touched, known, bool(changes)

    def failed(self, task: TaskState, call: facts.Call, row: Syscall, request: CallRequest) -> Event:
        """The call came back with an error (or, for brk, with the old break)."""
        assert call.result is not None
        came = Errno(-call.result) if call.result < 0 else Errno.NONE
        did = Intercepted("ERRNO", call.result) if call.decided == facts.BY_FILTER else None
        touched, probe, _ = self._apply(task, call, row, request)
        ctx = self._context(task, call, request, touched, probe, did)
        touched = _with_evidence(touched, probe)
        partial = _partial(touched, request, self.trace.last_n + 1, self.trace.page_size)
        diagnosis, outcome, related = self._diagnose(task, ctx, came, partial)
        result = call.result if call.result >= 0 else None
        errno = None if came is Errno.NONE else came.name
        event = self.trace.event(task, call.t_ns, row.name, outcome, call, None, result, errno, touched, diagnosis)
        if outcome is Outcome.REFUSED:
            pending = Pending(event, task.process)
            pending.related += related
            task.process.pending[event.n] = pending
        return event

    def _diagnose(self, task: TaskState, ctx: CallContext, came: Errno, partial: Optional[Partial]) -> Diagnosed:
        # Most programs are refused nothing, and never need the rules.
        from wxtrace.model.causes.diagnosis import diagnose
        from wxtrace.model.causes.earlier import with_earlier
        from wxtrace.model.causes.loader import with_loader
        from wxtrace.model.causes.unanswered import with_unanswered

        told = diagnose(ctx, came, partial)
        diagnosis = with_loader(told.diagnosis, ctx)
        diagnosis = with_earlier(diagnosis, ctx, task.state.space.overlapping(ctx.start, ctx.end))
        return told._replace(diagnosis=with_unanswered(diagnosis, ctx))

    def _looked_at(self, state: SpaceState, row: Syscall, request: CallRequest, probe: facts.Probe) -> facts.Probe:
        """What is known of the call, and kept for those that are not looked at as closely."""
        if probe.short:
            return state.known.completed(state.space, row, request, probe)
        state.known.learn(state.space, probe)
        if probe.mdwe is not None and state.mdwe_by is None:
            state.mdwe = probe.mdwe
        if not probe.vmas and not probe.vmas_complete:
            return state.known.mapped(state.space, row, request, probe)
        return probe

    def faked(self, task: TaskState, call: facts.Call, row: Syscall, request: CallRequest) -> Event:
        """A filter reported success in the kernel's place, unless its listener let the kernel go on all the same."""
        from wxtrace.model.causes.diagnosis import diagnose_intercepted

        touched, probe, changed = self._apply(task, call, row, request)
        if changed:
            return self.trace.event(task, call.t_ns, row.name, Outcome.OK, call, None, call.result, None, touched)
        did = Intercepted("ERRNO", call.result)
        told = diagnose_intercepted(self._context(task, call, request, [], probe, did))
        event = self.trace.event(
            task, call.t_ns, row.name, told.outcome, call, None, call.result, None, touched, told.diagnosis
        )
        pending = Pending(event, task.process)
        pending.related += told.related
        task.process.pending[event.n] = pending
        return event

    def trapped(self, stop: facts.SignalStop) -> bool:
        """SIGSYS of a filter for the call that this thread is in; what comes of it, its next fact tells."""
        unclear = self._unclear.get(stop.tid)
        if unclear is None or (stop.signo, stop.code) != (signal.SIGSYS, _SYS_SECCOMP):
            return False
        self._unclear[stop.tid] = unclear._replace(trapped=True)
        return True

    def clear_up(self, tid: int, ending: Any) -> Iterator[Event]:
        """A filter's answer is understood by what came next: SIGSYS, death, or the program going on."""
        unclear = self._unclear.get(tid)
        if unclear is None or (unclear.trapped and isinstance(ending, facts.SignalStop)):
            # A handler of SIGSYS may run into signals of its own.
            return
        del self._unclear[tid]
        from wxtrace.model.causes.diagnosis import diagnose_intercepted

        task, call, _ = unclear
        row = row_of(call.abi, call.number)
        request = row.request(call.args)
        touched, probe, _ = self._apply(task, call, row, request)
        did = _what_came(unclear, ending)
        told = None
        if did is not None:
            told = diagnose_intercepted(self._context(task, call, request, touched, probe, did))
        outcome = told.outcome if told is not None else Outcome.UNFINISHED
        diagnosis = told.diagnosis if told is not None else None
        result = did.result if did is not None else None
        event = self.trace.event(task, call.t_ns, row.name, outcome, call, None, result, None, touched, diagnosis)
        if told is not None and outcome is Outcome.REFUSED:
            pending = Pending(event, task.process)
            pending.related += told.related
            task.process.pending[event.n] = pending
        yield event


def _what_came(unclear: _Unclear, ending: Any) -> Optional[Intercepted]:
    """What a filter did with a call, by the next fact of its task; None for a call that just never returned."""
    call = unclear.call
    if unclear.trapped:
        # SIGSYS kills at once where no handler takes it (kernel/signal.c:force_sig_info_to_task).
        ended = isinstance(ending, facts.TaskExited) and (ending.signal is not None or ending.code not in (0, None))
        return Intercepted("TRAP", handled=not ended)
    if isinstance(ending, facts.TaskExited) and ending.signal == signal.SIGSYS and call.decided != facts.BY_KERNEL:
        return Intercepted("KILL_PROCESS")
    return None if call.result is None else Intercepted("ERRNO", call.result)


def _with_evidence(touched: List[Touched], probe: facts.Probe) -> List[Touched]:
    """Provenance as of this event: private pages of a file that smaps counts as anonymous were written."""
    written = {"file": "file-cow", "memfd-private": "memfd-cow"}
    changed = []
    for part in touched:
        if part.region is None and probe.descriptor is not None:
            # Never mapped, so no line tells what the descriptor is: its link does.
            letters = "---s" if part.provenance == "file-shared" else "---p"
            line = MapLine(part.start, part.end, letters, 0, "00:01", 1, probe.descriptor.link)
            part = part._replace(provenance=provenance_of_line(line))
        if part.provenance in written:
            vma = next((v for v in probe.vmas if v.line.start <= part.start < v.line.end), None)
            if vma is not None and (vma.anonymous or vma.swap):
                part = part._replace(provenance=written[part.provenance])
        changed.append(part)
    return changed


def _partial(touched: List[Touched], request: CallRequest, n: int, page_size: int) -> Optional[Partial]:
    """`n`: the event itself, which what it sealed remembers."""
    changed = sum(
        part.end - part.start
        for part in touched
        if part.region is not None and (part.before != part.after or part.sealed_by == n)
    )
    if not changed:
        return None
    pages = (request.length + page_size - 1) // page_size
    if isinstance(request, Shmdt):
        pages = sum(part.end - part.start for part in touched) // page_size
    return Partial(changed // page_size, pages)
