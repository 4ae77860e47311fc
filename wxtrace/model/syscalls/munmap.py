"""munmap (mm/mmap.c:__vm_munmap)."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Touched
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, gone
from wxtrace.model.syscalls.row import EVERYTHING, Range, Syscall, Words, looks_at_own_range, page_align_up

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Munmap"]


class Munmap(NamedTuple):
    """munmap(2)."""

    addr: int
    length: int

    @property
    def name(self) -> str:
        return "munmap"

    @property
    def start(self) -> int:
        return self.addr


def _affects(args: Words, page: int) -> Optional[Range]:
    # What it gives back another call may get, and what a limit has left depends on it.
    return EVERYTHING


def _range(request: Munmap, page: int) -> List[Range]:
    return [(request.addr, request.addr + page_align_up(request.length, page))]


def _effect(space: AddressSpace, request: Munmap, result: int, ctx: EffectContext) -> List[Touched]:
    end = request.addr + page_align_up(request.length, ctx.page_size)
    return [gone(piece) for piece in space.remove(request.addr, end)]


def _checks() -> Order:
    from wxtrace.model.causes import may_split, mseal
    from wxtrace.model.causes.argument import ranges
    from wxtrace.model.causes.limit import map_count

    return (
        ranges.munmap,
        map_count.split_by_unmapping,
        mseal.sealed,
        may_split.cut,
    )


ROWS = (
    Syscall(
        "munmap",
        {Abi.X86_64: 11, Abi.I386: 91},
        (("addr", s.address), ("length", s.length)),
        lambda a: Munmap(a[0], a[1]),
        in_every_kernel=True,
        affects=_affects,
        plain=lambda a: True,
        changes_map=True,
        changed=lambda request, result, page: _range(request, page),
        splits=True,
        effect=_effect,
        reread=_range,
        looks_at=looks_at_own_range,
        checks=_checks,
    ),
)
