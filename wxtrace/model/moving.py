"""What mremap does (mm/mremap.c): the one call that takes memory from one place to another."""

from __future__ import annotations

from typing import List

from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.event import Touched
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.touching import EffectContext, born, gone, page_align_up

__all__ = ["mremap"]


def mremap(space: AddressSpace, request: Request, result: int, ctx: EffectContext) -> List[Touched]:
    """Shrink, grow, move, show twice (old size 0), or leave an empty copy behind (MREMAP_DONTUNMAP)."""
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
        touched += [gone(piece) for piece in space.remove(old + new_length, old + old_length)]
        old_length = new_length
    moved = space.carve(old, old + old_length)
    if not keep_old:
        touched += [gone(piece) for piece in space.remove(old, old + old_length)]
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
    touched = [gone(old) for old in space.remove(start, end)]
    region = piece.region
    backing = region.backing
    if backing is not None:
        backing = backing._replace(offset=backing.offset + source - region.start)
    twin = ctx.new_region(
        space.id, start, end, region.provenance, backing, ctx.n, False, region.shared, region.grows_down
    )
    moved = piece._replace(start=start, end=end, region=twin)
    space.put(moved)
    touched.append(born(moved, None))
    return touched


def _resize_in_place(
    space: AddressSpace, ctx: EffectContext, start: int, old_length: int, new_length: int
) -> List[Touched]:
    if new_length <= old_length:
        return [gone(piece) for piece in space.remove(start + new_length, start + old_length)]
    last = space.at(start + old_length - 1)
    if last is None:
        return []
    low, high = start + old_length, start + new_length
    return _map_moved(space, ctx, last, low, low, high)
