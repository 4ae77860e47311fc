"""address.unmapped: nothing is mapped in a part of the range."""

from __future__ import annotations

from typing import Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.remap_file_pages import RemapFilePages

__all__ = ["UNMAPPED", "unmapped"]

UNMAPPED = Cause(
    "address.unmapped",
    "kernel",
    "Nothing is mapped in a part of the range.",
    {
        "mprotect": (Errno.ENOMEM,),
        "pkey_mprotect": (Errno.ENOMEM,),
        "madvise": (Errno.ENOMEM,),
        "mseal": (Errno.ENOMEM,),
        "mremap": (Errno.EFAULT,),
        "remap_file_pages": (Errno.EINVAL,),
    },
    (Need.ANSWERED, Need.MAPPINGS),
    "nothing is mapped at {hole}, inside the range of the call",
    (developer("Check address and length; memory may have been unmapped, or replaced by a smaller mapping."),),
    "mm/mprotect.c:do_mprotect_pkey, mm/mseal.c, mm/mremap.c, mm/madvise.c",
    {"advice": Case("nothing is mapped at {hole}; the advice was taken for every part of the range that is mapped")},
    "hole",
    outcome=Outcome.FAILED,
)


@rule(UNMAPPED)
def unmapped(ctx: CallContext) -> Answer:
    """The first hole of the range. mremap looks at its old address only: what follows it has a check of its own."""
    if ctx.moved:
        # It went on from the first mapping to the next, and holes between them move with the rest.
        return LETS_THROUGH
    start, end = _range(ctx)
    at_start = isinstance(ctx.request, Mremap)
    hole, last = start, start + 1 if at_start else end
    for part in ctx.standing_at(start) if at_start else ctx.parts():
        if part.vma.line.start > hole:
            break
        hole = max(hole, part.vma.line.end)
    source = "/proc/PID/smaps after the call"
    if hole < last and not _was_read(ctx, hole):
        if not ctx.touched:
            return cannot_tell(ctx, UNMAPPED, Need.MAPPINGS)
        hole, source = _unknown_to_the_map(ctx, hole), "wxtrace's own map"
    if hole >= last:
        return LETS_THROUGH
    behind = [vma.line.start for vma in ctx.probe.vmas] + [part.start for part in ctx.touched]
    following = min((address for address in behind if address > hole), default=end)
    place = "%#x-%#x" % (hole, min(following, end))
    case = "advice" if ctx.request.name == "madvise" else ""
    return refuses(ctx, UNMAPPED, seen("no mapping at %s" % place, source), case=case, hole=place)


def _was_read(ctx: CallContext, address: int) -> bool:
    return ctx.probe.vmas_complete or any(vma.line.end > address for vma in ctx.probe.vmas)


def _unknown_to_the_map(ctx: CallContext, hole: int) -> int:
    """Where the first hole is in the map that was kept: a range may have more mappings than were read again."""
    for part in ctx.touched:
        if part.start > hole:
            break
        if part.before is not None:
            hole = max(hole, part.end)
    return hole


def _range(ctx: CallContext) -> Tuple[int, int]:
    """What has to be mapped, from where the call has not changed it yet."""
    request, page = ctx.request, ctx.host.page_size
    if isinstance(request, Mremap):
        return request.old_address, max(ctx.end, request.old_address + page)
    if isinstance(request, RemapFilePages):
        start = request.addr // page * page
        return start, start + request.size // page * page
    if isinstance(request, Mprotect) and request.prot & f.GROWSDOWN:
        # It starts with the first mapping, wherever that starts.
        first = min((part.vma.line.start for part in ctx.parts()), default=ctx.start)
        return max(first, ctx.passed), ctx.end
    return ctx.passed, ctx.end
