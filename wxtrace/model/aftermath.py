"""How a refused call ended for the program that made it."""

from __future__ import annotations

import signal
from typing import Dict, Optional

from wxtrace.model.enumerations import Aftermath
from wxtrace.model.facts import TaskExited
from wxtrace.model.processes import Pending

__all__ = ["aftermath_of_exit", "refused_behind", "refused_just_before"]

_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS})
_ABORTS = frozenset({signal.SIGABRT, signal.SIGTRAP})
_AT_ONCE_CALLS = 2
"""A crash after more successful calls than this is no longer "right after" the refusal."""


def aftermath_of_exit(pending: Pending, ending: TaskExited) -> Aftermath:
    """What the program did after a refused call, when its process has ended.

    That it got by without is never concluded from how it ended: only another way that worked shows it.
    """
    if ending.signal is not None:
        if ending.signal in _CRASHES:
            return Aftermath.CRASHED
        return Aftermath.ABORTED if ending.signal in _ABORTS else Aftermath.UNKNOWN
    if not ending.code:
        return Aftermath.CONTINUED
    # It may handle the signal itself to end in its own way (Wine's crash report, a crash handler).
    return Aftermath.CRASHED if pending.faulted else Aftermath.EXITED


def refused_behind(pending: Dict[int, Pending], address: Optional[int]) -> Optional[Pending]:
    """The latest refused call whose range holds this address."""
    if address is None:
        return None
    for candidate in sorted(pending.values(), key=lambda p: -p.event.n):
        if candidate.event.name == "fault":
            continue
        if any(part.start <= address < part.end for part in candidate.event.touched):
            return candidate
    return None


def refused_just_before(pending: Dict[int, Pending], tid: int) -> Optional[Pending]:
    """The latest refused call of this thread, if it did hardly anything since: MAP_FAILED used as memory."""
    own = [p for p in pending.values() if p.event.tid == tid and p.event.name != "fault"]
    last = max(own, key=lambda p: p.event.n, default=None)
    return last if last is not None and last.later_successes <= _AT_ONCE_CALLS else None
