"""Threads held until a filter has come back that binds them, or until all were read (attach).

Switching to full mode has one safe order: hold every thread that the filter will bind, let the call in, and resume
them in full mode once it has come back. Interrupting the siblings afterwards loses most refusals of the first moments.
Any ptrace stop cancels a pending PTRACE_INTERRUPT, so whatever stop comes first counts as the answer.
"""

from __future__ import annotations

import time
from typing import Callable, Dict, Iterable, List, Optional, Set, Tuple

from wxtrace.live import ptrace
from wxtrace.live.lifecycle import Lifecycle
from wxtrace.live.procfs import is_dead
from wxtrace.live.recorder import Recorder
from wxtrace.live.task import Task
from wxtrace.live.traced import installs_filter

__all__ = ["PATIENCE", "ThreadStop", "ThreadStops"]

PATIENCE = 1.0
"""Seconds to wait for a thread that does not stop (it sits in an uninterruptible call)."""


class ThreadStop:
    """A set of tasks that are being stopped, and the one that waits for it (None at attach)."""

    def __init__(self, waiting_for: Iterable[Task], then: Optional[Task]) -> None:
        self.then = then
        self.members: List[Task] = list(waiting_for)
        self._running: Set[int] = {task.tid for task in self.members if not task.waiting and not _ended(task)}
        self._parked: Dict[int, Tuple[Task, int]] = {}
        self._since = time.monotonic()
        self._over = False

    def begin(self) -> None:
        """Ask every running member to stop."""
        for task in self.members:
            task.thread_stop = self
            if task.tid in self._running and not task.group_stopped:
                try:
                    ptrace.request(ptrace.PTRACE_INTERRUPT, task.tid)
                except (ptrace.TaskGone, OSError):
                    self._running.discard(task.tid)
            elif task.group_stopped:
                self._running.discard(task.tid)

    def join(self, task: Task) -> None:
        """A thread that a member has just made: the filter binds it too. It is about to stop for the first time."""
        self.members.append(task)
        self._running.add(task.tid)
        task.thread_stop = self

    def park(self, task: Task, signal: int) -> None:
        """`task` stands still; it will be resumed with `signal` at the end."""
        self._running.discard(task.tid)
        self._parked[task.tid] = (task, signal)

    def drop(self, task: Task) -> None:
        """`task` died, sits in a group stop or waits its turn (MmOrder): nobody waits for it."""
        self._running.discard(task.tid)
        self._parked.pop(task.tid, None)

    @property
    def let_in(self) -> bool:
        """Whether the one that waited was let go on."""
        return self._over

    @property
    def still(self) -> bool:
        """Whether everybody stands, or waiting longer makes no sense. True once only."""
        if self._over or (self._running and time.monotonic() - self._since < PATIENCE):
            return False
        self._over = True
        return True

    def release(self) -> List[Tuple[Task, int]]:
        """The members to resume, each with its signal. Who has not stopped yet still will."""
        for task in self.members:
            if task.thread_stop is self and task.tid not in self._running:
                task.thread_stop = None
        return list(self._parked.values())


def _ended(task: Task) -> bool:
    return task.tid == task.pid and is_dead(task.tid)


