"""brk (mm/mmap.c:SYSCALL_DEFINE1(brk))."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi, Provenance
from wxtrace.model.event import Touched
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, gone, map_new
from wxtrace.model.syscalls.row import EVERYTHING, Aim, Range, Returns, Syscall, Words, page_align_up

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Brk"]

_RW = f.PROT_READ | f.PROT_WRITE


class Brk(NamedTuple):
    """brk(2): the new end of the heap; it has no errno and answers with the end there is."""

    addr: int

    @property
    def name(self) -> str:
        return "brk"

    @property
    def start(self) -> int:
        return self.addr

    @property
    def length(self) -> int:
        return 0


def _affects(args: Words, page: int) -> Optional[Range]:
    return EVERYTHING


def _effect(space: AddressSpace, request: Brk, result: int, ctx: EffectContext) -> List[Touched]:
    old, new = page_align_up(space.brk, ctx.page_size), page_align_up(result, ctx.page_size)
    known, space.brk = space.brk, result
    if not known or old == new:
        return []
    if new < old:
        return [gone(piece) for piece in space.remove(new, old)]
    return map_new(space, ctx, old, new, Provenance.HEAP, _RW, False, f.prot_letters(_RW))


def _aims(request: Brk, space: AddressSpace, page: int) -> Aim:
    """A refused brk changes nothing; what it aimed at is the part beyond the present break."""
    old, new = page_align_up(space.brk, page), page_align_up(request.addr, page)
    return Aim((min(old, new), max(old, new)), asked=f.prot_letters(_RW), unmapped_too=Provenance.HEAP)


def _looks_at(request: Brk, brk: Optional[int]) -> List[Range]:
    end = request.addr if brk is None else brk
    return [(min(request.addr, end), max(request.addr, end) + 1)]


def _checks() -> Order:
    from wxtrace.model.causes import mseal
    from wxtrace.model.causes.address import brk
    from wxtrace.model.causes.limit import map_count, memlock, overcommit, size

    return (
        brk.below_start,
        size.break_data,
        mseal.sealed,
        memlock.memlock,
        brk.collision,
        size.address_space,
        size.data,
        map_count.map_count,
        overcommit.overcommit,
    )


ROWS = (
    Syscall(
        "brk",
        {Abi.X86_64: 12, Abi.I386: 45},
        (("addr", s.address),),
        lambda a: Brk(a[0]),
        returns=Returns.ADDRESS,
        silent=True,
        in_every_kernel=True,
        affects=_affects,
        implies_exec=True,
        changes_map=True,
        effect=_effect,
        aims=_aims,
        looks_at=_looks_at,
        checks=_checks,
    ),
)
