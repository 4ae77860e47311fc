"""remap_file_pages (mm/mmap.c:SYSCALL_DEFINE5(remap_file_pages))."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Touched
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, born, gone
from wxtrace.model.syscalls.row import (
    EVERYTHING,
    Aim,
    Evidence,
    Range,
    Syscall,
    Words,
    looks_at_own_range,
    page_align_up,
)

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "RemapFilePages"]


class RemapFilePages(NamedTuple):
    """remap_file_pages(2), its offset in pages."""

    addr: int
    size: int
    prot: int
    pgoff: int
    flags: int

    @property
    def name(self) -> str:
        return "remap_file_pages"

    @property
    def start(self) -> int:
        return self.addr

    @property
    def length(self) -> int:
        return self.size


def _affects(args: Words, page: int) -> Optional[Range]:
    return EVERYTHING


def _effect(space: AddressSpace, request: RemapFilePages, result: int, ctx: EffectContext) -> List[Touched]:
    start = request.addr & ~(ctx.page_size - 1)
    end = start + (request.size & ~(ctx.page_size - 1))
    piece = space.at(start)
    if piece is None or piece.region.backing is None:
        return []
    region = piece.region
    backing = piece.region.backing._replace(offset=request.pgoff * ctx.page_size)
    touched = [gone(old) for old in space.remove(start, end)]
    twin = ctx.new_region(space.id, start, end, region.provenance, backing, ctx.n, False, region.shared)
    fresh = Piece(start, end, twin, piece.prot)
    space.put(fresh)
    return [*touched, born(fresh, None)]


def _aims(request: RemapFilePages, space: AddressSpace, page: int) -> Aim:
    return Aim((request.addr, request.addr + page_align_up(request.size, page)), asked=f.prot_letters(request.prot))


def _checks() -> Order:
    from wxtrace.model.causes import hooks, mdwe, mseal
    from wxtrace.model.causes.address import unmapped
    from wxtrace.model.causes.argument import remap_file_pages
    from wxtrace.model.causes.limit import map_count

    return (
        remap_file_pages.arguments,
        remap_file_pages.shared,
        unmapped.unmapped,
        remap_file_pages.one_mapping,
        hooks.MMAP_FILE,
        mdwe.mdwe_at_mmap,
        mseal.sealed,
        map_count.map_count,
    )


ROWS = (
    Syscall(
        "remap_file_pages",
        {Abi.X86_64: 216, Abi.I386: 257},
        (
            ("addr", s.address),
            ("size", s.length),
            ("prot", s.prot),
            ("pgoff", s.length),
            ("flags", s.map_flags),
        ),
        lambda a: RemapFilePages(*a[:5]),
        affects=_affects,
        changes_map=True,
        effect=_effect,
        aims=_aims,
        evidence=(Evidence.MODULES,),
        looks_at=looks_at_own_range,
        checks=_checks,
    ),
)
