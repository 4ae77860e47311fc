"""limit.map-count: vm.max_map_count, at new mappings and where one would be split."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from wxtrace.decoders.procmaps import Vma
from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule, vma_rule
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Cause, Need, admin, developer
from wxtrace.model.causes.evidence import number_of, seen
from wxtrace.model.causes.limit.growth import growth, moved_part, pages_of, status_bytes
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.madvise import Madvise
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.munmap import Munmap

__all__ = ["MAP_COUNT", "map_count", "move", "split", "split_by_unmapping"]

MAP_COUNT = Cause(
    "limit.map-count",
    "kernel",
    "The process has as many mappings as vm.max_map_count allows; cutting one in two also needs another.",
    {
        "mmap": (Errno.ENOMEM,),
        "mprotect": (Errno.ENOMEM,),
        "pkey_mprotect": (Errno.ENOMEM,),
        "munmap": (Errno.ENOMEM,),
        "mremap": (Errno.ENOMEM,),
        "mseal": (Errno.ENOMEM,),
        "shmat": (Errno.ENOMEM,),
        "io_setup": (Errno.ENOMEM,),
        "remap_file_pages": (Errno.ENOMEM,),
        # mm/madvise.c gives EAGAIN where the split gave ENOMEM.
        "madvise": (Errno.EAGAIN,),
        "brk": (Errno.NONE,),
    },
    (Need.ANSWERED, Need.MAP_COUNT, Need.SYSCTL),
    "the process has as many mappings as vm.max_map_count ({limit}) allows, and this call {verb}",
    (
        developer("Change neighbouring pages together, so that mappings stay joined."),
        admin("Raise the limit.", "sysctl -w vm.max_map_count={enough}"),
    ),
    "mm/mmap.c:do_mmap, mm/vma.c:__split_vma",
    example="map_count",
)
_ADDS, _SPLITS = "would add one", "would split one of them"
_ADVICE_FLAGS: Dict[int, Tuple[Tuple[str, ...], Tuple[str, ...]]] = {
    0: ((), ("rr", "sr")),
    1: (("rr",), ("sr",)),
    2: (("sr",), ("rr",)),
    10: (("dc",), ()),
    11: ((), ("dc",)),
    12: (("mg",), ()),
    13: ((), ("mg",)),
    14: (("hg",), ("nh",)),
    15: (("nh",), ("hg",)),
    16: (("dd",), ()),
    17: ((), ("dd",)),
    18: (("wf",), ()),
    19: ((), ("wf",)),
}
"""What advice sets and clears in the flags of a mapping, as VmFlags names them (mm/madvise.c)."""


@rule(MAP_COUNT)
def map_count(ctx: CallContext) -> Answer:
    """A new mapping where there are more than the limit; a move that could need two where five are not to spare."""
    request = ctx.request
    if isinstance(request, Mremap):
        to_a_place = request.flags & (f.MREMAP_FIXED | f.MREMAP_DONTUNMAP)
        # mm/mremap.c:check_mremap_params: (map_count + 2) >= max_map_count - 3.
        return _at_least(ctx, -5, _ADDS) if to_a_place else LETS_THROUGH
    if isinstance(request, Brk) and growth(ctx) is None:
        return LETS_THROUGH
    return _at_least(ctx, 1, _ADDS)


@rule(MAP_COUNT)
def split_by_unmapping(ctx: CallContext) -> Answer:
    """Memory unmapped or replaced out of the middle of one mapping (mm/vma.c:vms_gather_munmap_vmas)."""
    request, page = ctx.request, ctx.host.page_size
    if isinstance(request, Munmap) or (isinstance(request, Mmap) and request.flags & f.MAP_FIXED):
        start, end = ctx.start, ctx.end
    elif isinstance(request, Mremap) and request.new_size < request.old_size:
        start = request.old_address + pages_of(ctx, request.new_size) * page
        end = request.old_address + pages_of(ctx, request.old_size) * page
    else:
        return LETS_THROUGH
    if not ctx.probe.vmas_complete and not ctx.standing_at(start):
        return cannot_tell(ctx, MAP_COUNT, Need.MAPPINGS)
    within = any(part.vma.line.start < start and end < part.vma.line.end for part in ctx.standing_at(start))
    return _at_least(ctx, 0, _SPLITS) if within else LETS_THROUGH


@rule(MAP_COUNT)
def move(ctx: CallContext) -> Answer:
    """mremap that grows and has to move for it (mm/mremap.c:prep_move_vma)."""
    request = ctx.request
    if not isinstance(request, Mremap) or not request.flags & f.MREMAP_MAYMOVE or request.new_size <= request.old_size:
        return LETS_THROUGH
    answer, part = _at_least(ctx, -3, _ADDS), moved_part(ctx, request)
    if answer is LETS_THROUGH or part is None:
        return LETS_THROUGH
    page = ctx.host.page_size
    own = request.old_address + pages_of(ctx, request.old_size) * page
    end = request.old_address + pages_of(ctx, request.new_size) * page
    in_the_way = any(vma.line.start < end and vma.line.end > own for vma in ctx.probe.vmas)
    return answer if in_the_way else LETS_THROUGH


@vma_rule(MAP_COUNT)
def split(ctx: CallContext, part: Part) -> Answer:
    """A mapping of which only a part is changed (mm/vma.c:vma_modify), unless that part joins its neighbour."""
    if not _changes(ctx, part):
        return LETS_THROUGH
    here = _cuts(ctx, part.vma)
    if not here:
        return LETS_THROUGH
    before = sum(
        _cuts(ctx, other.vma)
        for other in ctx.parts()
        if other.vma.line.start < part.vma.line.start and _changes(ctx, other)
    )
    answer = _at_least(ctx, 1 - here - before, _SPLITS)
    if answer is LETS_THROUGH or here == 2 or not _may_join(ctx, part.vma):
        return answer
    if answer.at_most is None:
        return answer
    words: Dict[str, Any] = dict(answer.words)
    return may_refuse(ctx, MAP_COUNT, *answer.evidence, errno=_errno(ctx), by_exclusion=True, **words)


def _changes(ctx: CallContext, part: Part) -> bool:
    request = ctx.request
    if isinstance(request, Mprotect):
        other_key = request.pkey not in (None, -1, part.vma.pkey)
        return part.before != ctx.wants_of(part) or other_key
    if isinstance(request, Madvise):
        sets, clears = _ADVICE_FLAGS.get(request.advice, ((), ()))
        return any(not part.vma.has(flag) for flag in sets) or any(part.vma.has(flag) for flag in clears)
    return not part.vma.has("sl")


def _cuts(ctx: CallContext, vma: Vma) -> int:
    return sum(vma.line.start < address < vma.line.end for address in (ctx.start, ctx.end))


def _may_join(ctx: CallContext, vma: Vma) -> bool:
    """Whether the changed part could be added to the mapping beside it, so that the cut only moves."""
    line, request = vma.line, ctx.request
    after = f.prot_letters(ctx.wants) if isinstance(request, Mprotect) else line.perms[:3]
    for other in ctx.probe.vmas:
        beside = other.line
        # What lies in the range is changed to the same.
        alike = beside.perms[:3] == after or ctx.start < beside.end <= line.start
        touches = beside.end == line.start if ctx.start <= line.start else beside.start == line.end
        if touches and alike and (beside.path, beside.perms[3]) == (line.path, line.perms[3]):
            return True
    return False


def _limit(ctx: CallContext) -> Optional[int]:
    return number_of(ctx.probe.sysctl.get("vm.max_map_count"))


def _errno(ctx: CallContext) -> Errno:
    return {"madvise": Errno.EAGAIN, "brk": Errno.NONE}.get(ctx.request.name, Errno.ENOMEM)


def _at_least(ctx: CallContext, more: int, verb: str) -> Answer:
    """Refused where there are as many mappings as the limit and `more`."""
    limit, count = _limit(ctx), ctx.probe.map_count
    if limit is None or count is None:
        # A mapping has a page at least. What fails in a loop is not counted at each failure, and nothing is proved.
        size = status_bytes(ctx, "VmSize")
        few = limit is not None and size is not None and size // ctx.host.page_size < limit + more
        if few or ctx.probe.short:
            return LETS_THROUGH
        return cannot_tell(ctx, MAP_COUNT, Need.SYSCTL if limit is None else Need.MAP_COUNT, errno=_errno(ctx))
    if count < limit + more:
        return LETS_THROUGH
    return refuses(
        ctx,
        MAP_COUNT,
        seen("%d mappings" % count, "/proc/PID/maps"),
        seen("vm.max_map_count = %d" % limit, "/proc/sys/vm/max_map_count"),
        errno=_errno(ctx),
        limit=limit,
        verb=verb,
        enough=max(262144, limit * 2),
    )
