"""mremap (mm/mremap.c): the one call that takes memory from one place to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Touched
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, born, gone
from wxtrace.model.syscalls.row import EVERYTHING, Aim, Evidence, Range, Returns, Syscall, Words, page_align_up

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Mremap"]


class Mremap(NamedTuple):
    """mremap(2)."""

    old_address: int
    old_size: int
    new_size: int
    flags: int
    new_address: int

    @property
    def name(self) -> str:
        return "mremap"

    @property
    def start(self) -> int:
        return self.old_address

    @property
    def length(self) -> int:
        return self.old_size


def _affects(args: Words, page: int) -> Optional[Range]:
    return EVERYTHING


def _effect(space: AddressSpace, request: Mremap, result: int, ctx: EffectContext) -> List[Touched]:
    """Shrink, grow, move, show twice (old size 0), or leave an empty copy behind (MREMAP_DONTUNMAP)."""
    old, new = request.old_address, result
    old_size = page_align_up(request.old_size, ctx.page_size)
    new_size = page_align_up(request.new_size, ctx.page_size)
    if old_size == 0:
        # The one mapping at `old` is shown a second time, whatever lies behind it, and stays.
        piece = space.at(old)
        return [] if piece is None else _map_moved(space, ctx, piece, old, new, new + new_size)
    keep_old = bool(request.flags & f.MREMAP_DONTUNMAP)
    if new == old and not keep_old:
        return _resize_in_place(space, ctx, old, old_size, new_size)
    touched: List[Touched] = []
    if new_size < old_size:
        touched += [gone(piece) for piece in space.remove(old + new_size, old + old_size)]
        old_size = new_size
    moved = space.carve(old, old + old_size)
    if not keep_old:
        touched += [gone(piece) for piece in space.remove(old, old + old_size)]
    for piece in moved:
        # Several mappings, with holes between or behind them, move only at equal lengths; under a hole the
        # target stays as it was (mm/mremap.c:remap_move, Linux 6.17).
        grown = new_size - old_size if piece is moved[-1] else 0
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
    space: AddressSpace, ctx: EffectContext, start: int, old_size: int, new_size: int
) -> List[Touched]:
    if new_size <= old_size:
        return [gone(piece) for piece in space.remove(start + new_size, start + old_size)]
    last = space.at(start + old_size - 1)
    if last is None:
        return []
    low, high = start + old_size, start + new_size
    return _map_moved(space, ctx, last, low, low, high)


def _target(request: Mremap, page: int) -> Range:
    if not request.flags & f.MREMAP_FIXED:
        return 0, 0
    return request.new_address, request.new_address + page_align_up(request.new_size, page)


def _aims(request: Mremap, space: AddressSpace, page: int) -> Aim:
    old_size = page_align_up(max(request.old_size, 1), page)
    return Aim((request.old_address, request.old_address + old_size), _target(request, page))


def _reread(request: Mremap, page: int) -> List[Range]:
    old = (request.old_address, request.old_address + page_align_up(request.old_size, page))
    return [old, _target(request, page)]


def _looks_at(request: Mremap, brk: Optional[int]) -> List[Range]:
    start, target = request.old_address, request.new_address
    old = (start, start + max(request.old_size, request.new_size, 1))
    return [old, (target, target + max(request.new_size, 1))] if request.flags & f.MREMAP_FIXED else [old]


def _checks() -> Order:
    from wxtrace.model.causes import hooks, may_split, mseal
    from wxtrace.model.causes.address import below_minimum, room, special, unmapped
    from wxtrace.model.causes.argument import mremap
    from wxtrace.model.causes.limit import map_count, memlock, overcommit, size

    return (
        mremap.arguments,
        mremap.target,
        map_count.map_count,
        special.vsyscall,
        unmapped.unmapped,
        mseal.sealed,
        may_split.huge_pages_at_mremap,
        may_split.left_behind,
        map_count.split_by_unmapping,
        special.not_together,
        mremap.copy,
        mremap.one_mapping,
        special.cannot_grow,
        mremap.given_up,
        memlock.memlock,
        size.address_space,
        size.data,
        mseal.sealed_target,
        may_split.cut,
        below_minimum.below_minimum,
        hooks.MMAP_ADDR,
        room.beyond_the_end,
        room.cannot_stay,
        room.no_gap,
        map_count.move,
        overcommit.overcommit,
    )


ROWS = (
    Syscall(
        "mremap",
        {Abi.X86_64: 25, Abi.I386: 163},
        (
            ("old_address", s.address),
            ("old_size", s.length),
            ("new_size", s.length),
            ("flags", s.bits(f.MREMAP)),
            ("new_address", s.address),
        ),
        lambda a: Mremap(*a[:5]),
        returns=Returns.ADDRESS,
        in_every_kernel=True,
        affects=_affects,
        changes_map=True,
        splits=True,
        effect=_effect,
        aims=_aims,
        reread=_reread,
        looks_at=_looks_at,
        evidence=(Evidence.MODULES, Evidence.ROOM),
        checks=_checks,
    ),
)
