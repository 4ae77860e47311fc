"""process_madvise(pidfd, iovec, vlen, advice, flags) (mm/madvise.c:SYSCALL_DEFINE5(process_madvise))."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule
from wxtrace.model.causes.argument.entries import ADVICE, FLAGS, LENGTH
from wxtrace.model.causes.argument.evidence import argument
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.fd import BAD
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.madvise import ProcessMadvise

__all__ = ["advice", "arguments", "descriptor", "ended", "rights"]

_MOST_RANGES = 1024
"""include/uapi/linux/uio.h:UIO_MAXIOV."""
_CAP_SYS_NICE = 23


@rule(FLAGS, LENGTH)
def arguments(ctx: CallContext) -> Answer:
    """EINVAL from the flags, then from the number of ranges; the ranges and the descriptor come after them."""
    assert isinstance(ctx.request, ProcessMadvise)
    if ctx.request.flags:
        return refuses(ctx, FLAGS, argument("flags are %#x" % ctx.request.flags))
    if ctx.request.vlen > _MOST_RANGES:
        return refuses(ctx, LENGTH, argument("%d ranges were given" % ctx.request.vlen), case="ranges")
    return LETS_THROUGH


@rule(BAD)
def descriptor(ctx: CallContext) -> Answer:
    """EBADF: the descriptor is no pidfd, which nothing here looks at."""
    assert isinstance(ctx.request, ProcessMadvise)
    fact = "descriptor %d does not stand for a process" % ctx.request.pidfd
    return may_refuse(ctx, BAD, argument(fact), errno=Errno.EBADF, case="process", by_exclusion=True, fact=fact)


@rule(ADVICE)
def ended(ctx: CallContext) -> Answer:
    """ESRCH: the pidfd outlives its process."""
    assert isinstance(ctx.request, ProcessMadvise)
    fact = argument("descriptor %d stands for the process" % ctx.request.pidfd)
    return may_refuse(ctx, ADVICE, fact, errno=Errno.ESRCH, case="ended", by_exclusion=True)


@rule(ADVICE)
def rights(ctx: CallContext) -> Answer:
    """EPERM without CAP_SYS_NICE; from Linux 6.13 on a process may always advise itself, which no argument tells."""
    if ctx.capable(_CAP_SYS_NICE):
        return LETS_THROUGH
    fact = argument("%s is given through a descriptor" % _name(ctx))
    return may_refuse(ctx, ADVICE, fact, errno=Errno.EPERM, case="rights", by_exclusion=True)


@rule(ADVICE)
def advice(ctx: CallContext) -> Answer:
    """EINVAL for an advice that is not for other processes, or that their memory does not take."""
    fact = argument("advice is %s" % _name(ctx))
    return may_refuse(ctx, ADVICE, fact, errno=Errno.EINVAL, case="remote")


def _name(ctx: CallContext) -> str:
    assert isinstance(ctx.request, ProcessMadvise)
    return f.named_value(ctx.request.advice, f.ADVICE)
