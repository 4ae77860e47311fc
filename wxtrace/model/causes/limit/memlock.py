"""limit.memlock: memory that is to stay in RAM, beyond RLIMIT_MEMLOCK (mm/mmap.c:mlock_future_ok)."""

from __future__ import annotations

from typing import Any, Dict, Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import number_of, seen, size_text
from wxtrace.model.causes.limit.growth import growth, mapped_length, moved_part, pages_of, status_bytes
from wxtrace.model.causes.opened import PERF_EVENT, is_shared
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Evidence
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mremap import Mremap

__all__ = ["MEMLOCK", "may_lock", "memlock", "perf_ring", "secret_memory"]

_CAP_IPC_LOCK = 14
_NAME = "Max locked memory"

MEMLOCK = Cause(
    "limit.memlock",
    "kernel",
    "Memory is to be locked in RAM (MAP_LOCKED, mlockall, memfd_secret, perf) beyond RLIMIT_MEMLOCK (ulimit -l).",
    {
        "mmap": (Errno.EAGAIN, Errno.EPERM),
        "mremap": (Errno.EAGAIN,),
        "shmat": (Errno.EAGAIN,),
        # fs/aio.c:aio_setup_ring gives ENOMEM whatever mmap gave.
        "io_setup": (Errno.ENOMEM,),
        "brk": (Errno.NONE,),
    },
    (Need.ANSWERED, Need.LIMITS, Need.USE),
    "the process may lock {limit} in RAM (RLIMIT_MEMLOCK): {used} are locked, and {more} more were asked",
    (
        admin("Raise the limit (LimitMEMLOCK= in the unit, ulimit -l in the shell).", "ulimit -l unlimited"),
        developer("Lock only the memory that must not be swapped out."),
    ),
    "mm/mmap.c:mlock_future_ok, can_do_mlock",
    {
        "none": Case("the process may not lock any memory in RAM: RLIMIT_MEMLOCK is 0, and it lacks CAP_IPC_LOCK"),
        "perf": Case(
            "rings of perf events are locked in RAM, and {more} more are neither in what each user may have of them "
            "(kernel.perf_event_mlock_kb) nor in what the process may lock ({limit}, RLIMIT_MEMLOCK)",
            (
                developer("Map a smaller ring, or close rings that are not needed any more."),
                admin("Allow each user more of them.", "sysctl -w kernel.perf_event_mlock_kb={enough}"),
                admin("Raise the limit (LimitMEMLOCK= in the unit, ulimit -l in the shell).", "ulimit -l unlimited"),
            ),
        ),
    },
)


@rule(MEMLOCK)
def may_lock(ctx: CallContext) -> Answer:
    """MAP_LOCKED where the limit is 0 (mm/mlock.c:can_do_mlock)."""
    if not isinstance(ctx.request, Mmap) or not ctx.request.flags & f.MAP_LOCKED:
        return LETS_THROUGH
    if _NAME not in ctx.probe.limits:
        return cannot_tell(ctx, MEMLOCK, Need.LIMITS, errno=Errno.EPERM)
    if ctx.probe.limits[_NAME] != 0:
        return LETS_THROUGH
    evidence = seen("soft limit 0 bytes", "%s in /proc/PID/limits" % _NAME)
    return _unless_privileged(ctx, evidence, locks=True, errno=Errno.EPERM, case="none")


@rule(MEMLOCK)
def memlock(ctx: CallContext) -> Answer:
    """New memory that is locked because the call says so, because the old one is, or after mlockall(MCL_FUTURE)."""
    request = ctx.request
    if isinstance(request, Mmap):
        return _beyond(ctx, pages_of(ctx, mapped_length(ctx, request)), bool(request.flags & f.MAP_LOCKED))
    if isinstance(request, Mremap):
        part = moved_part(ctx, request)
        more = pages_of(ctx, request.new_size) - pages_of(ctx, request.old_size)
        if more <= 0:
            return LETS_THROUGH
        if part is None or not part.vma.flags:
            return cannot_tell(ctx, MEMLOCK, Need.VM_FLAGS)
        return _beyond(ctx, more, True) if part.vma.has("lo") else LETS_THROUGH
    grown = growth(ctx)
    if grown is None:
        return LETS_THROUGH
    if grown.most is None:
        errno = Errno.NONE if request.name == "brk" else Errno.EAGAIN
        return cannot_tell(ctx, MEMLOCK, *grown.missing, errno=errno)
    return _beyond(ctx, grown.most, False)


