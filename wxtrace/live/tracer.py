"""The wait loop: every ptrace stop of every task, told apart by the kernel's word and answered.

Two modes a task. Accelerated: our seccomp filter stops only the traced calls. Full: every call stops, with our
filter still installed, so that an entry which reaches no seccomp stop proves that a foreign filter answered.
"""

from __future__ import annotations

import ctypes
import errno
import signal
from typing import TYPE_CHECKING, Callable, Dict, NamedTuple, Optional, Set, Tuple

from wxtrace.live import arch, ptrace
from wxtrace.live.arch.multiplexers import direct_call, shmat_result_address
from wxtrace.live.exits import Exits
from wxtrace.live.hotpath import HotPath
from wxtrace.live.inquiry import Inquiries
from wxtrace.live.leaving import settle
from wxtrace.live.lifecycle import Lifecycle
from wxtrace.live.mm_order import MmOrder
from wxtrace.live.observer import Observer
from wxtrace.live.procfs import read_memory
from wxtrace.live.recorder import Recorder
from wxtrace.live.seccomp import COOKIE
from wxtrace.live.stop_threads import ThreadStops
from wxtrace.live.task import Task
from wxtrace.live.traced import affected_range, bound_siblings, installs_filter, is_traced
from wxtrace.live.untraced import asks_for_untraced_child, set_untraced
from wxtrace.model.enumerations import WORD_SIZE
from wxtrace.model.facts import ModeChanged, SignalStop
from wxtrace.model.syscalls.table import NUMBERS, SYSCALLS

if TYPE_CHECKING:
    from wxtrace.live.restart import Interruptions

__all__ = ["Tracer"]

_FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS, signal.SIGABRT}
)
_SYS_SECCOMP = 1
"""si_code of a SIGSYS that a filter sent (sigaction(2))."""
_GROUP_STOPS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_NEW_TASKS = frozenset({ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE})
_BIRTH_NUMBERS = frozenset(number for row in SYSCALLS if row.makes_task for number in row.numbers.values())
_CLONE_NUMBERS = frozenset(table[name] for table in NUMBERS for name in ("clone", "clone3"))


class _Early(NamedTuple):
    """What is known of a child that has stopped, or died, before the event that tells of its birth."""

    status: int
    # Whose call may have made it. Once none of them can tell of it any more, nobody will.
    parents: Set[Task]


