"""address.no-room: the address space has no gap of this size, or ends before the range does."""

from __future__ import annotations

from typing import Optional

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen, size_text
from wxtrace.model.causes.mappings import place
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["NO_ROOM", "beyond_the_end", "cannot_stay", "no_gap"]

_FIXED = f.MAP_FIXED | f.MAP_FIXED_NOREPLACE
_TO_ADDRESS = f.MREMAP_FIXED | f.MREMAP_DONTUNMAP
_GUARD_PAGES = 257
"""A gap below memory that grows down keeps 256 pages free (mm/mmap.c:stack_guard_gap), and one is lost to rounding."""

NO_ROOM = Cause(
    "address.no-room",
    "kernel",
    "The address space has no gap of this size, or ends before the range does.",
    {"mmap": (Errno.ENOMEM,), "mremap": (Errno.ENOMEM,), "shmat": (Errno.ENOMEM,)},
    (Need.ANSWERED, Need.ARGUMENTS),
    "the address space of a program has no room for this range: {asked} asked, of at most {size}",
    (developer("Ask for less, or let the kernel choose the address."),),
    "mm/mmap.c:__get_unmapped_area",
    {
        "full": Case("no gap between the mappings of the process is large enough: the largest has {gap}"),
        "window": Case(
            "no gap below {window} is large enough, the largest has {gap}, and the kernel looks above it only where a "
            "hint leads there",
            (developer("Pass an address above {window} as a hint, where the code can do with such addresses."),),
        ),
        "low": Case(
            "MAP_32BIT takes memory between 1 and 2 GiB only, and the largest gap there has {gap}",
            (developer("Drop MAP_32BIT where the code can do without it."),),
        ),
        "in-the-way": Case(
            "the memory cannot grow where it is: {other} is in the way, and it may not move",
            (developer("Pass MREMAP_MAYMOVE, and use the address that mremap returns."),),
        ),
    },
    outcome=Outcome.PROBE,
)


def _rounded(ctx: CallContext, length: int) -> int:
    page = ctx.host.page_size
    return (length + page - 1) // page * page


def _grows(ctx: CallContext, request: Mremap) -> bool:
    """Without a new address. Memory of huge pages never does (mm/mremap.c:align_hugetlb)."""
    if request.flags & _TO_ADDRESS or any(part.vma.has("ht") for part in ctx.standing_at(request.old_address)):
        return False
    return _rounded(ctx, request.new_size) > _rounded(ctx, request.old_size)


@rule(NO_ROOM)
def beyond_the_end(ctx: CallContext) -> Answer:
    """ENOMEM because the address space of a program ends before the range does.

    mremap gives EINVAL for it (argument.length) where there is a new address, and always from Linux 6.17 on.
    """
    request, start = ctx.request, 0
    if isinstance(request, Mremap):
        length = request.new_size
        if not _grows(ctx, request) or ctx.kernel >= (6, 17):
            return LETS_THROUGH
    elif isinstance(request, Shmat):
        segment = ctx.probe.segment
        if not request.shmaddr or segment is None or segment.size is None:
            return LETS_THROUGH
        length, start = segment.size, request.shmaddr
    else:
        assert isinstance(request, Mmap)
        length, start = request.length, request.addr if request.flags & _FIXED else 0
    if start + _rounded(ctx, length) <= ctx.task_size:
        return LETS_THROUGH
    asked, size = size_text(length), size_text(ctx.task_size)
    fact = seen("%s asked, of at most %s" % (asked, size), "the arguments of the call")
    return refuses(ctx, NO_ROOM, fact, asked=asked, size=size)


@rule(NO_ROOM)
def no_gap(ctx: CallContext) -> Answer:
    """ENOMEM because no gap between the mappings is large enough, where the kernel chooses the address."""
    length = _to_be_placed(ctx)
    if length is None:
        return LETS_THROUGH
    low = isinstance(ctx.request, Mmap) and bool(ctx.request.flags & f.MAP_32BIT)
    gap = ctx.probe.largest_low_gap if low else ctx.probe.largest_gap
    if gap is None:
        # What fails in a loop is not measured at each failure, and nothing is proved.
        return LETS_THROUGH if ctx.probe.short else cannot_tell(ctx, NO_ROOM, Need.GAPS)
    fact = seen("the largest gap has %d bytes" % gap, "/proc/PID/maps")
    end = ctx.searched_below
    case = "low" if low else "window" if end < ctx.task_size else "full"
    if gap < length:
        return refuses(ctx, NO_ROOM, fact, case=case, gap=size_text(gap), window=hex(end))
    if gap < length + _GUARD_PAGES * ctx.host.page_size:
        return may_refuse(ctx, NO_ROOM, fact, case=case, gap=size_text(gap), window=hex(end))
    return LETS_THROUGH


def _to_be_placed(ctx: CallContext) -> Optional[int]:
    """How many bytes need a place of the kernel's choice; None where the call names it."""
    request = ctx.request
    if isinstance(request, Mmap):
        return None if request.flags & _FIXED else _rounded(ctx, request.length)
    if isinstance(request, Shmat):
        segment = ctx.probe.segment
        return None if request.shmaddr or segment is None or segment.size is None else _rounded(ctx, segment.size)
    assert isinstance(request, Mremap)
    moves = request.flags & _TO_ADDRESS == f.MREMAP_DONTUNMAP
    if _grows(ctx, request) and request.flags & f.MREMAP_MAYMOVE:
        moves = _in_the_way(ctx, request) is not None
    return _rounded(ctx, request.new_size) if moves else None


@rule(NO_ROOM)
def cannot_stay(ctx: CallContext) -> Answer:
    """mremap that may not move and has no room behind it (mm/mremap.c:vrm_can_expand_in_place)."""
    request = ctx.request
    assert isinstance(request, Mremap)
    if not _grows(ctx, request) or request.flags & f.MREMAP_MAYMOVE:
        return LETS_THROUGH
    other = _in_the_way(ctx, request)
    if other is not None:
        fact = seen("%s is mapped behind it" % place(other), "/proc/PID/smaps")
        return refuses(ctx, NO_ROOM, fact, case="in-the-way", other=place(other))
    return LETS_THROUGH if ctx.probe.vmas_complete else cannot_tell(ctx, NO_ROOM, Need.MAPPINGS)


def _in_the_way(ctx: CallContext, request: Mremap) -> Optional[MapLine]:
    """What lies between the end of the old range and that of the new one; the rest of its own mapping as well."""
    own = request.old_address + _rounded(ctx, request.old_size)
    end = request.old_address + _rounded(ctx, request.new_size)
    return next((vma.line for vma in ctx.probe.vmas if vma.line.end > own and vma.line.start < end), None)
