"""How many pages a call adds to an address space, as mm/vma.c, mm/mremap.c and mm/mmap.c count them."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.evidence import number_of
from wxtrace.model.causes.opened import huge_page_size
from wxtrace.model.syscalls.aio import IoSetup
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["Growth", "covered", "growth", "mapped_length", "moved_part", "pages_of", "status_bytes"]

_MOST_CPUS = 8192
"""CONFIG_NR_CPUS of x86-64 at most (arch/x86/Kconfig)."""
_EVENT = 32
"""Bytes of an io_event, and of the aio_ring that stands before them (include/uapi/linux/aio_abi.h, fs/aio.c)."""


class Growth(NamedTuple):
    """Pages that are added at least, and at most (None: not known without `missing`)."""

    least: int
    most: Optional[int]
    missing: Tuple[Need, ...] = ()


def growth(ctx: CallContext) -> Optional[Growth]:
    """What the kernel asks may_expand_vm about; None where it does not ask, as nothing is to grow."""
    request = ctx.request
    if isinstance(request, Mmap):
        return _of_mmap(ctx, request)
    if isinstance(request, Mremap):
        return _of_mremap(ctx, request)
    if isinstance(request, Brk):
        return _of_brk(ctx, request)
    if isinstance(request, Shmat):
        return _of_segment(ctx, request)
    if isinstance(request, IoSetup):
        return _of_ring(ctx, request)
    return None


def pages_of(ctx: CallContext, length: int) -> int:
    """Pages that this many bytes take."""
    return -(-length // ctx.host.page_size)


def mapped_length(ctx: CallContext, request: Mmap) -> int:
    """Bytes that mmap maps: whole pages, or whole huge pages (mm/mmap.c:ksys_mmap_pgoff)."""
    size = huge_page_size(ctx) or ctx.host.page_size
    return -(-request.length // size) * size


def covered(ctx: CallContext, parts: Sequence[Part], start: int, end: int) -> int:
    """Pages of these mappings that lie in a range."""
    bytes_in = sum(max(min(p.vma.line.end, end) - max(p.vma.line.start, start), 0) for p in parts)
    return bytes_in // ctx.host.page_size


def moved_part(ctx: CallContext, request: Mremap) -> Optional[Part]:
    """The mapping that mremap starts from."""
    return next(iter(ctx.standing_at(request.old_address)), None)


def status_bytes(ctx: CallContext, key: str) -> Optional[int]:
    """A size of /proc/PID/status in bytes."""
    words = ctx.probe.status.get(key, "").split()
    size = number_of(words[0]) if words else None
    return None if size is None else size * 1024


def _of_mmap(ctx: CallContext, request: Mmap) -> Growth:
    length = mapped_length(ctx, request)
    pages = pages_of(ctx, length)
    if not request.flags & f.MAP_FIXED or request.flags & f.MAP_FIXED_NOREPLACE:
        return Growth(pages, pages)
    if not ctx.probe.vmas_complete:
        return Growth(0, None, (Need.MAPPINGS,))
    # What is replaced is taken off first, whatever it is (mm/vma.c:__mmap_prepare).
    pages -= covered(ctx, ctx.parts(), request.addr, request.addr + length)
    return Growth(pages, pages)


def _of_mremap(ctx: CallContext, request: Mremap) -> Optional[Growth]:
    old, new = pages_of(ctx, request.old_size), pages_of(ctx, request.new_size)
    if request.flags & f.MREMAP_DONTUNMAP:
        # The old range stays: mm/mremap.c:mremap_to asks for the whole of it.
        pages = old
    elif new > old:
        pages = new - old
    else:
        return None
    if request.flags & f.MREMAP_FIXED:
        # What stands at the target has been unmapped by then.
        pages -= covered(ctx, ctx.replaced(), request.new_address, request.new_address + new * ctx.host.page_size)
    return Growth(pages, pages)


def _of_brk(ctx: CallContext, request: Brk) -> Optional[Growth]:
    if ctx.probe.brk is None:
        return Growth(0, None, (Need.BREAK,))
    pages = pages_of(ctx, request.addr) - pages_of(ctx, ctx.probe.brk)
    return Growth(pages, pages) if pages > 0 else None


def _of_segment(ctx: CallContext, request: Shmat) -> Growth:
    segment = ctx.probe.segment
    if segment is None or segment.size is None:
        return Growth(0, None, (Need.SEGMENT,))
    pages = pages_of(ctx, segment.size)
    if request.shmflg & f.SHM_REMAP:
        return Growth(0, pages, (Need.MAPPINGS,))
    return Growth(pages, pages)


def _of_ring(ctx: CallContext, request: IoSetup) -> Growth:
    # fs/aio.c:ioctx_alloc doubles the events, and takes four for each possible processor if that is more.
    least, most = (max(request.nr_events, 4 * cpus) for cpus in (1, _MOST_CPUS))
    return Growth(pages_of(ctx, _EVENT * (2 * least + 3)), pages_of(ctx, _EVENT * (2 * most + 3)))
