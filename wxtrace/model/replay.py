"""The story of a run: facts in, events out.

The one place where records become events, for the live console, the exporter, `--verify` and every test alike:
whoever holds the facts can tell the story, now or later, and gets the same one.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Union

from wxtrace.model import facts, flags
from wxtrace.model.aftermath import aftermath_of_exit, refused_behind
from wxtrace.model.causes.context import Installed
from wxtrace.model.causes.fault.signals import FAULT_SIGNALS
from wxtrace.model.enumerations import Aftermath, Outcome
from wxtrace.model.event import Amendment, CallStack, Ending, Event, Fallback
from wxtrace.model.failed_calls import FailedCalls
from wxtrace.model.fallback_attempts import FallbackSearches
from wxtrace.model.faulting import fault_event, signal_name
from wxtrace.model.loading import Loading
from wxtrace.model.origins import Origins
from wxtrace.model.policies import Policies
from wxtrace.model.processes import Pending, Process, SpaceState, TaskState
from wxtrace.model.region import Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls.effect import EffectContext
from wxtrace.model.syscalls.mmap import has_unreadable_block
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.prctl import Prctl
from wxtrace.model.syscalls.row import CallRequest, Other, Syscall
from wxtrace.model.syscalls.seccomp import Seccomp
from wxtrace.model.syscalls.table import row_of
from wxtrace.model.trace_state import TraceState

__all__ = ["Replay", "Shown", "signal_name"]

_MOST_PENDING = 1000
"""Refused calls and faults of one process whose end is waited for."""

Shown = Union[Event, Amendment, CallStack, facts.Note, facts.Mismatch, facts.Lost]


class Replay:
    """Feed it every fact in order. `on_region` hears of each new region (an exporter keeps them, others need not).

    `on_origin` hears how a region became executable (wxtrace.model.origins); a later word replaces it.
    """

    def __init__(
        self,
        on_region: Optional[Callable[[Region], None]] = None,
        on_origin: Optional[Callable[[Region, str], None]] = None,
    ) -> None:
        self.checked = 0
        self.mismatches = 0
        self.dropped = 0
        self.lost: Optional[str] = None
        self.duration_ns = 0
        self._trace = TraceState(on_region)
        self._failed_calls = FailedCalls(self._trace)
        self._policies = Policies(self._trace)
        self.origins = Origins(self._trace, on_origin)
        self._fallbacks = FallbackSearches(self.origins)
        self._loading = Loading(self._trace)
        # Stacks of calls whose answer is not understood yet, by thread.
        self._early_stacks: Dict[int, facts.StackRead] = {}

    @property
    def run(self) -> Optional[facts.RunStarted]:
        """How the run began; None before its first fact."""
        return self._trace.run

    @property
    def processes(self) -> List[Process]:
        """Every process so far, by id from 1."""
        return self._trace.processes

    @property
    def spaces(self) -> List[SpaceState]:
        """Every address space so far."""
        return self._trace.spaces

    def feed(self, fact: Any) -> Iterator[Shown]:
        """What this fact adds to the story."""
        if type(fact) is facts.Call:
            return self._call(fact)
        handler = _HANDLERS.get(type(fact))
        return handler(self, fact) if handler is not None else iter(())

    def finish(self) -> Iterator[Shown]:
        """The end of the record: what is still open stays open, and is said so."""
        for tid in self._failed_calls.undecided:
            yield from self._clear_up(tid, None)
        for process in self.processes:
            for pending in process.pending.values():
                ending = Aftermath.RUNNING if not process.ended or process.let_go else Aftermath.UNKNOWN
                if not pending.recovered:
                    yield _amendment(pending, ending)
            process.pending.clear()

    def fallback_of(self, event: Event) -> Optional[Fallback]:
        """Right after a refused call: the ways tried before for the same purpose, and this one; None for the first."""
        return self._fallbacks.of(event)

    def space_of(self, tid: int) -> Optional[AddressSpace]:
        """The address space of a task, as the story has it now."""
        task = self._trace.tasks.get(tid)
        return task.state.space if task is not None else None

    # Runs and tasks

    def _run_started(self, fact: facts.RunStarted) -> Iterator[Shown]:
        self._trace.run = fact
        return iter(())

    def _task_started(self, fact: facts.TaskStarted) -> Iterator[Shown]:
        self.duration_ns = fact.t_ns
        parent = self._trace.tasks.get(fact.parent) if fact.parent is not None else None
        process = self._trace.process_for(fact, parent)
        name = "clone" if process.pid != fact.tid else "fork"
        event = None
        if parent is not None:
            details = {"child": fact.tid, "flags": flags.named_bits(fact.flags & ~0xFF, flags.CLONE)}
            event = self._trace.event(parent, fact.t_ns, name, Outcome.OK, details=details, result=fact.tid)
        state = self._trace.states.get(fact.space)
        if state is None:
            state = self._trace.new_space(fact.space, parent, event)
            if parent is not None:
                self.origins.forked(parent.state.space, state.space)
        task = TaskState(fact.tid, process, state)
        state.users += 1
        if state.space.id not in process.spaces:
            process.spaces.append(state.space.id)
        process.threads.append(fact.tid)
        if parent is not None:
            task.filters = parent.filters
            if not process.images and parent.process.images:
                process.images.append((self._trace.last_n, parent.process.images[-1][1]))
        elif self.run is not None and self.run.attached is None and self.run.host.seccomp_filters:
            task.filters = (Installed(None, None, ""),)
        self._trace.tasks[fact.tid] = task
        if event is not None:
            yield event

    def _seeded(self, fact: facts.Seeded) -> Iterator[Shown]:
        task = self._trace.tasks.get(fact.former_tid if fact.former_tid is not None else fact.tid)
        if task is None:
            return
        if fact.former_tid is not None:
            old_leader = self._trace.tasks.pop(fact.tid, None)
            if old_leader is not None:
                self._trace.leave(old_leader.state)
            self._trace.tasks.pop(fact.former_tid, None)
            task.tid = fact.tid
            self._trace.tasks[fact.tid] = task
        if task.state.space.id != fact.space:
            self._trace.replace_space(task, fact.space)
        process = task.process
        self._fallbacks.forget(fact.tid)
        if fact.space not in process.spaces:
            process.spaces.append(fact.space)
        details = {"exe": fact.image.exe, "argv": fact.image.argv, "comm": fact.image.comm}
        event = self._trace.event(task, fact.t_ns, fact.why, Outcome.OK, details=details)
        process.images.append((event.n, fact.image))
        process.name = ""
        brk = fact.start_brk if fact.why == "exec" else _end_of_heap(fact)
        task.state.space.seed(fact.maps, brk, None, fact.why == "attach")
        self.origins.seeded(task.state.space, fact.why == "exec", fact.personality)
        yield event

    def _task_exited(self, fact: facts.TaskExited) -> Iterator[Shown]:
        yield from self._clear_up(fact.tid, fact)
        task = self._trace.tasks.get(fact.tid)
        if task is None:
            return
        self.duration_ns = fact.t_ns
        process = task.process
        yield from self._recovered(task, self._fallbacks.gone(task))
        if fact.tid == process.pid:
            yield from self._process_ended(task, fact)
        # Only now: whoever shows a fatal fault looks at the map.
        self._trace.tasks.pop(fact.tid, None)
        self._trace.leave(task.state)

    def _process_ended(self, task: TaskState, fact: facts.TaskExited) -> Iterator[Shown]:
        process = task.process
        process.ended = True
        process.exit_code, process.exit_signal = fact.code, fact.signal
        if fact.code is None and fact.signal is None:
            process.let_go = True
            return
        stop = process.last_fault
        if stop is not None and stop.signo == fact.signal and stop.signo in FAULT_SIGNALS:
            yield fault_event(self._trace, task, stop)
        details: Dict[str, Any] = {"code": fact.code} if fact.signal is None else {"signal": signal_name(fact.signal)}
        yield self._trace.event(task, fact.t_ns, "exit", Outcome.OK, details=details)
        for pending in process.pending.values():
            if not pending.recovered:
                name = None if fact.signal is None else signal_name(fact.signal)
                ending = Ending(fact.code, name, pending.later_calls)
                yield _amendment(pending, aftermath_of_exit(pending, fact), ending)
        process.pending.clear()

    # Calls

    def _call(self, call: facts.Call) -> Iterator[Shown]:
        task = self._trace.tasks.get(call.tid)
        if task is None:
            return
        self.duration_ns = call.t_ns
        if self._failed_calls.undecided:
            yield from self._clear_up(call.tid, None)
        task.process.calls += 1
        if call.result is None or (call.decided == facts.BY_FILTER and call.result == call.number):
            self._failed_calls.postpone(task, call)
            return
        row = row_of(call.abi, call.number)
        request = row.request(call.args)
        if has_unreadable_block(call.abi, call.number, call.result, call.decided):
            request = Other(row.name)
        if call.decided == facts.BY_FILTER and call.result >= 0:
            yield self._failed_calls.faked(task, call, row, request)
            return
        if -4096 < call.result < 0 or (row.silent and call.tid in self._failed_calls.probes):
            yield self._failed(task, call, row, request)
            yield from self._let_go_of_old(task.process.pending)
            return
        space = task.state.space
        mapped = self._failed_calls.mapped.pop(call.tid, None)
        lines = mapped.lines if mapped is not None else ()
        self._trace.making = call
        ctx = EffectContext(self._trace.last_n + 1, self._trace.new_region, self._trace.page_size, lines)
        unloaded = space.overlapping(request.start, request.start + request.length) if self._loading.expected else []
        touched = row.effect(space, request, call.result, ctx) if row.effect is not None else []
        changes = self._failed_calls.apply_resynced(task)
        if changes:
            self.origins.found(space, changes)
        if isinstance(request, Mremap):
            self.origins.moved(space, request.old_address, touched)
        else:
            self.origins.touched(space, touched, mapped is not None and mapped.writable)
        event = self._trace.event(task, call.t_ns, row.name, Outcome.OK, call, None, call.result, None, touched)
        if isinstance(request, (Prctl, Seccomp)):
            self._policies.called(task, call, request, event)
        task.process.succeeded += 1
        yield event
        if unloaded:
            yield from self._loading.unloaded(task, event, unloaded)
        if self._fallbacks.searches:
            yield from self._recovered(task, self._fallbacks.went_well(task, event, request))

    def _failed(self, task: TaskState, call: facts.Call, row: Syscall, request: CallRequest) -> Event:
        probe = self._failed_calls.probes.get(call.tid)
        path = probe.descriptor.link if probe is not None and probe.descriptor is not None else ""
        event = self._failed_calls.failed(task, call, row, request)
        self.origins.touched(task.state.space, event.touched)
        if event.outcome == Outcome.REFUSED:
            self._fallbacks.refused(task, event, request, path)
            self._loading.refused(event, request)
        return event

    def _let_go_of_old(self, pending: Dict[int, Pending]) -> Iterator[Amendment]:
        """A program that is refused all day must not fill memory: of its oldest refusals, it has gone on."""
        while len(pending) > _MOST_PENDING:
            oldest = pending.pop(next(iter(pending)))
            if not oldest.recovered:
                yield _amendment(oldest, Aftermath.CONTINUED)

    def _recovered(self, task: TaskState, fallback: Optional[Fallback]) -> Iterator[Amendment]:
        """The program got another way what these calls were to give it: their story ends well, and now."""
        for n in fallback.events if fallback is not None else ():
            pending = task.process.pending.get(n)
            if pending is not None and pending.recovered:
                yield _amendment(pending, Aftermath.RECOVERED)

    # Signals

    def _signal(self, stop: facts.SignalStop) -> Iterator[Shown]:
        task = self._trace.tasks.get(stop.tid)
        if task is None:
            return
        if self._failed_calls.trapped(stop):
            # The filter's answer to the call, told with it.
            return
        yield from self._clear_up(stop.tid, stop)
        task.process.last_fault = stop
        refused = refused_behind(task.process.pending, stop.addr) if stop.code > 0 else None
        if refused is not None and not refused.faulted:
            yield fault_event(self._trace, task, stop)

    # Edges' own words

    def _named(self, fact: facts.Named) -> Iterator[Shown]:
        task = self._trace.tasks.get(fact.tid)
        if task is not None and fact.tid == task.process.pid:
            task.process.name = fact.comm
        return iter(())

    def _mode_changed(self, fact: facts.ModeChanged) -> Iterator[Shown]:
        task = self._trace.tasks.get(fact.tid)
        if task is not None:
            task.process.mode = fact.mode
        return iter(())

    def _keep_mapped(self, fact: facts.Mapped) -> Iterator[Shown]:
        self._failed_calls.mapped[fact.tid] = fact
        return iter(())

    def _keep_resynced(self, fact: facts.Resynced) -> Iterator[Shown]:
        if fact.why == "mismatch":
            state = self._trace.states.get(fact.space)
            if state is not None:
                state.space.resync(fact.start, fact.end, fact.lines)
        else:
            self._failed_calls.keep_resynced(fact)
        return iter(())

    def _keep_probe(self, fact: facts.Probe) -> Iterator[Shown]:
        self._failed_calls.probes[fact.tid] = fact
        return iter(())

    def _filter(self, fact: Any) -> Iterator[Shown]:
        if isinstance(fact, facts.FilterCode):
            self._policies.code(fact)
        elif isinstance(fact, facts.FilterInstalled):
            self._policies.installing(fact)
        else:
            self._policies.seen(fact)
        return iter(())

    def _stack_sampled(self, fact: facts.StackSampled) -> Iterator[Shown]:
        self._trace.sampled[fact.tid, fact.t_ns] = None
        return iter(())

    def _clear_up(self, tid: int, ending: Any) -> Iterator[Shown]:
        """The event of a call whose answer was not understood, and its stack if that came meanwhile."""
        for event in self._failed_calls.clear_up(tid, ending):
            yield event
            early = self._early_stacks.pop(tid, None)
            if early is not None:
                self._trace.sampled.pop((tid, early.t_ns), None)
                yield CallStack(event.n, tuple(early.frames))

    def _stack_read(self, fact: facts.StackRead) -> Iterator[Shown]:
        if self._failed_calls.undecided and self._failed_calls.waits_for(fact.tid, fact.t_ns):
            self._early_stacks[fact.tid] = fact
            return
        n = self._trace.sampled.pop((fact.tid, fact.t_ns), None)
        if n is not None:
            yield CallStack(n, tuple(fact.frames))

    def _keep_unloading(self, fact: facts.Unloading) -> Iterator[Shown]:
        self._loading.unloading(fact)
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


_HANDLERS: Dict[type, Callable[[Replay, Any], Iterator[Shown]]] = {
    facts.RunStarted: Replay._run_started,
    facts.TaskStarted: Replay._task_started,
    facts.Seeded: Replay._seeded,
    facts.TaskExited: Replay._task_exited,
    facts.SignalStop: Replay._signal,
    facts.ModeChanged: Replay._mode_changed,
    facts.Named: Replay._named,
    facts.Mapped: Replay._keep_mapped,
    facts.Resynced: Replay._keep_resynced,
    facts.Probe: Replay._keep_probe,
    facts.FilterCode: Replay._filter,
    facts.FilterInstalled: Replay._filter,
    facts.FiltersSeen: Replay._filter,
    facts.StackSampled: Replay._stack_sampled,
    facts.StackRead: Replay._stack_read,
    facts.Unloading: Replay._keep_unloading,
    facts.Verified: Replay._verified,
    facts.Mismatch: Replay._mismatch,
    facts.Dropped: Replay._dropped,
    facts.Lost: Replay._lost,
    facts.Note: Replay._note,
    facts.RunEnded: Replay._run_ended,
}


def _amendment(pending: Pending, aftermath: Aftermath, ending: Optional[Ending] = None) -> Amendment:
    return Amendment(pending.event.n, aftermath, tuple(pending.related), pending.event, pending.fallback, ending)


def _end_of_heap(fact: facts.Seeded) -> int:
    """At attach the exact break is nobody's to read; the end of [heap] is next to it."""
    ends = [line.end for line in fact.maps if line.path == "[heap]" and line.end > fact.start_brk]
    return max(ends, default=fact.start_brk)
