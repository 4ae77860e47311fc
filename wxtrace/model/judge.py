"""Calls that did not simply succeed: what they touched all the same, why, and whether that is an alarm."""

from __future__ import annotations

import signal
from typing import Any, Dict, Iterator, List, Optional, Tuple

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import facts, flags
from wxtrace.model.abi import call_name
from wxtrace.model.calls import Request, request_of
from wxtrace.model.cast import Cast
from wxtrace.model.causes.base import Refusal
from wxtrace.model.event import FAKED, OK, REFUSED, UNFINISHED, Diagnosis, Event, Partial, Touched
from wxtrace.model.failing import apply_failure, seal_in_part
from wxtrace.model.outcome import outcome_of_failure
from wxtrace.model.processes import Pending, SpaceState, TaskState
from wxtrace.model.region import Piece, provenance_of_line

__all__ = ["Judge"]

_NO_CHANGES: Tuple[Tuple[Optional[Piece], Optional[Piece]], ...] = ()


class Judge:
    """Holds the evidence that came before a call, and uses it up with the call."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.mapped: Dict[int, facts.Mapped] = {}
        self.probes: Dict[int, facts.Probe] = {}
        self._resynced: Dict[int, List[facts.Resynced]] = {}
        # Calls that a filter answered: whether by TRAP, KILL or a made-up result, the next fact of the task tells.
        self._unclear: Dict[int, Tuple[TaskState, facts.Call]] = {}

    @property
    def undecided(self) -> List[int]:
        """The tasks with a call whose answer is not understood yet."""
        return list(self._unclear)

    def postpone(self, task: TaskState, call: facts.Call) -> None:
        """Wait for the next fact of this task."""
        self._unclear[call.tid] = (task, call)

    def keep_resynced(self, fact: facts.Resynced) -> None:
        """To be believed with the next call of the task."""
        self._resynced.setdefault(fact.tid, []).append(fact)

    def apply_resynced(self, task: TaskState) -> List[Tuple[Optional[Piece], Optional[Piece]]]:
        """Bring the space to what was read again; (before, after) for what that changed."""
        changes: List[Tuple[Optional[Piece], Optional[Piece]]] = []
        for resync in self._resynced.pop(task.tid, ()):
            changes += task.state.space.resync(resync.start, resync.end, resync.lines)
        return changes

    def _refusal(
        self, task: TaskState, call: facts.Call, request: Request, errno: str, touched: List[Touched]
    ) -> Refusal:
        host = self.cast.run.host if self.cast.run is not None else facts.Host("", "", 4096)
        probe = self.probes.pop(call.tid, None)
        probe = facts.Probe(call.tid) if probe is None else self._looked_at(task.state, request, probe)
        return Refusal(
            request,
            errno,
            call.result or 0,
            call.decided,
            call.number,
            host,
            probe,
            touched,
            task.filters,
            task.state.mdwe,
            task.state.mdwe_by,
            request.name == "ptrace" and (request.flags == 0 or request.fd in self.cast.tasks),
            call,
            task.state.mdwe_who,
            task.seen_filters,
        )

    def failed(self, task: TaskState, call: facts.Call, request: Request) -> Event:
        """The call came back with an error (or, for brk, with the old break)."""
        assert call.result is not None
        errno = flags.errno_name(-call.result) if call.result < 0 else ""
        changes = self.apply_resynced(task)
        touched = apply_failure(task.state.space, request, changes, self.cast.page_size)
        refusal = self._refusal(task, call, request, errno, touched)
        touched = _with_evidence(touched, refusal.probe)
        partial = _partial(touched, request, self.cast.page_size)
        if request.name == "mseal":
            sealed = seal_in_part(task.state.space, request, refusal.probe.vmas, self.cast.last_n + 1)
            pages = sum(part.end - part.start for part in sealed) // self.cast.page_size
            if sealed:
                partial = Partial(pages, -(-request.length // self.cast.page_size))
                rest = [part for part in touched if not any(part.start < s.end and s.start < part.end for s in sealed)]
                touched = sorted([*rest, *sealed], key=lambda part: part.start)
        diagnosis, related = self._diagnose(task, refusal, partial)
        outcome = outcome_of_failure(diagnosis.cause, request, errno)
        name = call_name(call.abi, call.number)
        result = call.result if call.result >= 0 else None
        event = self.cast.event(task, call.t_ns, name, outcome, call, None, result, errno or None, touched, diagnosis)
        if outcome == REFUSED:
            pending = Pending(event, task.process)
            pending.related += related
            task.process.pending[event.n] = pending
        return event

    def _diagnose(
        self, task: TaskState, refusal: Refusal, partial: Optional[Partial]
    ) -> Tuple[Diagnosis, Tuple[int, ...]]:
        # Most programs are refused nothing, and never need the rules.
        from wxtrace.model.causes.decide import diagnose
        from wxtrace.model.causes.earlier import with_earlier
        from wxtrace.model.causes.loader import with_loader
        from wxtrace.model.causes.unanswered import with_unanswered

        diagnosis, related = diagnose(refusal, partial)
        diagnosis = with_loader(diagnosis, refusal)
        diagnosis = with_earlier(diagnosis, refusal, task.state.space.overlapping(refusal.start, refusal.end))
        diagnosis = with_unanswered(diagnosis, refusal)
        return diagnosis, related

    def _looked_at(self, state: SpaceState, request: Request, probe: facts.Probe) -> facts.Probe:
        """What is known of the call, and kept for those that are not looked at as closely."""
        if probe.short:
            return state.known.completed(state.space, request, probe)
        state.known.learn(state.space, probe)
        if probe.mdwe is not None and state.mdwe_by is None:
            state.mdwe = probe.mdwe
        return probe

    def faked(self, task: TaskState, call: facts.Call, request: Request) -> Event:
        """A filter reported success in the kernel's place, unless its listener let the kernel go on all the same."""
        from wxtrace.model.causes.decide import diagnosis_of
        from wxtrace.model.causes.seccomp import filter_answered

        changes = self.apply_resynced(task)
        refusal = self._refusal(task, call, request, "", [])
        finding = filter_answered(refusal)
        touched = apply_failure(task.state.space, request, changes, self.cast.page_size)
        diagnosis = diagnosis_of(finding) if finding is not None else None
        name = call_name(call.abi, call.number)
        if changes:
            return self.cast.event(task, call.t_ns, name, OK, call, None, call.result, None, touched)
        event = self.cast.event(task, call.t_ns, name, FAKED, call, None, call.result, None, touched, diagnosis)
        pending = Pending(event, task.process)
        pending.related += finding.related if finding is not None else ()
        task.process.pending[event.n] = pending
        return event

    def clear_up(self, tid: int, ending: Any) -> Iterator[Event]:
        """A filter's answer is understood by what came next: SIGSYS, death, or the program going on."""
        unclear = self._unclear.pop(tid, None)
        if unclear is None:
            return
        from wxtrace.model.causes.decide import diagnosis_of
        from wxtrace.model.causes.seccomp import filter_answered, filter_killed, filter_trapped

        task, call = unclear
        request = request_of(call.abi, call.number, call.args)
        name = call_name(call.abi, call.number)
        touched = apply_failure(task.state.space, request, _NO_CHANGES, self.cast.page_size)
        refusal = self._refusal(task, call, request, "", touched)
        diagnosis: Optional[Diagnosis] = None
        outcome, result = UNFINISHED, None
        killed = isinstance(ending, facts.TaskExited) and ending.signal == signal.SIGSYS
        if isinstance(ending, facts.SignalStop) and ending.signo == signal.SIGSYS:
            diagnosis, outcome = diagnosis_of(filter_trapped(refusal)), REFUSED
        elif killed and call.decided != facts.BY_KERNEL:
            diagnosis, outcome = diagnosis_of(filter_killed(refusal)), REFUSED
        elif call.result is not None:
            finding = filter_answered(refusal)
            diagnosis = diagnosis_of(finding) if finding is not None else None
            outcome, result = FAKED, call.result
        event = self.cast.event(task, call.t_ns, name, outcome, call, None, result, None, touched, diagnosis)
        if outcome == REFUSED:
            pending = Pending(event, task.process)
            pending.related += [filter.n for filter in task.filters if filter.n is not None]
            task.process.pending[event.n] = pending
        yield event


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


def _partial(touched: List[Touched], request: Request, page_size: int) -> Optional[Partial]:
    changed = sum(part.end - part.start for part in touched if part.region is not None and part.before != part.after)
    if not changed:
        return None
    pages = (request.length + page_size - 1) // page_size
    if request.name == "shmdt":
        pages = sum(part.end - part.start for part in touched) // page_size
    return Partial(changed // page_size, pages)
