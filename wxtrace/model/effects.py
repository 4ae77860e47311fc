"""What a successful call does to an address space (one function a call), and what a failed one had asked for.

The kernel's own rules, call by call: mm/mmap.c, mm/mprotect.c, mm/mremap.c, ipc/shm.c. Where arguments do not
tell what was mapped, the caller brings the lines the kernel showed right after the call.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.event import Touched
from wxtrace.model.region import Backing, Piece, Region, backing_of_line, provenance_of_line
from wxtrace.model.space import AddressSpace

__all__ = ["EffectContext", "apply_failure", "apply_success", "page_align_up"]

NewRegion = Callable[..., Region]


class EffectContext:
    """What an effect needs beside the call: the event's number, fresh regions, the page size in bytes."""

    def __init__(self, n: int, new_region: NewRegion, page_size: int, lines: Sequence[MapLine] = ()) -> None:
        self.n = n
        self.new_region = new_region
        self.page_size = page_size
        self.lines = lines

    def line_at(self, address: int) -> Optional[MapLine]:
        """The line the kernel showed at this address after the call."""
        for line in self.lines:
            if line.start <= address < line.end:
                return line
        return None


def page_align_up(length: int, page_size: int) -> int:
    """Round up to whole pages, as PAGE_ALIGN does."""
    return (length + page_size - 1) & ~(page_size - 1)


def apply_success(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    """Change `space` as the kernel did, and say what was touched."""
    effect = _EFFECTS.get(request.name)
    return effect(space, request, result, ctx) if effect else []


def apply_failure(
    space: AddressSpace,
    request: Request,
    changes: Sequence[Tuple[Optional[Piece], Optional[Piece]]],
    page_size: int,
) -> List[Touched]:
    """What a failed call aimed at, with every part as it is after `changes` (a fresh reading of the range)."""
    asked = _asked(request)
    start, end = _aimed_at(space, request, page_size)
    if request.name == "madvise" and start % page_size == 0 and end < 1 << 64:
        # Every mapped part is done before ENOMEM is returned (mm/madvise.c:madvise_walk_vmas).
        _madvise(space, request, 0, EffectContext(0, _no_region, page_size))
    before = {old.start: old for old, new in changes if old is not None}
    touched = []
    for aim in ((start, end), _replaced_by(request, page_size)):
        for piece in space.overlapping(*aim):
            low, high = max(piece.start, aim[0]), min(piece.end, aim[1])
            old = before.pop(piece.start, piece)
            touched.append(
                Touched(
                    piece.region.id,
                    low,
                    high,
                    old.perms,
                    asked,
                    piece.perms,
                    piece.region.provenance,
                    piece.sealed_by,
                )
            )
    for old in before.values():
        touched.append(_gone(old))
    if not touched and request.name in ("mmap", "shmat", "brk"):
        touched.append(Touched(None, start, end, None, asked, None, _asked_provenance(request)))
    return sorted(touched, key=lambda part: part.start)


def _no_region(*_: object) -> Region:
    raise AssertionError("advice maps nothing")


def _asked(request: Request) -> Optional[str]:
    if request.name == "shmat":
        letters = "r-" if request.flags & f.SHM_RDONLY else "rw"
        return letters + ("x" if request.flags & f.SHM_EXEC else "-")
    if request.name == "brk":
        return "rw-"
    return None if request.prot is None else f.prot_letters(request.prot)


def _asked_provenance(request: Request) -> str:
    if request.name == "brk":
        return "heap"
    if request.name == "shmat":
        return "shm"
    return _mmap_provenance(request, None)


def _aimed_at(space: AddressSpace, request: Request, page_size: int) -> Tuple[int, int]:
    if request.name == "brk":
        # A refused brk changes nothing; what it aimed at is the part beyond the present break.
        old = page_align_up(space.brk, page_size)
        new = page_align_up(request.addr, page_size)
        return min(old, new), max(old, new)
    if request.name == "mremap":
        return request.addr, request.addr + page_align_up(max(request.length, 1), page_size)
    if request.name == "mmap" and not request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE):
        return (request.addr, request.addr) if request.addr else (0, 0)
    return request.addr, request.addr + page_align_up(request.length, page_size)


def _replaced_by(request: Request, page_size: int) -> Tuple[int, int]:
    """Where something else is in the way: under mremap's target, and the first page under shmat."""
    if request.name == "mremap" and request.flags & f.MREMAP_FIXED:
        return request.new_addr, request.new_addr + page_align_up(request.new_length, page_size)
    if request.name == "shmat" and request.addr:
        return request.addr, request.addr + page_size
    return 0, 0


def _gone(piece: Piece) -> Touched:
    return Touched(
        piece.region.id,
        piece.start,
        piece.end,
        piece.perms,
        None,
        None,
        piece.region.provenance,
        piece.sealed_by,
    )


def _born(piece: Piece, asked: Optional[str]) -> Touched:
    return Touched(piece.region.id, piece.start, piece.end, None, asked, piece.perms, piece.region.provenance)


