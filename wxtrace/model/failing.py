"""What a failed call aimed at, and what it changed all the same."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from wxtrace.decoders.procmaps import Vma
from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.effects import madvise
from wxtrace.model.event import Touched
from wxtrace.model.region import Piece, Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.touching import EffectContext, asked_letters, gone, mmap_provenance, page_align_up

__all__ = ["apply_failure", "seal_in_part"]


def apply_failure(
    space: AddressSpace,
    request: Request,
    changes: Sequence[Tuple[Optional[Piece], Optional[Piece]]],
    page_size: int,
) -> List[Touched]:
    """What a failed call aimed at, with every part as it is after `changes` (a fresh reading of the range)."""
    asked = asked_letters(request)
    start, end = _aimed_at(space, request, page_size)
    if request.name == "madvise" and start % page_size == 0 and end < 1 << 64:
        # Every mapped part is done before ENOMEM is returned (mm/madvise.c:madvise_walk_vmas).
        madvise(space, request, 0, EffectContext(0, _no_region, page_size))
    before = {old.start: old for old, new in changes if old is not None}
    touched = []
    for aim in ((start, end), _replaced_by(request, page_size)):
        for piece in _pieces_aimed_at(space, request, aim):
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
        touched.append(gone(old))
    if not touched and request.name in ("mmap", "shmat", "brk"):
        touched.append(Touched(None, start, end, None, asked, None, _asked_provenance(request)))
    return sorted(touched, key=lambda part: part.start)


def seal_in_part(space: AddressSpace, request: Request, vmas: Sequence[Vma], n: int) -> List[Touched]:
    """Parts that mseal sealed before a later one could not be split off (mm/mseal.c:mseal_apply), as event `n` left
    them; seals show in smaps only. What was found sealed at attach is not counted."""
    touched = []
    end = request.addr + request.length
    for vma in vmas:
        if not vma.has("sl") or vma.line.end <= request.addr or vma.line.start >= end:
            continue
        for piece in space.carve(max(vma.line.start, request.addr), min(vma.line.end, end)):
            if piece.sealed_by is None and not piece.region.inferred:
                space.replace(piece._replace(sealed_by=n))
                region = piece.region
                touched.append(
                    Touched(region.id, piece.start, piece.end, piece.perms, None, piece.perms, region.provenance, n)
                )
    return touched


def _pieces_aimed_at(space: AddressSpace, request: Request, aim: Tuple[int, int]) -> List[Piece]:
    if request.name == "shmdt" and aim[1]:
        # All of one attachment, at its own offsets behind the address (ipc/shm.c:ksys_shmdt).
        pieces = space.overlapping(request.addr, 1 << 64)
        return [piece for piece in pieces if piece.start - request.addr == piece.offset and _is_segment(piece)]
    return space.overlapping(*aim)


def _is_segment(piece: Piece) -> bool:
    return piece.region.provenance == "shm"


def _no_region(*_: object) -> Region:
    raise AssertionError("advice maps nothing")


def _asked_provenance(request: Request) -> str:
    if request.name == "brk":
        return "heap"
    if request.name == "shmat":
        return "shm"
    return mmap_provenance(request, None)


def _aimed_at(space: AddressSpace, request: Request, page_size: int) -> Tuple[int, int]:
    if request.name == "brk":
        # A refused brk changes nothing; what it aimed at is the part beyond the present break.
        old = page_align_up(space.brk, page_size)
        new = page_align_up(request.addr, page_size)
        return min(old, new), max(old, new)
    if request.name == "mremap":
        return request.addr, request.addr + page_align_up(max(request.length, 1), page_size)
    if request.name == "shmdt":
        return request.addr, 1 << 64
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
