"""Standstills in progress: threads held until a filter has come back that binds them, or until all were read (attach).

Switching to full mode has one safe order: hold every thread that the filter will bind, let the call in, and resume
them in full mode once it has come back.
"""

from __future__ import annotations

from typing import Callable, List, Optional

from wxtrace.live import ptrace
from wxtrace.live.lifecycle import Lifecycle
from wxtrace.live.quiesce import Quiesce
from wxtrace.live.recorder import Recorder
from wxtrace.live.task import Task
from wxtrace.live.traced import installs_filter

__all__ = ["Standstills"]


class Standstills:
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
        self._open: List[Quiesce] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    def let_filter_in(self, task: Task) -> None:
        """Once its threads stand still; after the other filter's turn, if one of them is about to install its own."""
        self._answered_late(task)
        others = self._lifecycle.others(task)
        if others and task.quiesce is None:
            self._hold(Quiesce(others, task))
        else:
            self._resume(task, 0)

    def hold_all(self, then: Callable[[], None]) -> None:
        """Bring every task to a standstill, call `then`, and let them run."""
        self._on_still = then
        self._hold(Quiesce([task for task in self._lifecycle.tasks.values() if not task.ended], None))

    def park(self, task: Task, number: int) -> None:
        """A task that is held would run on now, and signal `number` be delivered: it stays."""
        if self._answered_late(task):
            self._resume(task, number)
            return
        assert task.quiesce is not None
        task.quiesce.park(task, number)
        self._check(task.quiesce)

    def joined_by(self, parent: Task, child: Task) -> None:
        """A thread was born to one that is held."""
        if parent.quiesce is not None and child.pid == parent.pid:
            parent.quiesce.join(child)

    def need_not_wait_for(self, task: Task) -> None:
        """It sits in a group stop, or stands at the gate."""
        if task.quiesce is not None and not self._answered_late(task):
            task.quiesce.drop(task)
            self._check(task.quiesce)

    def came_back(self, task: Task, bound_siblings: bool) -> None:
        """The filter that others were held for is in force for them, or not at all."""
        for quiesce in self._waited_for_by(task):
            if bound_siblings:
                for member in quiesce.members:
                    if member.info is not None:
                        # It stands at a seccomp stop, behind which the filters are run once more (seccomp(2)).
                        member.reached_kernel = None
                    self._go_full(member, "a sibling thread installed a seccomp filter for all")
            self._let_go(quiesce)

    def will_not_come_back(self, task: Task) -> None:
        """Its call ended with it, or with its program."""
        for quiesce in self._waited_for_by(task):
            self._let_go(quiesce)

    def died(self, task: Task) -> None:
        """Nobody waits for it any more, nor it for anybody."""
        for quiesce in list(self._open):
            quiesce.drop(task)
            if quiesce.then is task:
                self._let_go(quiesce)
            else:
                self._check(quiesce)

    def _answered_late(self, task: Task) -> bool:
        """Whether this is the stop of a thread that was not waited for to the end."""
        if task.quiesce is None or task.quiesce in self._open:
            return False
        task.quiesce = None
        return True

    def check(self) -> None:
        """Whether those that were waited for long enough may end."""
        for quiesce in list(self._open):
            self._check(quiesce)

    def let_all_go(self) -> None:
        """End every one of them."""
        held = [pair for quiesce in self._open for pair in quiesce.release()]
        held += [(quiesce.then, 0) for quiesce in self._open if quiesce.then is not None and not quiesce.let_in]
        self._open.clear()
        for task, number in held:
            self._resume(task, number)

    def _waited_for_by(self, task: Task) -> List[Quiesce]:
        return [quiesce for quiesce in self._open if quiesce.then is task]

    def _hold(self, quiesce: Quiesce) -> None:
        self._open.append(quiesce)
        self._recorder.arm()
        quiesce.begin()
        self._check(quiesce)

    def _check(self, quiesce: Quiesce) -> None:
        if not quiesce.still:
            return
        if quiesce.then is not None:
            # The filter may be let in; its threads wait until it has come back.
            ptrace.raw_request(ptrace.PTRACE_SYSCALL, quiesce.then.tid, 0, 0)
            return
        if self._on_still is not None:
            self._on_still()
        self._let_go(quiesce)

    def _let_go(self, quiesce: Quiesce) -> None:
        if quiesce in self._open:
            self._open.remove(quiesce)
            for task, number in quiesce.release():
                if task.info is not None and installs_filter(*task.info):
                    self.let_filter_in(task)
                else:
                    self._resume(task, number)