class ThreadStops:
    """Begins, watches and ends them. `resume` lets a task run on; `go_full` switches one to full mode, and says why."""

    def __init__(
        self,
        recorder: Recorder,
        lifecycle: Lifecycle,
        resume: Callable[[Task, int], None],
        go_full: Callable[[Task, str], None],
    ) -> None:
        self._recorder = recorder
        self._lifecycle = lifecycle
        self._resume = resume
        self._go_full = go_full
        self._on_still: Optional[Callable[[], None]] = None
        self._open: List[ThreadStop] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    def let_filter_in(self, task: Task) -> None:
        """Once its threads stand still; after the other filter's turn, if one of them is about to install its own."""
        self._answered_late(task)
        others = self._lifecycle.others(task)
        if others and task.thread_stop is None:
            self._hold(ThreadStop(others, task))
        else:
            self._resume(task, 0)

    def hold_all(self, then: Callable[[], None]) -> None:
        """Stop every task, call `then`, and let them run."""
        self._on_still = then
        self._hold(ThreadStop([task for task in self._lifecycle.tasks.values() if not task.ended], None))

    def park(self, task: Task, number: int) -> None:
        """A task that is held would run on now, and signal `number` be delivered: it stays."""
        if self._answered_late(task):
            self._resume(task, number)
            return
        assert task.thread_stop is not None
        task.thread_stop.park(task, number)
        self._check(task.thread_stop)

    def joined_by(self, parent: Task, child: Task) -> None:
        """A thread was born to one that is held."""
        if parent.thread_stop is not None and child.pid == parent.pid:
            parent.thread_stop.join(child)

    def need_not_wait_for(self, task: Task) -> None:
        """It sits in a group stop, or waits its turn (MmOrder)."""
        if task.thread_stop is not None and not self._answered_late(task):
            task.thread_stop.drop(task)
            self._check(task.thread_stop)

    def came_back(self, task: Task, bound_siblings: bool) -> None:
        """The filter that others were held for is in force for them, or not at all."""
        for thread_stop in self._waited_for_by(task):
            if bound_siblings:
                for member in thread_stop.members:
                    if member.info is not None:
                        # It stands at a seccomp stop, behind which the filters are run once more (seccomp(2)).
                        member.reached_kernel = None
                    self._go_full(member, "a sibling thread installed a seccomp filter for all")
            self._let_go(thread_stop)

    def will_not_come_back(self, task: Task) -> None:
        """Its call ended with it, or with its program."""
        for thread_stop in self._waited_for_by(task):
            self._let_go(thread_stop)

    def died(self, task: Task) -> None:
        """Nobody waits for it any more, nor it for anybody."""
        for thread_stop in list(self._open):
            thread_stop.drop(task)
            if thread_stop.then is task:
                self._let_go(thread_stop)
            else:
                self._check(thread_stop)

    def _answered_late(self, task: Task) -> bool:
        """Whether this is the stop of a thread that was not waited for to the end."""
        if task.thread_stop is None or task.thread_stop in self._open:
            return False
        task.thread_stop = None
        return True

    def check(self) -> None:
        """Whether those that were waited for long enough may end."""
        for thread_stop in list(self._open):
            self._check(thread_stop)

    def let_all_go(self) -> None:
        """End every one of them."""
        held = [pair for thread_stop in self._open for pair in thread_stop.release()]
        held += [
            (thread_stop.then, 0)
            for thread_stop in self._open
            if thread_stop.then is not None and not thread_stop.let_in
        ]
        self._open.clear()
        for task, number in held:
            self._resume(task, number)

    def _waited_for_by(self, task: Task) -> List[ThreadStop]:
        return [thread_stop for thread_stop in self._open if thread_stop.then is task]

    def _hold(self, thread_stop: ThreadStop) -> None:
        self._open.append(thread_stop)
        self._recorder.arm()
        thread_stop.begin()
        self._check(thread_stop)

    def _check(self, thread_stop: ThreadStop) -> None:
        if not thread_stop.still:
            return
        if thread_stop.then is not None:
            # The filter may be let in; its threads wait until it has come back.
            ptrace.raw_request(ptrace.PTRACE_SYSCALL, thread_stop.then.tid, 0, 0)
            return
        if self._on_still is not None:
            self._on_still()
        self._let_go(thread_stop)

    def _let_go(self, thread_stop: ThreadStop) -> None:
        if thread_stop in self._open:
            self._open.remove(thread_stop)
            for task, number in thread_stop.release():
                if task.info is not None and installs_filter(*task.info):
                    self.let_filter_in(task)
                else:
                    self._resume(task, number)
