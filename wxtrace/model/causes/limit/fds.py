"""limit.fds: no descriptor is left for what a call makes (fs/file.c:alloc_fd, fs/file_table.c:alloc_empty_file)."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import number_of, seen
from wxtrace.model.enumerations import Confidence, Errno
from wxtrace.model.syscalls.seccomp import Seccomp

__all__ = ["FDS", "files_of_machine", "open_files"]

_NAME = "Max open files"

FDS = Cause(
    "limit.fds",
    "kernel",
    "The process has as many descriptors open as RLIMIT_NOFILE (ulimit -n) allows, or the machine has.",
    {
        "memfd_create": (Errno.EMFILE, Errno.ENFILE),
        "memfd_secret": (Errno.EMFILE, Errno.ENFILE),
        "seccomp": (Errno.EMFILE, Errno.ENFILE),
    },
    (Need.ANSWERED, Need.LIMITS),
    "the process may have {limit} descriptors (RLIMIT_NOFILE): {count} are open, and the call needs another",
    (
        developer("Close what is not needed any more."),
        admin("Raise the limit (LimitNOFILE= in the unit, ulimit -n in the shell).", "ulimit -n {enough}"),
    ),
    "fs/file.c:alloc_fd",
    {
        "machine": Case(
            "the machine has as many files open as fs.file-max allows",
            (admin("Raise the limit.", "sysctl -w fs.file-max={enough}"),),
        )
    },
)


@rule(FDS)
def open_files(ctx: CallContext) -> Answer:
    """Every descriptor below the limit is in use."""
    if not _makes_a_descriptor(ctx):
        return LETS_THROUGH
    if _NAME not in ctx.probe.limits:
        return cannot_tell(ctx, FDS, Need.LIMITS, errno=Errno.EMFILE)
    limit, count = ctx.probe.limits[_NAME], ctx.probe.open_fds
    if limit is None or (count is not None and count < limit):
        return LETS_THROUGH
    evidence = [seen("soft limit %d" % limit, "%s in /proc/PID/limits" % _NAME)]
    if count is not None:
        evidence.append(seen("%d are open" % count, "/proc/PID/fd"))
    # Descriptors beyond a limit that was lowered leave some below it free.
    return may_refuse(
        ctx,
        FDS,
        *evidence,
        errno=Errno.EMFILE,
        without=() if count is not None else (Need.OPEN_FILES,),
        by_exclusion=True,
        limit=limit,
        count=limit if count is None else count,
        enough=max(limit * 2, 4096),
    )


@rule(FDS)
def files_of_machine(ctx: CallContext) -> Answer:
    """fs.file-max: how many files are open on the whole machine is not known."""
    if not _makes_a_descriptor(ctx):
        return LETS_THROUGH
    most = number_of(ctx.probe.sysctl.get("fs.file-max"))
    shown = seen("fs.file-max = %s" % ("unknown" if most is None else most), "/proc/sys/fs/file-max")
    # Where it is not limited in earnest, it is the largest number there is.
    enough = most * 2 if most is not None and most < 1 << 40 else None
    return may_refuse(ctx, FDS, shown, errno=Errno.ENFILE, case="machine", at_most=Confidence.CONSISTENT, enough=enough)


def _makes_a_descriptor(ctx: CallContext) -> bool:
    request = ctx.request
    if not isinstance(request, Seccomp):
        return True
    listens = bool(request.flags & f.SECCOMP_FILTER_FLAG_NEW_LISTENER)
    return request.operation == f.SECCOMP_SET_MODE_FILTER and listens
