"""Holding every thread that a new seccomp filter will bind, before the filter is let in.

Interrupting the siblings afterwards loses most refusals of the first moments; any ptrace stop cancels a pending
PTRACE_INTERRUPT, so whatever stop comes first counts as the answer.
"""

from __future__ import annotations

import time
from typing import Dict, Iterable, List, Optional, Set, Tuple

from wxtrace.live import ptrace
from wxtrace.live.procfs import is_dead
from wxtrace.live.task import Task

__all__ = ["PATIENCE", "Quiesce"]

PATIENCE = 1.0
"""Seconds to wait for a thread that does not stop (it sits in an uninterruptible call)."""


class Quiesce:
    """A set of tasks on their way to a standstill, and the one that waits for it (None at attach)."""

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
            task.quiesce = self
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
        task.quiesce = self

    def park(self, task: Task, signal: int) -> None:
        """`task` stands still; it will be resumed with `signal` at the end."""
        self._running.discard(task.tid)
        self._parked[task.tid] = (task, signal)

    def drop(self, task: Task) -> None:
        """`task` died, sits in a group stop or stands at the gate: nobody waits for it."""
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
            if task.quiesce is self and task.tid not in self._running:
                task.quiesce = None
        return list(self._parked.values())


def _ended(task: Task) -> bool:
    return task.tid == task.pid and is_dead(task.tid)
