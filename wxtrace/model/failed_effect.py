"""What a failed call aimed at, and what it changed all the same."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from wxtrace.decoders.procmaps import Vma
from wxtrace.model.event import Touched
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls.effect import gone
from wxtrace.model.syscalls.row import Aim, CallRequest, Range, Syscall, page_align_up

__all__ = ["apply_failure"]


def apply_failure(
    space: AddressSpace,
    row: Syscall,
    request: CallRequest,
    changes: Sequence[Tuple[Optional[Piece], Optional[Piece]]],
    vmas: Sequence[Vma],
    n: int,
    page_size: int,
) -> List[Touched]:
    """What a failed call aimed at, with every part as it is after `changes` (a fresh reading of the range).

    `vmas`: the mappings of the range as they were read after it; `n`: its event.
    """
    if row.remains is not None:
        row.remains(space, request, vmas, n, page_size)
    aim = row.aims(request, space, page_size)
    before = {old.start: old for old, new in changes if old is not None}
    touched = []
    for part in (aim.own, aim.replaced):
        low, high = part[0] // page_size * page_size, page_align_up(part[1], page_size)
        for piece in _pieces_aimed_at(space, aim, part):
            old = before.pop(piece.start, piece)
            region = piece.region
            touched.append(
                Touched(
                    region.id,
                    max(piece.start, low),
                    min(piece.end, high),
                    old.perms,
                    aim.asked,
                    piece.perms,
                    region.provenance,
                    piece.sealed_by,
                )
            )
    touched += [gone(old) for old in before.values()]
    if not touched and aim.unmapped_too is not None:
        touched.append(Touched(None, *aim.own, None, aim.asked, None, aim.unmapped_too))
    return sorted(touched, key=lambda part: part.start)


def _pieces_aimed_at(space: AddressSpace, aim: Aim, part: Range) -> List[Piece]:
    pieces = space.overlapping(*part)
    return pieces if aim.only is None or part != aim.own else [piece for piece in pieces if aim.only(piece)]
