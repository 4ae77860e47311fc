"""address.occupied: something is mapped where the new mapping was to be, and it must not be replaced."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.mappings import place
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["OCCUPIED", "occupied"]

OCCUPIED = Cause(
    "address.occupied",
    "kernel",
    "Something is mapped where the new mapping was to be, and it must not be replaced (MAP_FIXED_NOREPLACE).",
    {"mmap": (Errno.EEXIST,), "map_shadow_stack": (Errno.EEXIST,), "shmat": (Errno.EINVAL,)},
    (Need.ANSWERED, Need.MAPPINGS),
    "MAP_FIXED_NOREPLACE found the range taken by {other}",
    (developer("Choose another address, or let the kernel choose."),),
    "mm/mmap.c:do_mmap, ipc/shm.c:do_shmat",
    {
        "segment": Case(
            "the range is taken by {other}, and shmat replaces nothing without SHM_REMAP",
            (developer("Let the kernel choose the address, or pass SHM_REMAP."),),
        )
    },
    "noreplace",
    outcome=Outcome.PROBE,
)


@rule(OCCUPIED)
def occupied(ctx: CallContext) -> Answer:
    """MAP_FIXED_NOREPLACE over anything, shmat to an address without SHM_REMAP, map_shadow_stack to an address."""
    request = ctx.request
    case = ""
    if isinstance(request, Mmap):
        asked = bool(request.flags & f.MAP_FIXED_NOREPLACE)
    elif isinstance(request, Shmat):
        asked, case = bool(request.shmaddr and not request.shmflg & f.SHM_REMAP), "segment"
    else:
        asked = bool(request.start)
    if not asked:
        return LETS_THROUGH
    found = ctx.replaced() if isinstance(request, Shmat) else ctx.parts()
    if not found:
        if ctx.probe.vmas_complete:
            return LETS_THROUGH
        return may_refuse(ctx, OCCUPIED, case=case, other="something")
    other = place(found[0].vma.line)
    return refuses(ctx, OCCUPIED, seen("%s is mapped" % other, "/proc/PID/smaps"), case=case, other=other)
