"""Arguments of shmat and shmdt: the segment, its owner and mode, the address (ipc/shm.c:do_shmat, ksys_shmdt)."""

from __future__ import annotations

from typing import Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule
from wxtrace.model.causes.argument.entries import ALIGNMENT, FLAGS, LENGTH, SHM
from wxtrace.model.causes.argument.evidence import HIGHEST, alignment, argument
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.evidence import seen
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["access", "address", "attached", "detach_address", "range_of_segment", "removed", "segment"]

_CAP_IPC_OWNER = 15
_TABLE = "/proc/sysvipc/shm"


@rule(ALIGNMENT, FLAGS, SHM)
def address(ctx: CallContext) -> Answer:
    """EINVAL before the segment is looked up: a negative id, an address inside a page, SHM_REMAP without an address."""
    assert isinstance(ctx.request, Shmat)
    request, page = ctx.request, ctx.host.page_size
    if request.shmid < 0:
        return _no_segment(ctx)
    if request.shmaddr % page and not request.shmflg & f.SHM_RND:
        return alignment(ctx, "the address", request.shmaddr, "segment")
    if request.shmflg & f.SHM_REMAP and request.shmaddr < page:
        fact = argument("flags hold SHM_REMAP, and the address is %#x" % request.shmaddr)
        return refuses(ctx, FLAGS, fact, errno=Errno.EINVAL, case="remap")
    return LETS_THROUGH


@rule(SHM)
def segment(ctx: CallContext) -> Answer:
    """EINVAL where there is no segment of this id, EIDRM where it went between the look-up and the attaching."""
    if ctx.probe.segment is not None:
        return LETS_THROUGH
    if ctx.probe.same_namespaces:
        return _no_segment(ctx, (Errno.EINVAL, Errno.EIDRM))
    assert isinstance(ctx.request, Shmat)
    asked = argument("shmid %d, address %#x" % (ctx.request.shmid, ctx.request.shmaddr))
    return may_refuse(ctx, SHM, asked, errno=Errno.EINVAL)


def _no_segment(ctx: CallContext, errnos: Tuple[Errno, ...] = (Errno.EINVAL,)) -> Answer:
    assert isinstance(ctx.request, Shmat)
    request = ctx.request
    asked = argument("shmid %d, address %#x" % (request.shmid, request.shmaddr))
    return refuses(ctx, SHM, asked, seen("there is no segment %d" % request.shmid, _TABLE), errno=errnos)


@rule(SHM)
def access(ctx: CallContext) -> Answer:
    """EACCES by owner and mode of the segment (ipc/util.c:ipcperms); security modules are asked after that."""
    assert isinstance(ctx.request, Shmat)
    found, flags = ctx.probe.segment, ctx.request.shmflg
    if ctx.capable(_CAP_IPC_OWNER):
        return LETS_THROUGH
    if found is None:
        return cannot_tell(ctx, SHM, Need.SEGMENT, errno=Errno.EACCES)
    wanted = 4 | (0 if flags & f.SHM_RDONLY else 2) | (1 if flags & f.SHM_EXEC else 0)
    fact = seen("owner %d, mode %03o" % (found.uid, found.mode), _TABLE)
    denied = [bool(wanted & ~(found.mode >> shift) & 7) for shift in (6, 3, 0)]
    if _euid(ctx) in (str(found.uid), str(found.creator)):
        refused = may = denied[0]
    else:
        # Supplementary groups are not looked at, so the bits of the group or those of all others count.
        refused, may = denied[1] and denied[2], denied[1] or denied[2]
    if refused:
        mode = "%03o" % found.mode
        return refuses(ctx, SHM, fact, errno=Errno.EACCES, case="mode", owner=found.uid, mode=mode)
    return may_refuse(ctx, SHM, fact, errno=Errno.EACCES, case="access") if may else LETS_THROUGH


def _euid(ctx: CallContext) -> str:
    return (ctx.probe.status.get("Uid", "").split() + ["", ""])[1]


@rule(SHM)
def removed(ctx: CallContext) -> Answer:
    """EIDRM: it is about to go (IPC_RMID), and went for this caller between the look-up and the attaching."""
    assert isinstance(ctx.request, Shmat)
    fact = argument("shmid %d" % ctx.request.shmid)
    return may_refuse(ctx, SHM, fact, errno=Errno.EIDRM, case="removed", by_exclusion=True)


@rule(LENGTH)
def range_of_segment(ctx: CallContext) -> Answer:
    """EINVAL where the segment would wrap around; with SHM_REMAP that is left to the checks of mmap."""
    assert isinstance(ctx.request, Shmat)
    request, found = ctx.request, ctx.probe.segment
    if not request.shmaddr or request.shmflg & f.SHM_REMAP or found is None or found.size is None:
        return LETS_THROUGH
    if request.shmaddr + found.size < HIGHEST:
        return LETS_THROUGH
    fact = argument("the address is %#x" % request.shmaddr)
    size = seen("the segment has %d bytes" % found.size, _TABLE)
    return refuses(ctx, LENGTH, fact, size, errno=Errno.EINVAL, case="wraps")


@rule(ALIGNMENT)
def detach_address(ctx: CallContext) -> Answer:
    """EINVAL for an address inside a page."""
    return alignment(ctx, "the address", ctx.request.start)


@rule(SHM)
def attached(ctx: CallContext) -> Answer:
    """EINVAL where nothing was attached. A part of the segment that lies behind the address is found as well."""
    if any(part.vma.line.path.startswith("/SYSV") for part in ctx.replaced()):
        return LETS_THROUGH
    fact = argument("address %#x" % ctx.request.start)
    return may_refuse(ctx, SHM, fact, errno=Errno.EINVAL, case="detach", by_exclusion=True)
