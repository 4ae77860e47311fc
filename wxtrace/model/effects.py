"""What a successful call does to an address space (one function a call), and what a failed one had asked for.

The kernel's own rules, call by call: mm/mmap.c, mm/mprotect.c, mm/mremap.c, ipc/shm.c. Where arguments do not
tell what was mapped, the caller brings the lines the kernel showed right after the call.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.event import Touched
from wxtrace.model.moving import mremap
from wxtrace.model.region import (
    Backing,
    Piece,
    Region,
    backing_of_line,
    provenance_of_line,
    same_but_history,
)
from wxtrace.model.space import AddressSpace
from wxtrace.model.touching import EffectContext, asked_letters, born, gone, mmap_provenance, page_align_up

__all__ = ["apply_success", "madvise"]

NewRegion = Callable[..., Region]


def apply_success(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    """Change `space` as the kernel did, and say what was touched."""
    effect = _EFFECTS.get(request.name)
    return effect(space, request, result, ctx) if effect else []


def _backing_at(line: Optional[MapLine], address: int) -> Optional[Backing]:
    backing = backing_of_line(line) if line is not None else None
    if backing is None or line is None:
        return None
    return backing._replace(offset=backing.offset + address - line.start)


def _map_new(
    space: AddressSpace,
    ctx: EffectContext,
    start: int,
    end: int,
    provenance: str,
    prot: int,
    shared: bool,
    asked: Optional[str],
    grows_down: bool = False,
) -> List[Touched]:
    """A fresh region over [start, end); whatever was there is gone (MAP_FIXED)."""
    touched = [gone(piece) for piece in space.remove(start, end)]
    line = ctx.line_at(start)
    if line is not None:
        prot = f.prot_of_letters(line.perms)
        shared = line.perms[3] == "s"
    region = ctx.new_region(
        space.id, start, end, provenance, _backing_at(line, start), ctx.n, False, shared, grows_down
    )
    piece = Piece(start, end, region, prot)
    space.put(piece)
    touched.append(born(piece, asked))
    return touched


def _mmap(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    line = ctx.line_at(result)
    length = page_align_up(request.length, ctx.page_size)
    if request.flags & f.MAP_HUGETLB and line is not None:
        length = line.end - result
    prot = (request.prot or 0) & 7
    return _map_new(
        space,
        ctx,
        result,
        result + length,
        mmap_provenance(request, line),
        prot,
        request.flags & f.MAP_TYPE in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE),
        f.prot_letters(prot),
        bool(request.flags & f.MAP_GROWSDOWN),
    )


def _munmap(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    end = request.addr + page_align_up(request.length, ctx.page_size)
    return [gone(piece) for piece in space.remove(request.addr, end)]


def _mprotect(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    prot = (request.prot or 0) & 7
    start, end = request.addr, request.addr + page_align_up(request.length, ctx.page_size)
    if start == end:
        return []
    if (request.prot or 0) & f.GROWSDOWN:
        start = _growing_start(space, start)
    elif space.at(start) is None:
        # It succeeded, so memory was there: a growing region had grown this far.
        space.grow_down(start)
    asked = f.prot_letters(prot)
    touched = []
    for old, new in space.protect(start, end, prot):
        line = ctx.line_at(new.start)
        if line is not None and line.perms[:3] != f.prot_letters(prot):
            # READ_IMPLIES_EXEC: asked without X, given with it (mm/mprotect.c:do_mprotect_pkey).
            new = new._replace(prot=f.prot_of_letters(line.perms))
            space.replace(new)
        region = old.region
        touched.append(
            Touched(
                region.id,
                old.start,
                old.end,
                old.perms,
                asked,
                new.perms,
                region.provenance,
                old.sealed_by,
            )
        )
    return touched


def _growing_start(space: AddressSpace, address: int) -> int:
    """Where the mapping at or above `address` starts: PROT_GROWSDOWN means all of it (mm/mprotect.c)."""
    piece = space.at(address) or space.neighbours(address, address)[1]
    if piece is None:
        return address
    below = space.at(piece.start - 1)
    while below is not None and same_but_history(below, piece):
        piece, below = below, space.at(below.start - 1)
    return piece.start


def _brk(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    old, new = page_align_up(space.brk, ctx.page_size), page_align_up(result, ctx.page_size)
    known, space.brk = space.brk, result
    if not known or old == new:
        return []
    if new < old:
        return [gone(piece) for piece in space.remove(new, old)]
    return _map_new(space, ctx, old, new, "heap", f.PROT_READ | f.PROT_WRITE, False, "rw-")


def _shmat(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    line = ctx.line_at(result)
    if line is None:
        return []
    prot = f.prot_of_letters(line.perms)
    return _map_new(space, ctx, result, line.end, "shm", prot, True, asked_letters(request))


def _shmdt(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    """Every piece of the segment goes whose distance from `addr` equals its offset (ipc/shm.c:ksys_shmdt)."""
    first = None
    touched = []
    for piece in space.overlapping(request.addr, 1 << 64):
        backing = piece.region.backing
        if piece.region.provenance != "shm" or backing is None:
            continue
        if piece.start - request.addr != piece.offset:
            continue
        if first is None:
            first = backing
        if (backing.dev, backing.inode) == (first.dev, first.inode) and piece.sealed_by is None:
            touched += [gone(old) for old in space.remove(piece.start, piece.end)]
    return touched


def _remap_file_pages(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    start = request.addr & ~(ctx.page_size - 1)
    end = start + (request.length & ~(ctx.page_size - 1))
    piece = space.at(start)
    if piece is None or piece.region.backing is None:
        return []
    region, backing = piece.region, piece.region.backing._replace(offset=request.offset)
    touched = [gone(old) for old in space.remove(start, end)]
    twin = ctx.new_region(space.id, start, end, region.provenance, backing, ctx.n, False, region.shared)
    fresh = Piece(start, end, twin, piece.prot)
    space.put(fresh)
    return [*touched, born(fresh, None)]


def _map_shown(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    """io_setup and map_shadow_stack: only the kernel's own lines tell what was mapped."""
    touched: List[Touched] = []
    for line in ctx.lines:
        provenance = "shadow-stack" if request.name == "map_shadow_stack" else provenance_of_line(line)
        start = result if request.name == "map_shadow_stack" else line.start
        touched += _map_new(
            space, ctx, start, line.end, provenance, f.prot_of_letters(line.perms), line.perms[3] == "s", None
        )
    return touched


