"""What the tracer remembers of each task and each address space between two stops."""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Deque, Dict, Optional, Set, Tuple

from wxtrace.decoders.procmaps import MapLine
from wxtrace.live.procfs import MapsFile
from wxtrace.model.syscalls.row import EVERYTHING, Range

if TYPE_CHECKING:
    from wxtrace.live.stop_threads import ThreadStop

__all__ = ["MOST_OPEN_MAPS", "Space", "Task"]

MOST_OPEN_MAPS = 200
"""Spaces whose maps file is kept open. There may be more of them than descriptors, and most are idle."""

_with_open_maps: Dict[Space, None] = {}
"""In the order in which they were opened."""


class Space:
    """One mm: who uses it, and whose map-changing calls are in flight (see mm_order.py)."""

    __slots__ = ("brk", "holders", "id", "library", "maps", "passed", "queue", "stale", "unknown_to_forks", "users")

    def __init__(self, id: int) -> None:
        self.id = id
        self.users = 0
        # In the kernel with a call, since when (monotonic seconds).
        self.holders: Dict[Task, float] = {}
        self.queue: Deque[Task] = deque()
        # Whose call took too long to be waited for. From then on the map is stale, until it can be read again.
        self.passed: Set[Task] = set()
        self.stale = False
        # Whether parts of it were marked that a fork leaves out, and it is not known which.
        self.unknown_to_forks = False
        self.maps: Optional[MapsFile] = None
        self.brk: Optional[int] = None
        # The library that was mapped last: its start, and the line of its code (libraries.py).
        self.library: Optional[Tuple[int, Optional[MapLine]]] = None

    def in_use_beside(self, task: Task) -> bool:
        """Whether another task may be changing the map right now."""
        return not self.holders.keys() <= {task} or not self.passed <= {task}

    def maps_file(self, tid: int) -> MapsFile:
        """The maps file, kept open for a while. Raises OSError when the task is gone."""
        if self.maps is None:
            if len(_with_open_maps) >= MOST_OPEN_MAPS:
                next(iter(_with_open_maps)).close()
            try:
                self.maps = MapsFile(tid)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not _with_open_maps:
                    raise
                for space in list(_with_open_maps):
                    space.close()
                self.maps = MapsFile(tid)
            _with_open_maps[self] = None
        return self.maps

    def close(self) -> None:
        """Let go of the maps file: the mm was replaced, or the thread it was opened by died (ESRCH from then on)."""
        if self.maps is not None:
            self.maps.close()
            self.maps = None
            del _with_open_maps[self]


class Task:
    """One traced thread."""

    __slots__ = (
        "affected",
        "at_exit",
        "ended",
        "filtered",
        "forking",
        "full",
        "group_stopped",
        "hides_untraced",
        "info",
        "inquired",
        "personality",
        "pid",
        "reached_kernel",
        "recording",
        "released",
        "space",
        "thread_stop",
        "tid",
        "trapped_at",
        "waiting",
    )

    def __init__(self, tid: int, pid: int, space: Space) -> None:
        self.tid = tid
        self.pid = pid
        self.space = space
        self.full = False
        # Whether it runs on without stopping, until the tracer ends (leaving.py).
        self.released = False
        # A leader that ended before its process: kept for its number, which a thread may take over in exec.
        self.ended = False
        # Whether it stands at its last stop, and the main loop will not hear of it (inject.py).
        self.at_exit = False
        # Whether our own seccomp filter is in force: then an entry without a seccomp stop is a foreign answer.
        self.filtered = False
        self.recording = False
        # The instruction pointer at the last SIGSYS of a filter.
        self.trapped_at = 0
        # From the entry of a fork or clone to the event that tells of the child, or to the failure of the call.
        self.forking = False
        # The call in flight, from its seccomp or entry stop to its exit: (abi, number, args).
        self.info: Optional[Tuple[int, int, Tuple[int, ...]]] = None
        # True behind a seccomp stop of ours; None when nobody can tell who will answer.
        self.reached_kernel: Optional[bool] = False
        self.waiting = False
        # Whether it stands still at the end of a call until that was looked at (inquiry.py).
        self.inquired = False
        # Where its call changes the map.
        self.affected: Range = EVERYTHING
        self.thread_stop: Optional[ThreadStop] = None
        self.group_stopped = False
        # Whether the clone in flight had asked for an untraced child (untraced.py).
        self.hides_untraced = False
        self.personality = 0
