"""Who lives in the story: processes with their images and threads, tasks, and the spaces they share."""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import Dict, List, Optional, Tuple, TypeVar

from wxtrace.model.causes.context import Installed
from wxtrace.model.event import Event, Fallback
from wxtrace.model.facts import Image, SignalStop
from wxtrace.model.filters import SeenFilters
from wxtrace.model.known import Known
from wxtrace.model.space import AddressSpace

__all__ = ["Pending", "Process", "Roll", "SpaceState", "TaskState"]

_Member = TypeVar("_Member")


class Roll(List[_Member]):
    """Everybody so far, in order: nobody leaves it, and who is gone changes no more (see model/checkpoint.py)."""


class SpaceState:
    """An address space with what belongs to the mm beside its map."""

    def __init__(self, space: AddressSpace, parent: Optional[int], forked_at: Optional[int]) -> None:
        self.space = space
        self.parent = parent
        self.forked_at = forked_at
        self.users = 0
        # PR_SET_MDWE belongs to the mm: its bits (None when unknown), the event that set them, and who called.
        self.mdwe: Optional[int] = None
        self.mdwe_by: Optional[int] = None
        self.mdwe_who = ""
        # Set by the program itself, since it was started.
        self.mdwe_own = False
        self.known = Known()


class Pending:
    """A refused call, or a fault, whose end for the program is not known yet."""

    def __init__(self, event: Event, process: Process) -> None:
        self.event = event
        self.related: List[int] = []
        self.faulted = False
        self.fallback: Optional[Fallback] = None
        self._process = process
        self._succeeded_before = process.succeeded
        self._calls_before = process.calls

    @property
    def recovered(self) -> bool:
        """Whether the program got what it wanted another way, and never used what it did not get."""
        return self.fallback is not None and self.fallback.worked is not None and not self.faulted

    @property
    def later_successes(self) -> int:
        """How many traced calls of the process have succeeded since."""
        return self._process.succeeded - self._succeeded_before

    @property
    def later_calls(self) -> int:
        """How many traced calls of the process have come back since, or not."""
        return self._process.calls - self._calls_before


class Process:
    """One thread group, over all its execs."""

    def __init__(self, id: int, pid: int, parent: Optional[int]) -> None:
        self.id = id
        self.pid = pid
        self.parent = parent
        self.spaces: List[int] = []
        self.images: List[Tuple[int, Image]] = []
        # The events of these, for looking one up.
        self._since: List[int] = []
        self.threads: List[int] = []
        self.mode = "accelerated"
        self.name = ""
        self.exit_code: Optional[int] = None
        self.exit_signal: Optional[int] = None
        self.ended = False
        self.let_go = False
        # Traced calls: those that succeeded, and all.
        self.succeeded = 0
        self.calls = 0
        self.pending: Dict[int, Pending] = {}
        self.last_fault: Optional[SignalStop] = None

    @property
    def title(self) -> str:
        """What people call it: the name it gave itself, the Windows program that Wine runs, or its comm."""
        if self.name or not self.images:
            return self.name
        return self._title_of(self.images[-1][1])

    def title_at(self, n: int) -> str:
        """The same as it was at event `n`: a process may have run other programs before."""
        known = self.images_at(n)
        return self.title if known in (0, len(self.images)) else self._title_of(self.images[known - 1][1])

    def images_at(self, n: int) -> int:
        """How many programs it had run by event `n`."""
        if not self.images or self.images[-1][0] <= n:
            return len(self.images)
        if len(self._since) != len(self.images):
            self._since = [since for since, _ in self.images]
        return bisect_right(self._since, n)

    @staticmethod
    def _title_of(image: Image) -> str:
        if "wine" in image.exe.rpartition("/")[2]:
            windows = next((word for word in image.argv[1:] if word.lower().endswith(".exe")), "")
            if windows:
                return windows.replace("\\", "/").rpartition("/")[2]
        # The kernel keeps 15 bytes of a name (TASK_COMM_LEN).
        whole = image.exe.rpartition("/")[2]
        return whole if len(os.fsencode(image.comm)) == 15 and whole.startswith(image.comm) else image.comm


class TaskState:
    """One thread."""

    def __init__(self, tid: int, process: Process, state: SpaceState) -> None:
        self.tid = tid
        self.process = process
        self.state = state
        # Oldest first.
        self.filters: Tuple[Installed, ...] = ()
        self.seen_filters: Optional[SeenFilters] = None
