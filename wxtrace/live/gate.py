"""One map-changing call at a time in each address space.

waitpid does not return exit stops in the order in which the kernel did the calls, so two calls in flight at once
could be written down the wrong way round. A second one waits at its entry until the first has come back. Nothing
is held in a space with one user, and nobody longer than `PATIENCE` (a mapping that blocks in FUSE or userfaultfd).
"""

from __future__ import annotations

import time
from typing import List, Set

from wxtrace.live.procfs import stands_still
from wxtrace.live.task import Space, Task

__all__ = ["PATIENCE", "Gate"]

PATIENCE = 0.05
"""Seconds after which a holder is passed by, and its space read again."""


class Gate:
    """Who may go into the kernel. Only bookkeeping: the caller resumes what is let through."""

    def __init__(self) -> None:
        self._contested: Set[Space] = set()

    @property
    def contested(self) -> bool:
        """Whether anybody waits: then time matters."""
        return bool(self._contested)

    def enter(self, task: Task, space: Space) -> bool:
        """True when `task` may go on; else it waits, stopped, until `leave` or `overdue` names it."""
        if space.holder is None or space.holder is task:
            space.holder = task
            space.held_since = time.monotonic()
            return True
        task.waiting = True
        space.queue.append(task)
        self._contested.add(space)
        return False

    def leave(self, task: Task, space: Space) -> List[Task]:
        """`task` is out of the kernel, or dead: whom to resume now (at most one)."""
        if task.waiting:
            task.waiting = False
            space.queue.remove(task)
        space.passed.discard(task)
        if space.holder is not task:
            return []
        return self._pass_on(space)

    def overdue(self) -> List[Task]:
        """Let the next in where a holder has been in the kernel for too long; those spaces are stale from now."""
        freed = []
        now = time.monotonic()
        for space in list(self._contested):
            holder = space.holder
            if now - space.held_since > PATIENCE and holder is not None and not stands_still(holder.tid):
                space.stale = True
                space.passed.add(holder)
                freed += self._pass_on(space)
        return freed

    def _pass_on(self, space: Space) -> List[Task]:
        space.holder = None
        if not space.queue:
            self._contested.discard(space)
            return []
        task = space.queue.popleft()
        task.waiting = False
        space.holder = task
        space.held_since = time.monotonic()
        if not space.queue:
            self._contested.discard(space)
        return [task]
