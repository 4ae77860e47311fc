"""Map-changing calls of one address space go into the kernel one after the other, unless they cannot meet.

waitpid does not return exit stops in the order in which the kernel did the calls, so two calls in flight at once
could be written down the wrong way round. A call whose order matters waits at its entry until those
before it have come back. Nothing is held in a space with one user, and nobody longer than `PATIENCE` (a mapping that
blocks in FUSE or userfaultfd, or a look at it that does).
"""

from __future__ import annotations

import time
from typing import List, Set

from wxtrace.live.procfs import stands_still
from wxtrace.live.task import Space, Task
from wxtrace.model.syscalls.row import EVERYTHING, Range

__all__ = ["PATIENCE", "MmOrder"]

PATIENCE = 0.05
"""Seconds after which a holder is passed by, and its space read again."""


class MmOrder:
    """Who may go into the kernel. Only bookkeeping: the caller resumes what is let through.

    `one_at_a_time`: however little two calls have to do with each other; for whoever compares whole maps.
    """

    def __init__(self, one_at_a_time: bool = False) -> None:
        self._one_at_a_time = one_at_a_time
        self._contested: Set[Space] = set()

    @property
    def contested(self) -> bool:
        """Whether anybody waits: then time matters."""
        return bool(self._contested)

    def enter(self, task: Task, space: Space, affected: Range) -> bool:
        """True when `task` may go on; else it waits, stopped, until `leave` or `overdue` names it."""
        # A stale map can only be read again while nobody changes it.
        task.affected = EVERYTHING if self._one_at_a_time or space.stale else affected
        if not space.queue and self._may_enter(task, space):
            space.holders[task] = time.monotonic()
            return True
        task.waiting = True
        space.queue.append(task)
        self._contested.add(space)
        return False

    def leave(self, task: Task, space: Space) -> List[Task]:
        """`task` is out of the kernel, or dead: whom to resume now."""
        if task.waiting:
            task.waiting = False
            space.queue.remove(task)
        space.passed.discard(task)
        space.holders.pop(task, None)
        return self._let_in(space)

    def overdue(self) -> List[Task]:
        """Let the next in where a holder has been in the kernel for too long; those spaces are stale from now."""
        freed: List[Task] = []
        now = time.monotonic()
        for space in list(self._contested):
            first = space.queue[0]
            for holder, since in list(space.holders.items()):
                if (
                    now - since > PATIENCE
                    and _overlap(holder.affected, first.affected)
                    and (holder.inquired or not stands_still(holder.tid))
                ):
                    space.stale = True
                    space.passed.add(holder)
                    del space.holders[holder]
            freed += self._let_in(space)
        return freed

    def _may_enter(self, task: Task, space: Space) -> bool:
        others = (holder for holder in space.holders if holder is not task)
        return not any(_overlap(holder.affected, task.affected) for holder in others)

    def _let_in(self, space: Space) -> List[Task]:
        """Those in front of the queue, in their order, until one has to wait on."""
        freed: List[Task] = []
        while space.queue and self._may_enter(space.queue[0], space):
            task = space.queue.popleft()
            task.waiting = False
            space.holders[task] = time.monotonic()
            freed.append(task)
        if not space.queue:
            self._contested.discard(space)
        return freed


def _overlap(one: Range, other: Range) -> bool:
    """Whether the order of these two could matter."""
    return one[0] < other[1] and other[0] < one[1]