@rule(MEMLOCK)
def secret_memory(ctx: CallContext) -> Answer:
    """What memfd_secret made is always locked (mm/secretmem.c:secretmem_mmap_prepare)."""
    request, descriptor = ctx.request, ctx.probe.descriptor
    if not isinstance(request, Mmap) or request.flags & f.MAP_ANONYMOUS or descriptor is None:
        return LETS_THROUGH
    if not descriptor.link.startswith("/secretmem"):
        return LETS_THROUGH
    return _beyond(ctx, pages_of(ctx, request.length), True)


@rule(MEMLOCK)
def perf_ring(ctx: CallContext) -> Answer:
    """The buffer of a perf event, which counts for the user first (kernel/events/core.c:perf_mmap_calc_limits)."""
    request, descriptor = ctx.request, ctx.probe.descriptor
    if not isinstance(request, Mmap) or request.flags & f.MAP_ANONYMOUS or not is_shared(request):
        return LETS_THROUGH
    if descriptor is None or descriptor.link != PERF_EVENT:
        return LETS_THROUGH
    paranoid, each = (ctx.probe.sysctl.get("kernel.perf_event_" + name) for name in ("paranoid", "mlock_kb"))
    if paranoid == "-1" or _has_ipc_lock(ctx):
        return LETS_THROUGH
    if _NAME not in ctx.probe.limits:
        return cannot_tell(ctx, MEMLOCK, Need.LIMITS, errno=Errno.EPERM)
    limit, pinned, page = ctx.probe.limits[_NAME], status_bytes(ctx, "VmPin"), ctx.host.page_size
    pages = pages_of(ctx, request.length)
    if limit is None or (pinned is not None and pinned // page + pages <= limit // page):
        return LETS_THROUGH
    evidence = [seen("soft limit %d bytes" % limit, "%s in /proc/PID/limits" % _NAME)]
    if pinned is not None:
        evidence.append(seen("%d bytes pinned" % pinned, "VmPin in /proc/PID/status"))
    size = number_of(each)
    if size is not None:
        fact = "kernel.perf_event_mlock_kb = %d, for each processor" % size
        evidence.append(seen(fact, "/proc/sys/kernel/perf_event_mlock_kb"))
    # How much of that the user has mapped already is told nowhere.
    return may_refuse(
        ctx,
        MEMLOCK,
        *evidence,
        errno=Errno.EPERM,
        case="perf",
        by_exclusion=True,
        limit=size_text(limit),
        more=size_text(pages * page),
        enough=None if size is None else size + pages * page // 1024,
    )


def _beyond(ctx: CallContext, pages: int, locks: bool) -> Answer:
    """`locks`: known to be locked; otherwise only mlockall(MCL_FUTURE) locks it, which nothing in /proc shows."""
    errno = {"brk": Errno.NONE, "io_setup": Errno.ENOMEM}.get(ctx.request.name, Errno.EAGAIN)
    if _NAME not in ctx.probe.limits:
        return cannot_tell(ctx, MEMLOCK, Need.LIMITS, errno=errno)
    limit, locked, page = ctx.probe.limits[_NAME], status_bytes(ctx, "VmLck"), ctx.host.page_size
    if limit is None:
        return LETS_THROUGH
    if locked is None:
        return cannot_tell(ctx, MEMLOCK, Need.USE, errno=errno)
    if locked // page + pages <= limit // page:
        return LETS_THROUGH
    evidence = [
        seen("soft limit %d bytes" % limit, "%s in /proc/PID/limits" % _NAME),
        seen("%d bytes locked" % locked, "VmLck in /proc/PID/status"),
    ]
    if not locks:
        evidence.append(seen("what is mapped after mlockall(MCL_FUTURE) is locked", "mm/mmap.c:do_mmap"))
    words: Dict[str, Any] = {"limit": size_text(limit), "used": size_text(locked), "more": size_text(pages * page)}
    return _unless_privileged(ctx, *evidence, locks=locks, errno=errno, **words)


def _unless_privileged(
    ctx: CallContext, *evidence: Evidence, locks: bool, errno: Errno, case: str = "", **words: Any
) -> Answer:
    privileged = _has_ipc_lock(ctx)
    if privileged and not locks:
        return LETS_THROUGH
    if privileged or privileged is None:
        # The kernel asks for the capability in the first user namespace, and status shows that of the process's own.
        missing = (Need.CAPABILITIES,)
        return may_refuse(ctx, MEMLOCK, *evidence, errno=errno, without=missing, case=case, **words)
    if not locks:
        return may_refuse(ctx, MEMLOCK, *evidence, errno=errno, case=case, by_exclusion=True, **words)
    return refuses(ctx, MEMLOCK, *evidence, errno=errno, case=case, **words)


def _has_ipc_lock(ctx: CallContext) -> Optional[bool]:
    return ctx.capable(_CAP_IPC_LOCK) if "CapEff" in ctx.probe.status else None
