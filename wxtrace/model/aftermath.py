"""How a refused call ended for the program that made it."""

from __future__ import annotations

import signal
from typing import Dict, Optional

from wxtrace.model.facts import TaskExited
from wxtrace.model.processes import Pending

__all__ = ["aftermath_of_exit", "refused_behind"]

_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS})
_ABORTS = frozenset({signal.SIGABRT, signal.SIGTRAP})
_SOON_NS = 5_000_000_000
_SOON_CALLS = 1000
"""A failing exit this much later is another story than the refusal."""


def aftermath_of_exit(pending: Pending, ending: TaskExited, t_ns: int) -> str:
    """The ending of one refused call when its process has ended."""
    if ending.signal is not None:
        if ending.signal in _CRASHES:
            return "crashed"
        return "aborted" if ending.signal in _ABORTS else "unknown"
    if ending.code == 0:
        return "recovered"
    soon = t_ns - pending.event.t_ns < _SOON_NS and pending.later_calls < _SOON_CALLS
    return "exited" if soon else "continued"


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