def _mmap_provenance(request: Request, line: Optional[MapLine]) -> str:
    kind = request.flags & f.MAP_TYPE
    if line is not None and (line.inode or not request.flags & f.MAP_ANONYMOUS):
        return provenance_of_line(line)
    if request.flags & f.MAP_HUGETLB:
        return "hugetlb"
    if request.flags & f.MAP_ANONYMOUS:
        if kind in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE):
            return "anon-shared"
        return "thread-stack" if request.flags & f.MAP_STACK else "anon"
    return "file-shared" if kind in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE) else "file"


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
    touched = [_gone(piece) for piece in space.remove(start, end)]
    line = ctx.line_at(start)
    if line is not None:
        prot = f.prot_of_letters(line.perms)
        shared = line.perms[3] == "s"
    region = ctx.new_region(
        space.id, start, end, provenance, _backing_at(line, start), ctx.n, False, shared, grows_down
    )
    piece = Piece(start, end, region, prot)
    space.put(piece)
    touched.append(_born(piece, asked))
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
        _mmap_provenance(request, line),
        prot,
        request.flags & f.MAP_TYPE in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE),
        f.prot_letters(prot),
        bool(request.flags & f.MAP_GROWSDOWN),
    )


def _munmap(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    end = request.addr + page_align_up(request.length, ctx.page_size)
    return [_gone(piece) for piece in space.remove(request.addr, end)]


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
    while below is not None and below[2:] == piece[2:]:
        piece, below = below, space.at(below.start - 1)
    return piece.start


def _brk(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    old, new = page_align_up(space.brk, ctx.page_size), page_align_up(result, ctx.page_size)
    known, space.brk = space.brk, result
    if not known or old == new:
        return []
    if new < old:
        return [_gone(piece) for piece in space.remove(new, old)]
    return _map_new(space, ctx, old, new, "heap", f.PROT_READ | f.PROT_WRITE, False, "rw-")


def _mremap(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    old, new = request.addr, result
    old_length = page_align_up(request.length, ctx.page_size)
    new_length = page_align_up(request.new_length, ctx.page_size)
    if old_length == 0:
        # The one mapping at `old` is shown a second time, whatever lies behind it, and stays.
        piece = space.at(old)
        return [] if piece is None else _map_moved(space, ctx, piece, old, new, new + new_length)
    keep_old = bool(request.flags & f.MREMAP_DONTUNMAP)
    if new == old and not keep_old:
        return _resize_in_place(space, ctx, old, old_length, new_length)
    touched: List[Touched] = []
    if new_length < old_length:
        touched += [_gone(piece) for piece in space.remove(old + new_length, old + old_length)]
        old_length = new_length
    moved = space.carve(old, old + old_length)
    if not keep_old:
        touched += [_gone(piece) for piece in space.remove(old, old + old_length)]
    for piece in moved:
        # Several mappings, with holes between or behind them, move only at equal lengths; under a hole the
        # target stays as it was (mm/mremap.c:remap_move, Linux 6.17).
        grown = new_length - old_length if piece is moved[-1] else 0
        start = new + piece.start - old
        touched += _map_moved(space, ctx, piece, piece.start, start, start + piece.end - piece.start + grown)
    return touched


def _map_moved(
    space: AddressSpace, ctx: EffectContext, piece: Piece, source: int, start: int, end: int
) -> List[Touched]:
    """The same memory at another place: same object, protection and advice, a region of its own."""
    touched = [_gone(old) for old in space.remove(start, end)]
    region = piece.region
    backing = region.backing
    if backing is not None:
        backing = backing._replace(offset=backing.offset + source - region.start)
    twin = ctx.new_region(
        space.id, start, end, region.provenance, backing, ctx.n, False, region.shared, region.grows_down
    )
    moved = piece._replace(start=start, end=end, region=twin)
    space.put(moved)
    touched.append(_born(moved, None))
    return touched


def _resize_in_place(
    space: AddressSpace, ctx: EffectContext, start: int, old_length: int, new_length: int
) -> List[Touched]:
    if new_length <= old_length:
        return [_gone(piece) for piece in space.remove(start + new_length, start + old_length)]
    last = space.at(start + old_length - 1)
    if last is None:
        return []
    low, high = start + old_length, start + new_length
    return _map_moved(space, ctx, last, low, low, high)


def _shmat(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    line = ctx.line_at(result)
    if line is None:
        return []
    prot = f.prot_of_letters(line.perms)
    return _map_new(space, ctx, result, line.end, "shm", prot, True, _asked(request))


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
            touched += [_gone(old) for old in space.remove(piece.start, piece.end)]
    return touched


def _remap_file_pages(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    start = request.addr & ~(ctx.page_size - 1)
    end = start + (request.length & ~(ctx.page_size - 1))
    piece = space.at(start)
    if piece is None or piece.region.backing is None:
        return []
    region, backing = piece.region, piece.region.backing._replace(offset=request.offset)
    touched = [_gone(old) for old in space.remove(start, end)]
    twin = ctx.new_region(space.id, start, end, region.provenance, backing, ctx.n, False, region.shared)
    fresh = Piece(start, end, twin, piece.prot)
    space.put(fresh)
    return [*touched, _born(fresh, None)]


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
    return [_gone(old) for old in space.remove(region.start, region.end)]


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


def _madvise(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
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
    "mremap": _mremap,
    "shmat": _shmat,
    "shmdt": _shmdt,
    "remap_file_pages": _remap_file_pages,
    "io_setup": _map_shown,
    "io_destroy": _io_destroy,
    "map_shadow_stack": _map_shown,
    "mseal": _mseal,
    "madvise": _madvise,
}
