"""kernel.no-call: a system call that came with a later Linux."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Cause, Need, admin, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.event import Evidence
from wxtrace.model.syscalls.table import BY_NAME

__all__ = ["NO_CALL", "came_with", "is_older", "no_call", "version"]

NO_CALL = Cause(
    "kernel.no-call",
    "kernel",
    "The kernel does not have the call, which came with a later version.",
    {"mseal": (Errno.ENOSYS,), "process_madvise": (Errno.ENOSYS,)},
    (Need.ANSWERED, Need.KERNEL),
    "this kernel ({kernel}) does not have {call}, which came with Linux {since}",
    (developer("Go on without it; ENOSYS is how a program learns that."), admin("Run a kernel that has it.")),
    "kernel/sys_ni.c",
    outcome=Outcome.PROBE,
)


@rule(NO_CALL)
def no_call(ctx: CallContext) -> Answer:
    """By the versions alone: a kernel of a distribution may have got the call before its number did."""
    if not is_older(ctx):
        return LETS_THROUGH
    return may_refuse(ctx, NO_CALL, version(ctx), by_exclusion=True, since=came_with(ctx))


def is_older(ctx: CallContext) -> bool:
    """Whether the kernel is known to be older than the call."""
    return (0, 0) < ctx.kernel < BY_NAME[ctx.request.name].since


def came_with(ctx: CallContext) -> str:
    """The first Linux with the call."""
    return "%d.%d" % BY_NAME[ctx.request.name].since


def version(ctx: CallContext) -> Evidence:
    """Which Linux this is."""
    return seen("this is Linux %s" % ctx.host.kernel, "uname")
