"""Arguments of munmap and mseal: an address and a length (mm/vma.c:do_vmi_munmap, mm/mseal.c:do_mseal)."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, Verdict, refuses, rule
from wxtrace.model.causes.argument.entries import ALIGNMENT, FLAGS, LENGTH
from wxtrace.model.causes.argument.evidence import HIGHEST, alignment, argument, rounded
from wxtrace.model.causes.context import CallContext
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.mseal import Mseal

__all__ = ["mseal", "munmap"]


@rule(ALIGNMENT, LENGTH)
def munmap(ctx: CallContext) -> Answer:
    """EINVAL before any mapping is looked at."""
    start, length = ctx.request.start, ctx.request.length
    unaligned = alignment(ctx, "the address", start)
    if unaligned.verdict is not Verdict.LETS_THROUGH:
        return unaligned
    if start + length > ctx.task_size:
        fact = argument("the length is %#x" % length)
        return refuses(ctx, LENGTH, fact, errno=Errno.EINVAL, case="beyond", limit=hex(ctx.task_size))
    if length == 0:
        return refuses(ctx, LENGTH, argument("the length is 0"), errno=Errno.EINVAL)
    return LETS_THROUGH


@rule(FLAGS, ALIGNMENT, LENGTH)
def mseal(ctx: CallContext) -> Answer:
    """EINVAL before any mapping is looked at; an empty range is granted."""
    assert isinstance(ctx.request, Mseal)
    request = ctx.request
    if request.flags:
        return refuses(ctx, FLAGS, argument("flags are %#x" % request.flags), errno=Errno.EINVAL, case="mseal")
    unaligned = alignment(ctx, "the address", request.addr)
    if unaligned.verdict is not Verdict.LETS_THROUGH:
        return unaligned
    if request.addr + rounded(ctx, request.length) >= HIGHEST:
        return refuses(ctx, LENGTH, argument("length %d" % request.length), errno=Errno.EINVAL, case="mseal")
    return LETS_THROUGH
