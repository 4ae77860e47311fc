"""The story of a run: facts in, events out.

The one place where records become events, for the live console, the exporter, `--verify` and every test alike:
whoever holds the facts can tell the story, now or later, and gets the same one.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import facts, flags
from wxtrace.model.abi import call_name
from wxtrace.model.aftermath import aftermath_of_exit, refused_behind, refused_just_before
from wxtrace.model.calls import Request, request_of
from wxtrace.model.causes.base import CONSISTENT, Installed, Refusal
from wxtrace.model.causes.decide import diagnose, diagnosis_of
from wxtrace.model.causes.faults import FAULT_SIGNALS, describe_fault
from wxtrace.model.causes.seccomp import filter_answered, filter_killed, filter_trapped
from wxtrace.model.effects import EffectContext, apply_failure, apply_success
from wxtrace.model.event import (
    FAILED,
    FAKED,
    OK,
    REFUSED,
    UNFINISHED,
    Amendment,
    Diagnosis,
    Event,
    Partial,
    Touched,
)
from wxtrace.model.outcome import outcome_of_failure
from wxtrace.model.processes import Pending, Process, SpaceState, TaskState
from wxtrace.model.region import Backing, Piece, Region, provenance_of_line
from wxtrace.model.space import AddressSpace

__all__ = ["Shown", "Story"]

Shown = Union[Event, Amendment, facts.Note, facts.Mismatch, facts.Lost]
_NO_CHANGES: Tuple[Tuple[Optional[Piece], Optional[Piece]], ...] = ()


class Story:
    """Feed it every fact in order. `on_region` hears of each new region (an exporter keeps them, others need not)."""

    def __init__(self, on_region: Optional[Callable[[Region], None]] = None) -> None:
        self.run: Optional[facts.RunStarted] = None
        self.processes: List[Process] = []
        self.spaces: List[SpaceState] = []
        self.checked = 0
        self.mismatches = 0
        self.dropped = 0
        self.lost: Optional[str] = None
        self.duration_ns = 0
        self._on_region = on_region
        self._n = 0
        self._region_id = 0
        self._making: Optional[facts.Call] = None
        self._tasks: Dict[int, TaskState] = {}
        self._states: Dict[int, SpaceState] = {}
        self._mapped: Dict[int, facts.Mapped] = {}
        self._resynced: Dict[int, List[facts.Resynced]] = {}
        self._probes: Dict[int, facts.Probe] = {}
        # Calls that a filter answered: whether by TRAP, KILL or a made-up result, the next fact of the task tells.
        self._unclear: Dict[int, Tuple[TaskState, facts.Call]] = {}

    def feed(self, fact: Any) -> Iterator[Shown]:
        """What this fact adds to the story."""
        if type(fact) is facts.Call:
            return self._call(fact)
        handler = _HANDLERS.get(type(fact))
        return handler(self, fact) if handler is not None else iter(())

    def finish(self) -> Iterator[Shown]:
        """The end of the record: what is still open stays open, and is said so."""
        for tid in list(self._unclear):
            yield from self._clear_up(tid, None)
        for process in self.processes:
            for pending in process.pending.values():
                ending = "running" if not process.ended or process.let_go else "unknown"
                yield Amendment(pending.event.n, ending, tuple(pending.related), pending.event)
            process.pending.clear()

    def space_of(self, tid: int) -> Optional[AddressSpace]:
        """The address space of a task, as the story has it now."""
        task = self._tasks.get(tid)
        return task.state.space if task is not None else None

    def process_of(self, tid: int) -> Optional[Process]:
        """The process of a task."""
        task = self._tasks.get(tid)
        return task.process if task is not None else None

    # Runs and tasks

    def _run_started(self, fact: facts.RunStarted) -> Iterator[Shown]:
        self.run = fact
        return iter(())

    def _task_started(self, fact: facts.TaskStarted) -> Iterator[Shown]:
        self.duration_ns = fact.t_ns
        parent = self._tasks.get(fact.parent) if fact.parent is not None else None
        process = self._process_for(fact, parent)
        name = "clone" if process.pid != fact.tid else "fork"
        event = None
        if parent is not None:
            details = {"child": fact.tid, "flags": flags.named_bits(fact.flags & ~0xFF, flags.CLONE)}
            event = self._event(parent, fact.t_ns, name, OK, details=details, result=fact.tid)
        state = self._states.get(fact.space)
        if state is None:
            state = self._new_space(fact.space, parent, event)
        task = TaskState(fact.tid, process, state)
        state.users += 1
        if state.space.id not in process.spaces:
            process.spaces.append(state.space.id)
        process.threads.append(fact.tid)
        if parent is not None:
            task.filters = parent.filters
            if not process.images and parent.process.images:
                process.images.append((self._n, parent.process.images[-1][1]))
        elif self.run is not None and self.run.host.seccomp_filters:
            task.filters = (Installed(None, None, ""),)
        self._tasks[fact.tid] = task
        if event is not None:
            yield event

    def _process_for(self, fact: facts.TaskStarted, parent: Optional[TaskState]) -> Process:
        leader = self._tasks.get(fact.pid)
        if fact.pid != fact.tid and leader is not None and leader.process.pid == fact.pid:
            return leader.process
        if parent is not None and parent.process.pid == fact.pid:
            return parent.process
        same = next((p for p in reversed(self.processes) if p.pid == fact.pid and not p.ended), None)
        if same is not None and fact.pid != fact.tid:
            return same
        process = Process(len(self.processes) + 1, fact.pid, parent.process.id if parent is not None else None)
        if parent is not None:
            process.mode = parent.process.mode
        elif self.run is not None:
            process.mode = self.run.mode
        self.processes.append(process)
        return process

    def _new_space(self, id: int, parent: Optional[TaskState], event: Optional[Event]) -> SpaceState:
        if parent is None:
            state = SpaceState(AddressSpace(id, self._new_region), None, None)
            if self.run is not None and self.run.attached is None:
                state.mdwe = self.run.host.mdwe
        else:
            source = parent.state
            copy = source.space.copy(id, self._new_region)
            state = SpaceState(copy, source.space.id, event.n if event is not None else None)
            if source.mdwe is not None:
                # PR_MDWE_NO_INHERIT: the child of a fork has none (prctl(2)).
                state.mdwe = 0 if source.mdwe & 2 else source.mdwe
                state.mdwe_by = source.mdwe_by if state.mdwe else None
        self._states[id] = state
        self.spaces.append(state)
        return state

    def _new_region(
        self,
        space: int,
        start: int,
        end: int,
        provenance: str,
        backing: Optional[Backing],
        created_by: Optional[int],
        inferred: bool,
        shared: bool,
        grows_down: bool = False,
    ) -> Region:
        self._region_id += 1
        region = Region(
            self._region_id,
            space,
            start,
            end,
            provenance,
            backing,
            created_by,
            inferred,
            shared,
            grows_down,
            self._making if created_by == self._n + 1 else None,
        )
        if self._on_region is not None:
            self._on_region(region)
        return region

    def _seeded(self, fact: facts.Seeded) -> Iterator[Shown]:
        task = self._tasks.get(fact.former_tid if fact.former_tid is not None else fact.tid)
        if task is None:
            return
        if fact.former_tid is not None:
            old_leader = self._tasks.pop(fact.tid, None)
            if old_leader is not None:
                self._leave(old_leader.state)
            self._tasks.pop(fact.former_tid, None)
            task.tid = fact.tid
            self._tasks[fact.tid] = task
        before = task.state
        if before.space.id != fact.space:
            state = SpaceState(AddressSpace(fact.space, self._new_region), None, None)
            if before.mdwe is not None:
                state.mdwe = 0 if before.mdwe & 2 else before.mdwe
                state.mdwe_by = before.mdwe_by if state.mdwe else None
            self._states[fact.space] = state
            self.spaces.append(state)
            state.users = 1
            task.state = state
            self._leave(before)
        process = task.process
        if fact.space not in process.spaces:
            process.spaces.append(fact.space)
        details = {"exe": fact.image.exe, "argv": fact.image.argv, "comm": fact.image.comm}
        event = self._event(task, fact.t_ns, fact.why, OK, details=details)
        process.images.append((event.n, fact.image))
        process.name = ""
        brk = fact.start_brk if fact.why == "exec" else _end_of_heap(fact)
        task.state.space.seed(fact.maps, brk, None, fact.why == "attach")
        yield event

    def _leave(self, state: SpaceState) -> None:
        state.users -= 1
        if state.users == 0:
            self._states.pop(state.space.id, None)
            # The map itself is not needed any more; its record stays for the exporter.
            state.space = AddressSpace(state.space.id, self._new_region)

    def _task_exited(self, fact: facts.TaskExited) -> Iterator[Shown]:
        yield from self._clear_up(fact.tid, fact)
        task = self._tasks.pop(fact.tid, None)
        if task is None:
            return
        self.duration_ns = fact.t_ns
        process = task.process
        if fact.tid == process.pid:
            yield from self._process_ended(task, fact)
        self._leave(task.state)

    def _process_ended(self, task: TaskState, fact: facts.TaskExited) -> Iterator[Shown]:
        process = task.process
        process.ended = True
        process.exit_code, process.exit_signal = fact.code, fact.signal
        if fact.code is None and fact.signal is None:
            process.let_go = True
            return
        stop = process.last_fault
        if stop is not None and stop.signo == fact.signal and stop.signo in FAULT_SIGNALS:
            yield from self._fault(task, stop)
        details: Dict[str, Any] = {"code": fact.code} if fact.signal is None else {"signal": signal_name(fact.signal)}
        yield self._event(task, fact.t_ns, "exit", OK, details=details)
        for pending in process.pending.values():
            ending = aftermath_of_exit(pending, fact, fact.t_ns)
            yield Amendment(pending.event.n, ending, tuple(pending.related), pending.event)
        process.pending.clear()

    # Calls

    def _call(self, call: facts.Call) -> Iterator[Shown]:
        task = self._tasks.get(call.tid)
        if task is None:
            return
        self.duration_ns = call.t_ns
        if call.tid in self._unclear:
            yield from self._clear_up(call.tid, None)
        if call.result is None or (call.decided == facts.BY_FILTER and call.result == call.number):
            self._unclear[call.tid] = (task, call)
            return
        request = request_of(call.abi, call.number, call.args)
        if call.decided == facts.BY_FILTER and call.result >= 0:
            yield self._faked(task, call, request)
            return
        if -4096 < call.result < 0 or (request.name == "brk" and call.tid in self._probes):
            yield self._failed(task, call, request)
            return
        space = task.state.space
        mapped = self._mapped.pop(call.tid, None)
        lines = mapped.lines if mapped is not None else ()
        self._making = call
        ctx = EffectContext(self._n + 1, self._new_region, self._page_size, lines)
        touched = apply_success(space, request, call.result, ctx)
        self._apply_resynced(task)
        event = self._event(
            task, call.t_ns, call_name(call.abi, call.number), OK, call, None, call.result, None, touched
        )
        if request.name in ("prctl", "seccomp"):
            self._policy_set(task, call, request, event)
        for pending in task.process.pending.values():
            pending.later_calls += 1
        yield event

    @property
    def _page_size(self) -> int:
        return self.run.host.page_size if self.run is not None else 4096

    def _policy_set(self, task: TaskState, call: facts.Call, request: Request, event: Event) -> None:
        """prctl and seccomp calls that bind later ones."""
        option = request.flags
        if request.name == "prctl" and option == flags.PR_SET_MDWE:
            task.state.mdwe, task.state.mdwe_by = call.args[1], event.n
        installs = request.name == "seccomp" and option <= flags.SECCOMP_SET_MODE_FILTER
        if installs or (request.name == "prctl" and option == flags.PR_SET_SECCOMP):
            filter = Installed(event.n, task.process.pid, task.process.title)
            bound = [task]
            if installs and option and call.args[1] & flags.SECCOMP_FILTER_FLAG_TSYNC:
                bound = [other for other in self._tasks.values() if other.process is task.process]
            for other in bound:
                other.filters = (*other.filters, filter)

    def _apply_resynced(self, task: TaskState) -> List[Tuple[Optional[Piece], Optional[Piece]]]:
        changes: List[Tuple[Optional[Piece], Optional[Piece]]] = []
        for resync in self._resynced.pop(task.tid, ()):
            changes += task.state.space.resync(resync.start, resync.end, resync.lines)
        return changes

    def _refusal(
        self, task: TaskState, call: facts.Call, request: Request, errno: str, touched: List[Touched]
    ) -> Refusal:
        host = self.run.host if self.run is not None else facts.Host("", "", 4096)
        return Refusal(
            request,
            errno,
            call.result or 0,
            call.decided,
            call.number,
            host,
            self._probes.pop(call.tid, facts.Probe(call.tid)),
            touched,
            task.filters,
            task.state.mdwe,
            task.state.mdwe_by,
            request.name == "ptrace" and (request.flags == 0 or request.fd in self._tasks),
        )

    def _failed(self, task: TaskState, call: facts.Call, request: Request) -> Event:
        assert call.result is not None
        errno = flags.errno_name(-call.result) if call.result < 0 else ""
        changes = self._apply_resynced(task)
        touched = apply_failure(task.state.space, request, changes, self._page_size)
        refusal = self._refusal(task, call, request, errno, touched)
        touched = _with_evidence(touched, refusal.probe)
        partial = _partial(touched, request, self._page_size)
        diagnosis, related = self._diagnose(task, refusal, partial)
        outcome = outcome_of_failure(diagnosis.cause, request, errno)
        name = call_name(call.abi, call.number)
        result = call.result if call.result >= 0 else None
        event = self._event(task, call.t_ns, name, outcome, call, None, result, errno or None, touched, diagnosis)
        if outcome == REFUSED:
            pending = Pending(event)
            pending.related += related
            task.process.pending[event.n] = pending
        return event

    def _diagnose(
        self, task: TaskState, refusal: Refusal, partial: Optional[Partial]
    ) -> Tuple[Diagnosis, Tuple[int, ...]]:
        """Where a failing loop got a short probe, the last full diagnosis of its like stands, as consistent."""
        kind = (refusal.request.name, refusal.errno, refusal.request.prot)
        known = task.process.diagnosed.get(kind)
        if refusal.probe.short and known is not None:
            diagnosis, related = known
            return replace(diagnosis, confidence=CONSISTENT, partial=partial), related
        diagnosis, related = diagnose(refusal, partial)
        task.process.diagnosed[kind] = diagnosis, related
        return diagnosis, related

    def _faked(self, task: TaskState, call: facts.Call, request: Request) -> Event:
        self._apply_resynced(task)
        refusal = self._refusal(task, call, request, "", [])
        finding = filter_answered(refusal)
        touched = apply_failure(task.state.space, request, _NO_CHANGES, self._page_size)
        diagnosis = diagnosis_of(finding) if finding is not None else None
        name = call_name(call.abi, call.number)
        event = self._event(task, call.t_ns, name, FAKED, call, None, call.result, None, touched, diagnosis)
        pending = Pending(event)
        pending.related += finding.related if finding is not None else ()
        task.process.pending[event.n] = pending
        return event

    def _clear_up(self, tid: int, ending: Any) -> Iterator[Shown]:
        """A filter's answer is understood by what came next: SIGSYS, death, or the program going on."""
        unclear = self._unclear.pop(tid, None)
        if unclear is None:
            return
        task, call = unclear
        request = request_of(call.abi, call.number, call.args)
        name = call_name(call.abi, call.number)
        touched = apply_failure(task.state.space, request, _NO_CHANGES, self._page_size)
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
        event = self._event(task, call.t_ns, name, outcome, call, None, result, None, touched, diagnosis)
        if outcome == REFUSED:
            pending = Pending(event)
            pending.related += [filter.n for filter in task.filters if filter.n is not None]
            task.process.pending[event.n] = pending
        yield event

    # Signals

    def _signal(self, stop: facts.SignalStop) -> Iterator[Shown]:
        task = self._tasks.get(stop.tid)
        if task is None:
            return
        yield from self._clear_up(stop.tid, stop)
        task.process.last_fault = stop
        refused = refused_behind(task.process.pending, stop.addr) if stop.code > 0 else None
        if refused is not None and not refused.faulted:
            yield from self._fault(task, stop)

    def _fault(self, task: TaskState, stop: facts.SignalStop) -> Iterator[Shown]:
        if stop is task.process.last_fault:
            task.process.last_fault = None
        refused = refused_behind(task.process.pending, stop.addr)
        asked_there = refused is not None
        if refused is None and task.process.ended:
            refused = refused_just_before(task.process.pending, stop.tid)
        piece = task.state.space.at(stop.addr) if stop.addr is not None else None
        related = refused.event.n if refused is not None else None
        details: Dict[str, Any] = {
            "signal": signal_name(stop.signo),
            "si_code": stop.code,
            "si_addr": None if stop.addr is None else hex(stop.addr),
            "ip": hex(stop.ip),
        }
        touched = []
        if piece is not None and stop.addr is not None:
            page = stop.addr & ~(self._page_size - 1)
            region, perms = piece.region, piece.perms
            touched = [
                Touched(region.id, page, page + self._page_size, perms, None, perms, region.provenance, piece.sealed_by)
            ]
        diagnosis = describe_fault(stop, piece, related, asked_there)
        event = self._event(task, stop.t_ns, "fault", FAILED, details=details, touched=touched, diagnosis=diagnosis)
        pending = Pending(event)
        task.process.pending[event.n] = pending
        if refused is not None:
            refused.faulted = True
            refused.related.append(event.n)
            pending.related.append(refused.event.n)
        yield event

    # Edges' own words

    def _named(self, fact: facts.Named) -> Iterator[Shown]:
        task = self._tasks.get(fact.tid)
        if task is not None and fact.tid == task.process.pid:
            task.process.name = fact.comm
        return iter(())

    def _mode_changed(self, fact: facts.ModeChanged) -> Iterator[Shown]:
        task = self._tasks.get(fact.tid)
        if task is not None:
            task.process.mode = fact.mode
        return iter(())

    def _keep_mapped(self, fact: facts.Mapped) -> Iterator[Shown]:
        self._mapped[fact.tid] = fact
        return iter(())

    def _keep_resynced(self, fact: facts.Resynced) -> Iterator[Shown]:
        if fact.why == "mismatch":
            state = self._states.get(fact.space)
            if state is not None:
                state.space.resync(fact.start, fact.end, fact.lines)
        else:
            self._resynced.setdefault(fact.tid, []).append(fact)
        return iter(())

    def _keep_probe(self, fact: facts.Probe) -> Iterator[Shown]:
        self._probes[fact.tid] = fact
        return iter(())

    def _verified(self, fact: facts.Verified) -> Iterator[Shown]:
        self.checked = fact.checked
        return iter(())

    def _mismatch(self, fact: facts.Mismatch) -> Iterator[Shown]:
        self.mismatches += 1
        yield fact

    def _dropped(self, fact: facts.Dropped) -> Iterator[Shown]:
        self.dropped += fact.calls
        return iter(())

    def _lost(self, fact: facts.Lost) -> Iterator[Shown]:
        self.lost = fact.why
        yield fact

    def _note(self, fact: facts.Note) -> Iterator[Shown]:
        yield fact

    def _run_ended(self, fact: facts.RunEnded) -> Iterator[Shown]:
        self.duration_ns = fact.t_ns
        return iter(())

    def _event(
        self,
        task: TaskState,
        t_ns: int,
        name: str,
        outcome: str,
        call: Optional[facts.Call] = None,
        details: Optional[Dict[str, Any]] = None,
        result: Optional[int] = None,
        errno: Optional[str] = None,
        touched: Optional[List[Touched]] = None,
        diagnosis: Optional[Diagnosis] = None,
    ) -> Event:
        self._n += 1
        process = task.process
        return Event(
            self._n,
            t_ns,
            process.id,
            process.pid,
            task.tid,
            task.state.space.id,
            name,
            outcome,
            call,
            details,
            result,
            errno,
            touched if touched is not None else [],
            diagnosis,
        )


