"""Mappings that are changed whole or not at all: huge pages and the kernel's own (vm_operations_struct.may_split)."""

from __future__ import annotations

from typing import List, Optional, Tuple

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.causes.address.special import SPECIAL_MAPPING
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, first_of, may_refuse, refuses, rule, vma_rule
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.hugetlb import HUGETLB
from wxtrace.model.causes.mappings import is_special, place
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["cut", "cut_by_a_new_mapping", "cut_by_mprotect", "huge_pages_at_mremap", "left_behind"]

_SMALLEST, _LARGEST = 2 << 20, 1 << 30
"""Sizes of huge pages on x86-64."""
_SMAPS = "VmFlags in /proc/PID/smaps"


@rule(HUGETLB)
def huge_pages_at_mremap(ctx: CallContext) -> Answer:
    """Lengths count in whole huge pages; growing is not possible (mm/mremap.c:check_prep_vma, align_hugetlb)."""
    request, part = ctx.request, next(iter(ctx.reached()), None)
    if not isinstance(request, Mremap) or part is None or not part.vma.has("ht"):
        return LETS_THROUGH
    fact = seen("%s consists of huge pages (`ht`)" % place(part.vma.line), _SMAPS)
    if _misaligned(part.vma.line, request.old_address):
        return refuses(ctx, HUGETLB, fact, errno=Errno.EINVAL)
    size = _page_size(part.vma.line)
    old, new = (-(-length // (size or _SMALLEST)) for length in (request.old_size, request.new_size))
    if new > old:
        # By less than the largest page there is it may not have grown at all.
        surely = size is not None or request.new_size - request.old_size >= _LARGEST
        return refuses(ctx, HUGETLB, fact, errno=Errno.EINVAL, case="grow", certain=surely)
    return LETS_THROUGH


@rule(SPECIAL_MAPPING)
def left_behind(ctx: CallContext) -> Answer:
    """MREMAP_DONTUNMAP of what may not be there twice (mm/mremap.c:check_prep_vma)."""
    request, part = ctx.request, next(iter(ctx.reached()), None)
    if not isinstance(request, Mremap) or not request.flags & f.MREMAP_DONTUNMAP or part is None:
        return LETS_THROUGH
    if not part.vma.has("de") and not part.vma.has("pf"):
        return LETS_THROUGH
    fact = seen("VM_DONTEXPAND or VM_PFNMAP is set (`de`, `pf`)", _SMAPS)
    path = part.vma.line.path or "this mapping"
    return refuses(ctx, SPECIAL_MAPPING, fact, errno=Errno.EINVAL, case="leave", path=path)


@rule(HUGETLB, SPECIAL_MAPPING)
def cut(ctx: CallContext) -> Answer:
    """munmap of a part, and mremap that shrinks or moves one."""
    parts = ctx.reached() if ctx.request.name in ("munmap", "mremap") else []
    return first_of(_answer(ctx, part, _cuts(ctx)) for part in parts)


@rule(HUGETLB, SPECIAL_MAPPING)
def cut_by_a_new_mapping(ctx: CallContext) -> Answer:
    """A mapping in the place of a part: mmap with MAP_FIXED, and shmat with SHM_REMAP (mm/vma.c:mmap_region)."""
    request, parts = ctx.request, ctx.parts()
    if isinstance(request, Shmat):
        if not request.shmaddr or not request.shmflg & f.SHM_REMAP:
            return LETS_THROUGH
        segment, parts = ctx.probe.segment, ctx.replaced()
        size = segment.size if segment is not None else None
        return first_of(_answer(ctx, part, _ends(ctx, request.shmaddr, size or 0)) for part in parts)
    assert isinstance(request, Mmap)
    if not request.flags & f.MAP_FIXED or request.flags & f.MAP_FIXED_NOREPLACE:
        return LETS_THROUGH
    return first_of(_answer(ctx, part, (ctx.start, ctx.end)) for part in parts)


def _ends(ctx: CallContext, start: int, size: int) -> Tuple[int, ...]:
    page = ctx.host.page_size
    start = start // page * page
    return (start, start + -(-size // page) * page)


@vma_rule(HUGETLB, SPECIAL_MAPPING)
def cut_by_mprotect(ctx: CallContext, part: Part) -> Answer:
    """Another protection, or key, for a part."""
    request = ctx.request
    assert isinstance(request, Mprotect)
    other_key = request.pkey not in (None, -1, part.vma.pkey)
    if ctx.wants_of(part) == part.before and not other_key:
        return LETS_THROUGH
    return _answer(ctx, part, (ctx.start, ctx.end))


def _cuts(ctx: CallContext) -> Tuple[int, ...]:
    request = ctx.request
    if not isinstance(request, Mremap):
        return ctx.start, ctx.end
    shrinks, moves = request.new_size < request.old_size, bool(request.flags & (f.MREMAP_FIXED | f.MREMAP_DONTUNMAP))
    places: List[int] = []
    if shrinks:
        places += [ctx.start + (request.new_size + ctx.host.page_size - 1) // ctx.host.page_size * ctx.host.page_size]
    if moves:
        places += [ctx.start]
    return (*places, ctx.end) if places else ()


def _answer(ctx: CallContext, part: Part, cuts: Tuple[int, ...]) -> Answer:
    line = part.vma.line
    inside = [address for address in cuts if line.start < address < line.end]
    if not inside:
        return LETS_THROUGH
    if is_special(line.path):
        fact = seen("the range has only a part of %s" % place(line), "/proc/PID/smaps")
        return refuses(ctx, SPECIAL_MAPPING, fact, errno=Errno.EINVAL, case="cut", path=line.path)
    if not part.vma.has("ht"):
        return LETS_THROUGH
    fact = seen("%s consists of huge pages (`ht`)" % place(line), _SMAPS)
    misaligned = [_misaligned(line, address) for address in inside]
    if True in misaligned:
        return refuses(ctx, HUGETLB, fact, errno=Errno.EINVAL)
    return may_refuse(ctx, HUGETLB, fact, errno=Errno.EINVAL) if None in misaligned else LETS_THROUGH


def _page_size(line: MapLine) -> Optional[int]:
    """The size of the huge pages of a mapping in bytes, where its place allows only one."""
    return None if line.start % _LARGEST == 0 and line.end % _LARGEST == 0 else _SMALLEST


def _misaligned(line: MapLine, address: int) -> Optional[bool]:
    """Whether an address is inside a huge page; None where that depends on their size."""
    if address % _SMALLEST:
        return True
    return None if address % _LARGEST and _page_size(line) is None else False
