"""The end of threads and processes.

The zombie of a tracee is its tracer's until that has reaped it: a parent that polls a pidfd and then waits with
WNOHANG would find nothing (kernel/exit.c: wait_consider_task). So a thread is let go at PTRACE_EVENT_EXIT, where it
will make no call any more, and the kernel does the rest as if nobody had traced it. What there is to know of that:

- The event's message is what this thread exits with; of a process, only what its last thread says counts.
- A leader may end first. Its number stays taken until the group is gone, and a thread that executes goes on under it
  (fs/exec.c: de_thread), so it stays in `tasks`.
- A thread that SIGKILL reaches on its way out does not stop, or leaves the stop again (kernel/signal.c: ptrace_stop).
  Its wait status follows then.
"""

from __future__ import annotations

import os
import signal
from typing import Callable, Optional

from wxtrace.decoders import DecodeError
from wxtrace.decoders.proctext import Stat, parse_stat
from wxtrace.live import arch, ptrace
from wxtrace.live.lifecycle import Lifecycle
from wxtrace.live.observer import Observer
from wxtrace.live.procfs import read_proc
from wxtrace.live.stop_threads import ThreadStops
from wxtrace.live.task import Task

__all__ = ["Exits"]


class Exits:
    """Lets go of whoever ends, and tells of it. `forget_calls`: what the task was in the middle of never comes back."""

    def __init__(
        self, lifecycle: Lifecycle, observer: Observer, thread_stops: ThreadStops, forget_calls: Callable[[Task], None]
    ) -> None:
        self._lifecycle = lifecycle
        self._observer = observer
        self._thread_stops = thread_stops
        self._forget_calls = forget_calls

    def stopped(self, task: Task) -> None:
        """At PTRACE_EVENT_EXIT. Raises TaskGone when it was killed out of that stop: its wait status follows."""
        status = ptrace.event_message(task.tid)
        last = not self._lifecycle.others(task)
        is_leader = task.tid == task.pid
        stat = None
        if last or is_leader:
            # Before it is let go: then its parent may reap it, and the number be another's.
            stat = _stat(task.pid)
            # A thread killed within exec had taken the leader's number, and nothing tells of its own.
            last = last or (stat is not None and stat.threads == 1)
        if last and stat is not None:
            status = _status_of_process(task, status, stat)
        if status & 0x7F == signal.SIGSYS and task.info is None and task.recording:
            self._observer.killed_in_call(task)
        self._unfinished(task)
        ptrace.request(ptrace.PTRACE_DETACH, task.tid)
        leader = self._lifecycle.tasks.get(task.pid)
        if last:
            for other in self._lifecycle.others(task):
                self._buried(other, status)
        if not is_leader:
            self._buried(task, status)
        if leader is None:
            return
        if last and not self._is_our_child(leader, stat):
            self._buried(leader, status)
        elif is_leader and not task.ended:
            # Its end is told with that of its last thread, or, of our own child, by its wait status.
            self._done_with(task)
            self._lifecycle.leader_ended(task)

    def died(self, task: Task, status: int) -> None:
        """By its wait status: our own child, or one that was killed on its way out."""
        self._unfinished(task)
        others = self._lifecycle.others(task)
        self._buried(task, status)
        if task.tid == task.pid:
            # A leader's death is told last. A thread killed within exec had its number taken away before, and nothing
            # tells of that (kernel/exit.c:delay_group_leader, fs/exec.c:de_thread).
            for other in others:
                self._buried(other, status)
        elif not others:
            leader = self._lifecycle.tasks.get(task.pid)
            if leader is not None and leader.ended and not self._is_our_child(leader, _stat(leader.pid)):
                self._buried(leader, status)

    def _is_our_child(self, leader: Task, stat: Optional[Stat]) -> bool:
        """The program itself, or what it made with CLONE_PARENT: its zombie is for us to reap."""
        return leader.pid == self._lifecycle.launched or (stat is not None and stat.parent == os.getpid())

    def _unfinished(self, task: Task) -> None:
        if task.inquired:
            # It came back, and was only not written down yet.
            self._forget_calls(task)
        elif task.info is not None and task.recording:
            self._observer.unfinished(task, *task.info)
            if task in task.space.holders:
                # Nobody knows whether the call was done; whoever shares the space has to look.
                task.space.stale = True
        task.info = None

    def _buried(self, task: Task, status: int) -> None:
        self._done_with(task)
        self._lifecycle.gone(task, status)

    def _done_with(self, task: Task) -> None:
        self._forget_calls(task)
        self._thread_stops.died(task)


def _status_of_process(task: Task, message: int, stat: Stat) -> int:
    """The wait status of a process whose last thread stops here, as its parent will get it.

    All threads that a group exit or a signal ends have its code (kernel/exit.c: do_group_exit). Where the last one
    called exit itself, /proc/PID/stat knows whether others did more: since Linux 5.17 the process's status, before that
    the leader's own (fs/proc/array.c: do_task_stat).
    """
    if task.tid == task.pid:
        return stat.exit_code or message
    return message if message & 0x7F or not _calls_exit(task.tid) else stat.exit_code


def _calls_exit(tid: int) -> bool:
    """Whether the thread ends by exit(2), which ends no other."""
    abi = arch.ABI_OF.get(ptrace.syscall_info(tid).arch)
    return abi is not None and ptrace.user_word(tid, arch.CALL_NUMBER) == arch.CONVENTIONS[abi].exit


def _stat(pid: int) -> Optional[Stat]:
    try:
        return parse_stat(read_proc(pid, "stat", 8192))
    except DecodeError:
        return None