class Tracer:
    """Owns every tracee. `main` is the process whose end the front waits for."""

    def __init__(self, recorder: Recorder, observer: Observer, lifecycle: Lifecycle) -> None:
        self.recorder = recorder
        self.observer = observer
        self.lifecycle = lifecycle
        self.mm_order = MmOrder(one_at_a_time=recorder.watch is not None)
        self.tasks: Dict[int, Task] = lifecycle.tasks
        self.on_message: Optional[Callable[[Dict[str, object]], None]] = None
        self.detaching = False
        self.inquiries = Inquiries(recorder)
        self.thread_stops = ThreadStops(recorder, lifecycle, self.resume, self._full)
        self._exits = Exits(lifecycle, observer, self.thread_stops, self._forget_calls)
        self._hot = HotPath(recorder, self.mm_order, self.resume) if recorder.watch is None else None
        self._status = ctypes.c_int()
        self._early: Dict[int, _Early] = {}
        self._interruptions: Optional[Interruptions] = None

    def loop(self) -> None:
        """Until the last tracee is gone."""
        status, tasks, recorder = self._status, self.tasks, self.recorder
        address = ctypes.addressof(status)
        wait, wall, hot = ptrace.waitpid, ptrace.WALL, self._hot
        seccomp_stop, syscall_stop = ptrace.SECCOMP_STOP, ptrace.SYSCALL_STOP
        while tasks or self._early:
            if recorder.ticked:
                self._tick()
                if self.detaching:
                    break
            tid = wait(-1, address, wall)
            if tid <= 0:
                if ctypes.get_errno() == errno.ECHILD:
                    break
                continue
            stop = status.value
            if hot is not None:
                task = tasks.get(tid)
                if task is not None and (
                    (stop == seccomp_stop and hot.entered(task))
                    or (stop == syscall_stop and (hot.passed(task) if task.full else hot.left(task)))
                ):
                    continue
            self._dispatch(tid, stop)

    def _dispatch(self, tid: int, status: int) -> None:
        task = self.tasks.get(tid)
        if task is None:
            known = self._early.get(tid)
            parents = known.parents if known is not None else {task for task in self.tasks.values() if task.forking}
            self._early[tid] = _Early(status, parents)
            if not parents:
                self._adopt(tid)
            return
        try:
            if status == ptrace.SECCOMP_STOP:
                self._seccomp_stop(task)
            elif status == ptrace.SYSCALL_STOP:
                self._syscall_stop(task)
            elif status == ptrace.EXIT_STOP:
                self._exits.stopped(task)
            elif status & 0xFF == 0x7F:
                self._other_stop(task, status)
            else:
                self._exits.died(task, status)
        except ptrace.TaskGone:
            # Killed out of its stop: the wait status that says so is on its way.
            pass

    def resume(self, task: Task, number: int = 0) -> None:
        """Let a stopped task run on, delivering signal `number`, unless its process is being stopped."""
        if task.at_exit:
            self._exits.stopped(task)
            return
        if task.thread_stop is not None:
            self.thread_stops.park(task, number)
            return
        if self.detaching:
            task.released = True
            ptrace.raw_request(ptrace.PTRACE_CONT, task.tid, 0, number)
            return
        how = ptrace.PTRACE_SYSCALL if task.full or task.info is not None else ptrace.PTRACE_CONT
        ptrace.raw_request(how, task.tid, 0, number)

    def _seccomp_stop(self, task: Task) -> None:
        info = ptrace.syscall_info(task.tid)
        if info.ret_data != COOKIE or not is_traced(arch.ABI_OF.get(info.arch), info.number, info.args):
            # Another tracer's RET_TRACE: without that tracer the kernel would answer ENOSYS (kernel/seccomp.c).
            ptrace.request(ptrace.PTRACE_POKEUSER, task.tid, arch.CALL_NUMBER, (1 << 64) - 1)
            ptrace.request(ptrace.PTRACE_POKEUSER, task.tid, arch.RESULT, (1 << 64) - errno.ENOSYS)
            self.resume(task)
            return
        task.reached_kernel = True
        if task.info is None:
            self._enter(task, info)
        else:
            self.resume(task)

    def _syscall_stop(self, task: Task) -> None:
        info = ptrace.syscall_info(task.tid)
        if info.op == ptrace.OP_EXIT:
            if task.info is not None:
                self._leave(task, info.result)
            else:
                if task.thread_stop is not None:
                    self._undo_interrupt(task)
                self.resume(task)
            return
        task.info = None
        task.reached_kernel = False
        if info.op == ptrace.OP_ENTRY and is_traced(arch.ABI_OF.get(info.arch), info.number, info.args):
            self._enter(task, info)
        else:
            self.resume(task)

    def _enter(self, task: Task, info: ptrace.SyscallInfo) -> None:
        """A traced call stands before the kernel's door."""
        abi, number = arch.ABI_OF[info.arch], info.number
        task.info = (abi, number, info.args)
        task.forking = number in _BIRTH_NUMBERS
        if number in _CLONE_NUMBERS and task.filtered and asks_for_untraced_child(task.tid, number, info.args):
            set_untraced(task.tid, abi, number, info.args, False)
            task.hides_untraced = True
        if installs_filter(abi, number, info.args):
            self.thread_stops.let_filter_in(task)
            return
        affected = affected_range(abi, number, info.args) if task.space.users > 1 else None
        if affected is not None and not self.mm_order.enter(task, task.space, affected):
            self.recorder.arm()
            self.thread_stops.need_not_wait_for(task)
            return
        self.resume(task)

    def _leave(self, task: Task, result: int) -> None:
        """A traced call came back."""
        assert task.info is not None
        abi, number, args = task.info
        if task.hides_untraced:
            task.hides_untraced = False
            set_untraced(task.tid, abi, number, args, True)
        if abi != arch.NATIVE:
            real = direct_call(abi, number, args, lambda at, size: read_memory(task.tid, at, size))
            where = shmat_result_address(abi, number, args)
            if where is not None and result == 0:
                word = read_memory(task.tid, where, WORD_SIZE[abi])
                result = int.from_bytes(word, "little") if word else 0
            if real is not None:
                number, args = real
        steps = self.observer.finished(task, abi, number, args, result) if task.recording else None
        if steps is None:
            self._left(task, abi, number, args, result)
        else:
            self.inquiries.pursue(task, steps, lambda: self._left(task, abi, number, args, result))

    def _left(self, task: Task, abi: int, number: int, args: Tuple[int, ...], result: int) -> None:
        """It is written down, and the task may go on."""
        task.info = None
        self._no_longer_forks(task)
        binds_siblings = installs_filter(abi, number, args)
        if binds_siblings is not None and result >= 0:
            self._full(task, "it installed a seccomp filter")
        self._leave_mm_order(task)
        if self.thread_stops:
            self.thread_stops.came_back(task, bound_siblings(abi, number, args, result))
        self.resume(task)

    def _full(self, task: Task, why: str) -> None:
        if not task.full:
            task.full = True
            self.recorder.fact(ModeChanged(task.tid, "full", why))

    def _leave_mm_order(self, task: Task) -> None:
        if task in task.space.holders or task.waiting or task in task.space.passed:
            for freed in self.mm_order.leave(task, task.space):
                self.resume(freed)

    def _other_stop(self, task: Task, status: int) -> None:
        event, number = status >> 16, status >> 8 & 0xFF
        if event in _NEW_TASKS:
            self._birth(task, event)
        elif event == ptrace.EVENT_EXEC:
            self._exec(task)
        elif event == ptrace.EVENT_STOP:
            self._event_stop(task, number)
        elif event:
            self.resume(task)
        else:
            if number in _FAULTS and task.recording:
                self._fault(task)
            self.resume(task, number)

    def _birth(self, task: Task, event: int) -> None:
        tid = ptrace.event_message(task.tid)
        if tid not in self.tasks:
            child = self.lifecycle.born(task, event, tid)
            self.thread_stops.joined_by(task, child)
        self._leave_mm_order(task)
        early = self._early.pop(tid, None)
        self._no_longer_forks(task)
        if early is not None:
            self._dispatch(tid, early.status)
        self.resume(task)

    def _no_longer_forks(self, task: Task) -> None:
        if not task.forking:
            return
        task.forking = False
        for tid, early in list(self._early.items()):
            early.parents.discard(task)
            if not early.parents:
                self._adopt(tid)

    def _adopt(self, tid: int) -> None:
        """A child whose parent was killed before it could tell of it would stand still for ever."""
        early = self._early.pop(tid)
        if early.status == ptrace.EXIT_STOP:
            ptrace.raw_request(ptrace.PTRACE_DETACH, tid, 0, 0)
        elif early.status & 0xFF == 0x7F:
            self.lifecycle.adopt(tid)
            self._dispatch(tid, early.status)

    def _exec(self, task: Task) -> None:
        """Every other thread of the process is gone. Of the leader, whose name this one has now, nothing else tells."""
        self._forget_calls(task)
        former = ptrace.event_message(task.tid)
        if former in self.tasks and former != task.tid:
            self._forget_calls(self.tasks[former])
        self.thread_stops.will_not_come_back(task)
        self.resume(self.lifecycle.executed(task, former))

    def _forget_calls(self, task: Task) -> None:
        """Whatever this task was in the middle of will never come back."""
        self.inquiries.forget(task)
        if self._hot is not None:
            self._hot.forget(task.tid)
        self._leave_mm_order(task)
        self._no_longer_forks(task)

    def _undo_interrupt(self, task: Task) -> None:
        """Our PTRACE_INTERRUPT must not show in what the program's calls return."""
        if self._interruptions is None:
            from wxtrace.live.restart import Interruptions

            self._interruptions = Interruptions(self.recorder)
        self._interruptions.undo(task.tid)

    def _event_stop(self, task: Task, number: int) -> None:
        # It is on its way back to the program, so in no call.
        self._no_longer_forks(task)
        if number not in _GROUP_STOPS:
            if task.group_stopped:
                task.group_stopped = False
                self.lifecycle.group_continued(task)
            else:
                self._undo_interrupt(task)
            self.resume(task)
            return
        task.group_stopped = True
        self.lifecycle.group_stopped(task)
        ptrace.raw_request(ptrace.PTRACE_LISTEN, task.tid, 0, 0)
        self.thread_stops.need_not_wait_for(task)

    def _fault(self, task: Task) -> None:
        # Not at the start: construct takes as long to import as the program takes to run.
        from wxtrace.decoders.siginfo import SIGINFO_SIZE, decode_siginfo
        from wxtrace.live.arch.registers import instruction_pointer, registers, stack_pointer

        info = decode_siginfo(ptrace.siginfo(task.tid, SIGINFO_SIZE))
        regs = registers(task.tid)
        line = None
        if info.addr is not None:
            try:
                # While somebody has the map locked, that may be for as long as this task stands here.
                if not task.space.in_use_beside(task):
                    line = task.space.maps_file(task.tid).at(info.addr)
            except OSError:
                pass
        if (info.signo, info.code) == (signal.SIGSYS, _SYS_SECCOMP) and task.info is None and task.recording:
            self.observer.trapped_in_call(task)
        self.recorder.fact(
            SignalStop(
                task.tid,
                self.recorder.now(),
                info.signo,
                info.code,
                info.addr,
                info.sender,
                instruction_pointer(regs),
                stack_pointer(regs),
                info.syscall,
                line,
            )
        )

    def detach_all(self) -> None:
        """Let everybody go: the kernel does it when this process ends (leaving.py)."""
        self.detaching = True
        self.observer.verifies = False
        self.thread_stops.let_all_go()
        for task in list(self.tasks.values()):
            if task.waiting:
                self._leave_mm_order(task)
                self.resume(task)
        settle(self.tasks.values, self._dispatch)
        if self._interruptions is not None:
            self._interruptions.tell()
        for task in list(self.tasks.values()):
            self.lifecycle.let_go(task)
        self._early.clear()

    def _tick(self) -> None:
        """What is due by time: the batch, waiting threads, the front's words."""
        recorder = self.recorder
        recorder.ticked = False
        # Before the unwinder is looked at: an answer may be its first sample.
        self.inquiries.collect()
        unwinder = self.observer.unwinder
        if unwinder is not None:
            unwinder.collect()
        if self._interruptions is not None and not self.thread_stops:
            self._interruptions.tell()
        recorder.flush()
        for freed in self.mm_order.overdue():
            self.resume(freed)
        self.thread_stops.check()
        for message in recorder.heard():
            if self.on_message is not None:
                self.on_message(message)
        unwinding = unwinder is not None and unwinder.busy
        if not (
            recorder.journal.pending or self.mm_order.contested or self.thread_stops or self.inquiries or unwinding
        ):
            recorder.disarm()
