"""limit.aio: requests that all programs of the machine together may have in flight (fs/aio.c:ioctx_alloc)."""

from __future__ import annotations

from wxtrace.model.causes.answer import Answer, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Cause, Need, admin, developer
from wxtrace.model.causes.evidence import number_of, seen
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.aio import IoSetup

__all__ = ["AIO", "requests_of_machine"]

AIO = Cause(
    "limit.aio",
    "kernel",
    "All programs together have as many requests of asynchronous I/O as fs.aio-max-nr allows.",
    {"io_setup": (Errno.EAGAIN,)},
    (Need.ANSWERED,),
    "the machine allows {most} requests of asynchronous I/O in all (fs.aio-max-nr), and {more} more were asked",
    (
        admin("Raise the limit.", "sysctl -w fs.aio-max-nr={enough}"),
        developer("Ask for fewer, or use io_uring, which is not counted there."),
    ),
    "fs/aio.c:ioctx_alloc",
)


@rule(AIO)
def requests_of_machine(ctx: CallContext) -> Answer:
    """More than there may be at all, or more than are left; nothing else of io_setup gives EAGAIN."""
    assert isinstance(ctx.request, IoSetup)
    more = ctx.request.nr_events
    most, used = (number_of(ctx.probe.sysctl.get("fs.aio-" + name)) for name in ("max-nr", "nr"))
    shown = seen("fs.aio-max-nr = %s" % ("unknown" if most is None else most), "/proc/sys/fs/aio-max-nr")
    if most is not None and more > most:
        return refuses(ctx, AIO, shown, errno=Errno.EAGAIN, most=most, more=more, enough=most + more)
    evidence = [shown]
    if used is not None:
        evidence.append(seen("fs.aio-nr = %d after the call" % used, "/proc/sys/fs/aio-nr"))
    return may_refuse(
        ctx,
        AIO,
        *evidence,
        errno=Errno.EAGAIN,
        by_exclusion=most is not None and used is not None and used + more > most,
        most="a number of" if most is None else most,
        more=more,
        enough=None if most is None else most * 2,
    )