def _io_destroy(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    piece = space.at(request.addr)
    if piece is None or piece.region.provenance != "aio":
        return []
    region = piece.region
    return [gone(old) for old in space.remove(region.start, region.end)]


def _mseal(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    end = request.addr + page_align_up(request.length, ctx.page_size)
    touched = []
    for piece in space.carve(request.addr, end):
        if piece.sealed_by is None:
            piece = piece._replace(sealed_by=ctx.n)
            space.replace(piece)
        touched.append(
            Touched(
                piece.region.id,
                piece.start,
                piece.end,
                piece.perms,
                None,
                piece.perms,
                piece.region.provenance,
                piece.sealed_by,
            )
        )
    return touched


def madvise(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    """MADV_DONTFORK and MADV_DOFORK mark pages; every other advice leaves the map as it is."""
    end = request.addr + page_align_up(request.length, ctx.page_size)
    if request.flags in (f.ADVICE_DONTFORK, f.ADVICE_DOFORK):
        for piece in space.carve(request.addr, end):
            space.replace(piece._replace(dont_fork=request.flags == f.ADVICE_DONTFORK))
    return [
        Touched(
            piece.region.id,
            max(piece.start, request.addr),
            min(piece.end, end),
            piece.perms,
            None,
            piece.perms,
            piece.region.provenance,
            piece.sealed_by,
        )
        for piece in space.overlapping(request.addr, end)
    ]


_EFFECTS: Dict[str, Callable[[AddressSpace, Request, int, EffectContext], List[Touched]]] = {
    "mmap": _mmap,
    "munmap": _munmap,
    "mprotect": _mprotect,
    "pkey_mprotect": _mprotect,
    "brk": _brk,
    "mremap": mremap,
    "shmat": _shmat,
    "shmdt": _shmdt,
    "remap_file_pages": _remap_file_pages,
    "io_setup": _map_shown,
    "io_destroy": _io_destroy,
    "map_shadow_stack": _map_shown,
    "mseal": _mseal,
    "madvise": madvise,
}
