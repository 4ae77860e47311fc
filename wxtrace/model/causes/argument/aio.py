"""Arguments of io_setup and io_destroy (fs/aio.c)."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule
from wxtrace.model.causes.argument.entries import LENGTH, POINTER
from wxtrace.model.causes.argument.evidence import argument
from wxtrace.model.causes.context import CallContext
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.aio import IoSetup

__all__ = ["context", "events", "ring"]

_MOST_EVENTS = 0x10000000 // 32 // 2
"""fs/aio.c:ioctx_alloc doubles the number, and refuses more than 256 MiB of struct io_event."""


@rule(POINTER, LENGTH)
def events(ctx: CallContext) -> Answer:
    """EINVAL for no events, and for more than a ring can have."""
    assert isinstance(ctx.request, IoSetup)
    asked = ctx.request.nr_events
    fact = argument("%d events were asked" % asked)
    if asked == 0:
        return refuses(ctx, POINTER, fact, errno=Errno.EINVAL, case="used")
    # The doubled number is one of 32 bits.
    if asked * 2 & 0xFFFFFFFF > _MOST_EVENTS * 2:
        return refuses(ctx, LENGTH, fact, errno=Errno.EINVAL, case="events", most=_MOST_EVENTS)
    return LETS_THROUGH


@rule(POINTER)
def context(ctx: CallContext) -> Answer:
    """EINVAL where the word that is to take the context is not 0, which stands in memory that is not read."""
    assert isinstance(ctx.request, IoSetup)
    fact = argument("%d events were asked" % ctx.request.nr_events)
    return may_refuse(ctx, POINTER, fact, errno=Errno.EINVAL, case="used", by_exclusion=True)


@rule(POINTER)
def ring(ctx: CallContext) -> Answer:
    """EINVAL where no context lives: a context is the address of its ring."""
    if any(part.vma.line.path.startswith("/[aio]") for part in ctx.standing_at(ctx.request.start)):
        return LETS_THROUGH
    fact = argument("context %#x" % ctx.request.start)
    if not ctx.probe.vmas_complete:
        return may_refuse(ctx, POINTER, fact, errno=Errno.EINVAL, case="context", by_exclusion=True)
    return refuses(ctx, POINTER, fact, errno=Errno.EINVAL, case="context")