_HANDLERS: Dict[type, Callable[[Story, Any], Iterator[Shown]]] = {
    facts.RunStarted: Story._run_started,
    facts.TaskStarted: Story._task_started,
    facts.Seeded: Story._seeded,
    facts.TaskExited: Story._task_exited,
    facts.SignalStop: Story._signal,
    facts.ModeChanged: Story._mode_changed,
    facts.Named: Story._named,
    facts.Mapped: Story._keep_mapped,
    facts.Resynced: Story._keep_resynced,
    facts.Probe: Story._keep_probe,
    facts.Verified: Story._verified,
    facts.Mismatch: Story._mismatch,
    facts.Dropped: Story._dropped,
    facts.Lost: Story._lost,
    facts.Note: Story._note,
    facts.RunEnded: Story._run_ended,
}


def signal_name(number: int) -> str:
    """SIGSEGV for 11; SIGRTMIN+3 for 37."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "SIGRTMIN+%d" % (number - 34) if number > 34 else "SIG%d" % number


def _end_of_heap(fact: facts.Seeded) -> int:
    """At attach the exact break is nobody's to read; the end of [heap] is next to it."""
    ends = [line.end for line in fact.maps if line.path == "[heap]" and line.end > fact.start_brk]
    return max(ends, default=fact.start_brk)


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
    return Partial(changed // page_size, pages)
