"""map_shadow_stack (arch/x86/kernel/shstk.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi, Provenance
from wxtrace.model.event import Touched
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, map_new
from wxtrace.model.syscalls.row import (
    EVERYTHING,
    Evidence,
    Range,
    Returns,
    Syscall,
    Words,
    looks_at_own_range,
    unsigned32,
)

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "MapShadowStack"]


class MapShadowStack(NamedTuple):
    """map_shadow_stack(2)."""

    addr: int
    size: int
    flags: int

    @property
    def name(self) -> str:
        return "map_shadow_stack"

    @property
    def start(self) -> int:
        return self.addr

    @property
    def length(self) -> int:
        return self.size


def _affects(args: Words, page: int) -> Optional[Range]:
    return EVERYTHING


def _effect(space: AddressSpace, request: MapShadowStack, result: int, ctx: EffectContext) -> List[Touched]:
    """Only the kernel's own line tells what was mapped."""
    touched: List[Touched] = []
    for line in ctx.lines:
        prot, shared = f.prot_of_letters(line.perms), line.perms[3] == "s"
        touched += map_new(space, ctx, result, line.end, Provenance.SHADOW_STACK, prot, shared, None)
    return touched


def _checks() -> Order:
    from wxtrace.model.causes import shadow_stack
    from wxtrace.model.causes.address import occupied
    from wxtrace.model.causes.argument import creation

    return (
        shadow_stack.support,
        shadow_stack.unknown_flags,
        shadow_stack.room_for_token,
        shadow_stack.too_low,
        creation.stack_size,
        creation.stack_address,
        occupied.occupied,
    )


ROWS = (
    Syscall(
        "map_shadow_stack",
        {Abi.X86_64: 453},
        (("addr", s.address), ("size", s.length), ("flags", s.hexadecimal32)),
        lambda a: MapShadowStack(a[0], a[1], unsigned32(a[2])),
        returns=Returns.ADDRESS,
        feature_test=True,
        affects=_affects,
        shown=lambda a: True,
        changes_map=True,
        effect=_effect,
        evidence=(Evidence.CPU,),
        looks_at=looks_at_own_range,
        since=(6, 6),
        checks=_checks,
    ),
)
