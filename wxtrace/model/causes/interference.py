"""Failures that exist only because the program is being traced: ptrace admits one tracer (ptrace(2))."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import PROVED, Finding, Refusal, developer, seen

__all__ = ["already_traced"]

_TRACEME, _ATTACH, _SEIZE = 0, 16, 0x4206


def already_traced(refusal: Refusal) -> Optional[Finding]:
    """TRACEME, ATTACH or SEIZE where wxtrace itself holds the other side."""
    request = refusal.request
    if request.name != "ptrace" or refusal.errno != "EPERM" or not refusal.held_by_us:
        return None
    if request.flags not in (_TRACEME, _ATTACH, _SEIZE):
        return None
    wanted = "to be traced" if request.flags == _TRACEME else "to trace task %d" % request.fd
    return Finding(
        "tracer.interference",
        PROVED,
        "it wanted %s, and a task can have one tracer only: wxtrace is in the way, not the system" % wanted,
        (seen("%s failed on a task that wxtrace traces" % f.named_value(request.flags, f.PTRACE), "the ptrace call"),),
        (
            developer(
                "Run debuggers, strace and crash reporters on the program without wxtrace; for LeakSanitizer "
                "set ASAN_OPTIONS=detect_leaks=0."
            ),
        ),
    )
