"""The story of a run: facts in, events out.

The one place where records become events, for the live console, the exporter, `--verify` and every test alike:
whoever holds the facts can tell the story, now or later, and gets the same one.
"""

from __future__ import annotations

import signal
from typing import Any, Callable, Dict, Iterator, List, Optional, Union

from wxtrace.model import facts, flags
from wxtrace.model.abi import call_name
from wxtrace.model.aftermath import aftermath_of_exit, refused_behind, refused_just_before
from wxtrace.model.calls import Request, request_of
from wxtrace.model.cast import Cast
from wxtrace.model.causes.base import Installed
from wxtrace.model.causes.faults import FAULT_SIGNALS, describe_fault
from wxtrace.model.effects import apply_success
from wxtrace.model.event import (
    FAILED,
    OK,
    Amendment,
    Event,
    Touched,
)
from wxtrace.model.judge import Judge
from wxtrace.model.processes import Pending, Process, SpaceState, TaskState
from wxtrace.model.region import Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.touching import EffectContext

__all__ = ["Shown", "Story"]

Shown = Union[Event, Amendment, facts.Note, facts.Mismatch, facts.Lost]


class Story:
    """Feed it every fact in order. `on_region` hears of each new region (an exporter keeps them, others need not)."""

    def __init__(self, on_region: Optional[Callable[[Region], None]] = None) -> None:
        self.checked = 0
        self.mismatches = 0
        self.dropped = 0
        self.lost: Optional[str] = None
        self.duration_ns = 0
        self._cast = Cast(on_region)
        self._judge = Judge(self._cast)

    @property
    def run(self) -> Optional[facts.RunStarted]:
        """How the run began; None before its first fact."""
        return self._cast.run

    @property
    def processes(self) -> List[Process]:
        """Every process so far, by id from 1."""
        return self._cast.processes

    @property
    def spaces(self) -> List[SpaceState]:
        """Every address space so far."""
        return self._cast.spaces

    def feed(self, fact: Any) -> Iterator[Shown]:
        """What this fact adds to the story."""
        if type(fact) is facts.Call:
            return self._call(fact)
        handler = _HANDLERS.get(type(fact))
        return handler(self, fact) if handler is not None else iter(())

    def finish(self) -> Iterator[Shown]:
        """The end of the record: what is still open stays open, and is said so."""
        for tid in self._judge.undecided:
            yield from self._judge.clear_up(tid, None)
        for process in self.processes:
            for pending in process.pending.values():
                ending = "running" if not process.ended or process.let_go else "unknown"
                yield Amendment(pending.event.n, ending, tuple(pending.related), pending.event)
            process.pending.clear()

    def space_of(self, tid: int) -> Optional[AddressSpace]:
        """The address space of a task, as the story has it now."""
        task = self._cast.tasks.get(tid)
        return task.state.space if task is not None else None

    # Runs and tasks

    def _run_started(self, fact: facts.RunStarted) -> Iterator[Shown]:
        self._cast.run = fact
        return iter(())

    def _task_started(self, fact: facts.TaskStarted) -> Iterator[Shown]:
        self.duration_ns = fact.t_ns
        parent = self._cast.tasks.get(fact.parent) if fact.parent is not None else None
        process = self._cast.process_for(fact, parent)
        name = "clone" if process.pid != fact.tid else "fork"
        event = None
        if parent is not None:
            details = {"child": fact.tid, "flags": flags.named_bits(fact.flags & ~0xFF, flags.CLONE)}
            event = self._cast.event(parent, fact.t_ns, name, OK, details=details, result=fact.tid)
        state = self._cast.states.get(fact.space)
        if state is None:
            state = self._cast.new_space(fact.space, parent, event)
        task = TaskState(fact.tid, process, state)
        state.users += 1
        if state.space.id not in process.spaces:
            process.spaces.append(state.space.id)
        process.threads.append(fact.tid)
        if parent is not None:
            task.filters = parent.filters
            if not process.images and parent.process.images:
                process.images.append((self._cast.last_n, parent.process.images[-1][1]))
        elif self.run is not None and self.run.host.seccomp_filters:
            task.filters = (Installed(None, None, ""),)
        self._cast.tasks[fact.tid] = task
        if event is not None:
            yield event

    def _seeded(self, fact: facts.Seeded) -> Iterator[Shown]:
        task = self._cast.tasks.get(fact.former_tid if fact.former_tid is not None else fact.tid)
        if task is None:
            return
        if fact.former_tid is not None:
            old_leader = self._cast.tasks.pop(fact.tid, None)
            if old_leader is not None:
                self._cast.leave(old_leader.state)
            self._cast.tasks.pop(fact.former_tid, None)
            task.tid = fact.tid
            self._cast.tasks[fact.tid] = task
        if task.state.space.id != fact.space:
            self._cast.replace_space(task, fact.space)
        process = task.process
        if fact.space not in process.spaces:
            process.spaces.append(fact.space)
        details = {"exe": fact.image.exe, "argv": fact.image.argv, "comm": fact.image.comm}
        event = self._cast.event(task, fact.t_ns, fact.why, OK, details=details)
        process.images.append((event.n, fact.image))
        process.name = ""
        brk = fact.start_brk if fact.why == "exec" else _end_of_heap(fact)
        task.state.space.seed(fact.maps, brk, None, fact.why == "attach")
        yield event

    def _task_exited(self, fact: facts.TaskExited) -> Iterator[Shown]:
        yield from self._judge.clear_up(fact.tid, fact)
        task = self._cast.tasks.pop(fact.tid, None)
        if task is None:
            return
        self.duration_ns = fact.t_ns
        process = task.process
        if fact.tid == process.pid:
            yield from self._process_ended(task, fact)
        self._cast.leave(task.state)

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
        yield self._cast.event(task, fact.t_ns, "exit", OK, details=details)
        for pending in process.pending.values():
            ending = aftermath_of_exit(pending, fact, fact.t_ns)
            yield Amendment(pending.event.n, ending, tuple(pending.related), pending.event)
        process.pending.clear()

    # Calls

    def _call(self, call: facts.Call) -> Iterator[Shown]:
        task = self._cast.tasks.get(call.tid)
        if task is None:
            return
        self.duration_ns = call.t_ns
        if self._judge.undecided:
            yield from self._judge.clear_up(call.tid, None)
        if call.result is None or (call.decided == facts.BY_FILTER and call.result == call.number):
            self._judge.postpone(task, call)
            return
        request = request_of(call.abi, call.number, call.args)
        if call.decided == facts.BY_FILTER and call.result >= 0:
            yield self._judge.faked(task, call, request)
            return
        if -4096 < call.result < 0 or (request.name == "brk" and call.tid in self._judge.probes):
            yield self._judge.failed(task, call, request)
            return
        space = task.state.space
        mapped = self._judge.mapped.pop(call.tid, None)
        lines = mapped.lines if mapped is not None else ()
        self._cast.making = call
        ctx = EffectContext(self._cast.last_n + 1, self._cast.new_region, self._cast.page_size, lines)
        touched = apply_success(space, request, call.result, ctx)
        self._judge.apply_resynced(task)
        event = self._cast.event(
            task, call.t_ns, call_name(call.abi, call.number), OK, call, None, call.result, None, touched
        )
        if request.name in ("prctl", "seccomp"):
            self._policy_set(task, call, request, event)
        for pending in task.process.pending.values():
            pending.later_calls += 1
        yield event

    def _policy_set(self, task: TaskState, call: facts.Call, request: Request, event: Event) -> None:
        """prctl and seccomp calls that bind later ones."""
        option = request.flags
        if call.result != 0:
            # seccomp with TSYNC gives the number of a thread that stood in the way (seccomp(2)).
            return
        if request.name == "prctl" and option == flags.PR_SET_MDWE:
            task.state.mdwe, task.state.mdwe_by = call.args[1], event.n
        installs = request.name == "seccomp" and option <= flags.SECCOMP_SET_MODE_FILTER
        if installs or (request.name == "prctl" and option == flags.PR_SET_SECCOMP):
            filter = Installed(event.n, task.process.pid, task.process.title)
            bound = [task]
            if installs and option and call.args[1] & flags.SECCOMP_FILTER_FLAG_TSYNC:
                bound = [other for other in self._cast.tasks.values() if other.process is task.process]
            for other in bound:
                other.filters = (*other.filters, filter)

    # Signals

    def _signal(self, stop: facts.SignalStop) -> Iterator[Shown]:
        task = self._cast.tasks.get(stop.tid)
        if task is None:
            return
        yield from self._judge.clear_up(stop.tid, stop)
        task.process.last_fault = stop
        refused = refused_behind(task.process.pending, stop.addr) if stop.code > 0 else None
        if refused is not None and not refused.faulted:
            yield from self._fault(task, stop)

    def _fault(self, task: TaskState, stop: facts.SignalStop) -> Iterator[Shown]:
        if stop is task.process.last_fault:
            task.process.last_fault = None
        refused = refused_behind(task.process.pending, stop.addr)
        asked_there = refused is not None
        if refused is None:
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
            page = stop.addr & ~(self._cast.page_size - 1)
            region, perms = piece.region, piece.perms
            touched = [
                Touched(
                    region.id, page, page + self._cast.page_size, perms, None, perms, region.provenance, piece.sealed_by
                )
            ]
        diagnosis = describe_fault(stop, piece, related, asked_there)
        event = self._cast.event(
            task, stop.t_ns, "fault", FAILED, details=details, touched=touched, diagnosis=diagnosis
        )
        pending = Pending(event)
        task.process.pending[event.n] = pending
        if refused is not None:
            refused.faulted = True
            refused.related.append(event.n)
            pending.related.append(refused.event.n)
        yield event

    # Edges' own words

    def _named(self, fact: facts.Named) -> Iterator[Shown]:
        task = self._cast.tasks.get(fact.tid)
        if task is not None and fact.tid == task.process.pid:
            task.process.name = fact.comm
        return iter(())

    def _mode_changed(self, fact: facts.ModeChanged) -> Iterator[Shown]:
        task = self._cast.tasks.get(fact.tid)
        if task is not None:
            task.process.mode = fact.mode
        return iter(())

    def _keep_mapped(self, fact: facts.Mapped) -> Iterator[Shown]:
        self._judge.mapped[fact.tid] = fact
        return iter(())

    def _keep_resynced(self, fact: facts.Resynced) -> Iterator[Shown]:
        if fact.why == "mismatch":
            state = self._cast.states.get(fact.space)
            if state is not None:
                state.space.resync(fact.start, fact.end, fact.lines)
        else:
            self._judge.keep_resynced(fact)
        return iter(())

    def _keep_probe(self, fact: facts.Probe) -> Iterator[Shown]:
        self._judge.probes[fact.tid] = fact
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
