"""mseal (mm/mseal.c:do_mseal)."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional, Sequence

from wxtrace.decoders.procmaps import Vma
from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Touched
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, still_there
from wxtrace.model.syscalls.row import EVERYTHING, Range, Syscall, Words, looks_at_own_range, page_align_up

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Mseal"]


class Mseal(NamedTuple):
    """mseal(2)."""

    addr: int
    length: int
    flags: int

    @property
    def name(self) -> str:
        return "mseal"

    @property
    def start(self) -> int:
        return self.addr


def _affects(args: Words, page: int) -> Optional[Range]:
    return EVERYTHING


def _range(request: Mseal, result: int, page: int) -> List[Range]:
    return [(request.addr, request.addr + page_align_up(request.length, page))]


def _effect(space: AddressSpace, request: Mseal, result: int, ctx: EffectContext) -> List[Touched]:
    end = request.addr + page_align_up(request.length, ctx.page_size)
    touched = []
    for piece in space.carve(request.addr, end):
        if piece.sealed_by is None:
            piece = piece._replace(sealed_by=ctx.n)
            space.replace(piece)
        touched.append(still_there(piece))
    return touched


def _remains(space: AddressSpace, request: Mseal, vmas: Sequence[Vma], n: int, page: int) -> None:
    """Parts that were sealed before a later one could not be split off (mm/mseal.c:mseal_apply).

    Seals show in smaps only. What was found sealed at attach is not counted.
    """
    end = request.addr + request.length
    for vma in vmas:
        if not vma.has("sl") or vma.line.end <= request.addr or vma.line.start >= end:
            continue
        for piece in space.carve(max(vma.line.start, request.addr), min(vma.line.end, end)):
            if piece.sealed_by is None and not piece.region.inferred:
                space.replace(piece._replace(sealed_by=n))


def _checks() -> Order:
    from wxtrace.model.causes import kernel
    from wxtrace.model.causes.address import special, unmapped
    from wxtrace.model.causes.argument import ranges
    from wxtrace.model.causes.limit import map_count
    from wxtrace.model.causes.order import EachVma

    return (
        kernel.no_call,
        ranges.mseal,
        special.vsyscall,
        unmapped.unmapped,
        EachVma((map_count.split,)),
    )


ROWS = (
    Syscall(
        "mseal",
        {Abi.X86_64: 462, Abi.I386: 462},
        (("addr", s.address), ("len", s.length), ("flags", s.hexadecimal)),
        lambda a: Mseal(a[0], a[1], a[2]),
        affects=_affects,
        changes_map=True,
        changed=_range,
        splits=True,
        effect=_effect,
        remains=_remains,
        looks_at=looks_at_own_range,
        since=(6, 10),
        checks=_checks,
    ),
)
