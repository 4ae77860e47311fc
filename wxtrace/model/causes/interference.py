"""Failures that exist only because the program is being traced: one tracer a task (ptrace(2)), and our own filter."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.prctl import Prctl
from wxtrace.model.syscalls.ptrace import Ptrace
from wxtrace.model.syscalls.seccomp import Seccomp

__all__ = ["INTERFERENCE", "already_traced", "strict_mode"]

_TRACEME, _ATTACH, _SEIZE = 0, 16, 0x4206
_MODE_STRICT = 1
_INTERFERENCE = Cause(
    "tracer.interference",
    "wxtrace",
    "The call fails only because the program is being traced: a task has one tracer, and strict mode no filter.",
    {"ptrace": (Errno.EPERM,), "prctl": (Errno.EINVAL,), "seccomp": (Errno.EINVAL,)},
    (Need.HELD,),
    "it wanted {wanted}, and a task can have one tracer only: wxtrace is in the way, not the system",
    (
        developer(
            "Run debuggers, strace and crash reporters on the program without wxtrace; for LeakSanitizer set "
            "ASAN_OPTIONS=detect_leaks=0."
        ),
    ),
    "ptrace(2), kernel/ptrace.c:ptrace_attach",
    {
        "strict": Case(
            "it wanted seccomp's strict mode, which cannot follow a filter, and wxtrace's own filter is there: "
            "wxtrace is in the way, not the system",
            (developer("Attach to the program with wxtrace -p once it runs."),),
        )
    },
    outcome=Outcome.PROBE,
)
INTERFERENCE = (_INTERFERENCE,)


@rule(_INTERFERENCE)
def already_traced(ctx: CallContext) -> Answer:
    """TRACEME, ATTACH or SEIZE where wxtrace itself holds the other side (kernel/ptrace.c:ptrace_attach)."""
    request = ctx.request
    if not isinstance(request, Ptrace) or not ctx.held_by_us:
        return LETS_THROUGH
    if request.request not in (_TRACEME, _ATTACH, _SEIZE) or (request.request == _SEIZE and request.addr):
        # PTRACE_SEIZE with an address is EIO before the task is looked at.
        return LETS_THROUGH
    wanted = "to be traced" if request.request == _TRACEME else "to trace task %d" % request.pid
    fact = "%s failed on a task that wxtrace traces" % f.named_value(request.request, f.PTRACE)
    return refuses(ctx, _INTERFERENCE, seen(fact, "the ptrace call"), errno=Errno.EPERM, wanted=wanted)


@rule(_INTERFERENCE)
def strict_mode(ctx: CallContext) -> Answer:
    """Strict mode after a filter is refused (kernel/seccomp.c:seccomp_may_assign_mode); the only filter is ours."""
    request = ctx.request
    asked = (isinstance(request, Seccomp) and (request.operation, request.flags, request.args) == (0, 0, 0)) or (
        isinstance(request, Prctl) and (request.option, request.arg2) == (f.PR_SET_SECCOMP, _MODE_STRICT)
    )
    if not asked or not ctx.probe.filters_ours or ctx.filters or ctx.probe.status.get("Seccomp_filters", "1") != "1":
        return LETS_THROUGH
    fact = "the only filter of the thread is the one that wxtrace installed"
    ours = seen(fact, "Seccomp_filters in /proc/PID/status")
    return refuses(ctx, _INTERFERENCE, ours, errno=Errno.EINVAL, case="strict", certain=False)
