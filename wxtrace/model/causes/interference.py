"""Failures that exist only because the program is being traced: one tracer a task (ptrace(2)), and our own filter."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Refusal, found, seen

__all__ = ["already_traced", "strict_mode"]

_TRACEME, _ATTACH, _SEIZE = 0, 16, 0x4206


def already_traced(refusal: Refusal) -> Optional[Finding]:
    """TRACEME, ATTACH or SEIZE where wxtrace itself holds the other side."""
    request = refusal.old
    if request.name != "ptrace" or refusal.errno != "EPERM" or not refusal.held_by_us:
        return None
    if request.flags not in (_TRACEME, _ATTACH, _SEIZE):
        return None
    wanted = "to be traced" if request.flags == _TRACEME else "to trace task %d" % request.fd
    fact = "%s failed on a task that wxtrace traces" % f.named_value(request.flags, f.PTRACE)
    return found(refusal, "tracer.interference", seen(fact, "the ptrace call"), wanted=wanted)


def strict_mode(refusal: Refusal) -> Optional[Finding]:
    """Strict mode after a filter is refused (kernel/seccomp.c:seccomp_may_assign_mode); the only filter is ours."""
    name, (first, second) = refusal.request.name, (*refusal.args, 0, 0)[:2]
    asked = (name == "seccomp" and first == 0) or (name == "prctl" and first == f.PR_SET_SECCOMP and second == 1)
    if not asked or refusal.errno != "EINVAL" or not refusal.probe.filters_ours:
        return None
    if refusal.filters or refusal.probe.status.get("Seccomp_filters", "1") != "1":
        return None
    fact = "the only filter of the thread is the one that wxtrace installed"
    ours = seen(fact, "Seccomp_filters in /proc/PID/status")
    return found(refusal, "tracer.interference", ours, case="strict", certain=False)
