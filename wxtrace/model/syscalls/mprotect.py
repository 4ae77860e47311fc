"""mprotect and pkey_mprotect (mm/mprotect.c:do_mprotect_pkey)."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional, Tuple

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Touched
from wxtrace.model.region import same_but_history
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext
from wxtrace.model.syscalls.row import (
    EVERYTHING,
    Aim,
    Evidence,
    Range,
    Syscall,
    Words,
    looks_at_own_range,
    page_align_up,
    signed32,
)

if TYPE_CHECKING:
    from wxtrace.model.causes.answer import Rule
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Mprotect"]

_GROWS = f.GROWSDOWN | f.GROWSUP


class Mprotect(NamedTuple):
    """mprotect(2), and pkey_mprotect where `pkey` is not None (-1: the key that the protection implies)."""

    addr: int
    length: int
    prot: int
    pkey: Optional[int] = None

    @property
    def name(self) -> str:
        return "mprotect" if self.pkey is None else "pkey_mprotect"

    @property
    def start(self) -> int:
        return self.addr


def _affects(args: Words, page: int) -> Optional[Range]:
    """Two that change different pages come out the same in either order."""
    end = page_align_up(args[0] + args[1], page)
    return EVERYTHING if args[2] & _GROWS or end > 1 << 64 else (args[0], end)


def _range(request: Mprotect, page: int) -> List[Range]:
    return [(request.addr, request.addr + page_align_up(request.length, page))]


def _changed(request: Mprotect, result: int, page: int) -> List[Range]:
    return [] if request.prot & f.GROWSDOWN else _range(request, page)


def _effect(space: AddressSpace, request: Mprotect, result: int, ctx: EffectContext) -> List[Touched]:
    prot = request.prot & 7
    start, end = request.addr, request.addr + page_align_up(request.length, ctx.page_size)
    if start == end:
        return []
    if request.prot & f.GROWSDOWN:
        start = _start_of_growing(space, start)
    elif space.at(start) is None:
        # It succeeded, so memory was there: a growing region had grown this far.
        space.grow_down(start)
    asked = f.prot_letters(prot)
    touched = []
    for old, new in space.protect(start, end, prot):
        line = ctx.line_at(new.start)
        if line is not None and line.perms[:3] != asked:
            # READ_IMPLIES_EXEC: asked without X, given with it (mm/mprotect.c:do_mprotect_pkey).
            new = new._replace(prot=f.prot_of_letters(line.perms))
            space.replace(new)
        region = old.region
        touched.append(
            Touched(region.id, old.start, old.end, old.perms, asked, new.perms, region.provenance, old.sealed_by)
        )
    return touched


def _start_of_growing(space: AddressSpace, address: int) -> int:
    """Where the mapping at or above `address` starts: PROT_GROWSDOWN means all of it."""
    piece = space.at(address) or space.neighbours(address, address)[1]
    if piece is None:
        return address
    below = space.at(piece.start - 1)
    while below is not None and same_but_history(below, piece):
        piece, below = below, space.at(below.start - 1)
    return piece.start


def _aims(request: Mprotect, space: AddressSpace, page: int) -> Aim:
    return Aim(_range(request, page)[0], asked=f.prot_letters(request.prot))


def _checks() -> Order:
    return _checks_with(())


def _checks_of_pkey_mprotect() -> Order:
    from wxtrace.model.causes import pkey

    return _checks_with((pkey.built_in, pkey.allocated))


def _checks_with(of_the_key: Tuple[Rule, ...]) -> Order:
    from wxtrace.model.causes import hooks, may_split, mdwe, mseal, vm_may
    from wxtrace.model.causes.address import special, unmapped
    from wxtrace.model.causes.argument import mprotect
    from wxtrace.model.causes.limit import map_count, overcommit, size
    from wxtrace.model.causes.order import EachVma

    return (
        mprotect.arguments,
        *of_the_key,
        special.vsyscall,
        mseal.sealed,
        mprotect.growth,
        EachVma(
            (
                vm_may.may_not_become,
                mdwe.mdwe_at_mprotect,
                hooks.FILE_MPROTECT,
                mseal.sealed_part,
                size.data_at_mprotect,
                overcommit.overcommit_at_mprotect,
                may_split.cut_by_mprotect,
                map_count.split,
            ),
            unmapped.unmapped,
        ),
    )


_ARGUMENTS = (("addr", s.address), ("len", s.length), ("prot", s.prot))
_MPROTECT = Syscall(
    "mprotect",
    {Abi.X86_64: 10, Abi.I386: 125},
    _ARGUMENTS,
    lambda a: Mprotect(a[0], a[1], a[2]),
    in_every_kernel=True,
    affects=_affects,
    plain=lambda a: not a[2] & _GROWS,
    shown=lambda a: bool(a[2] & _GROWS),
    implies_exec=True,
    changes_map=True,
    changed=_changed,
    splits=True,
    effect=_effect,
    aims=_aims,
    reread=_range,
    evidence=(Evidence.MODULES, Evidence.MDWE, Evidence.LIBRARY),
    looks_at=looks_at_own_range,
    checks=_checks,
)
ROWS = (
    _MPROTECT,
    replace(
        _MPROTECT,
        name="pkey_mprotect",
        numbers={Abi.X86_64: 329, Abi.I386: 380},
        arguments=(*_ARGUMENTS, ("pkey", s.number)),
        request=lambda a: Mprotect(a[0], a[1], a[2], signed32(a[3])),
        in_every_kernel=False,
        checks=_checks_of_pkey_mprotect,
        evidence=(Evidence.MODULES, Evidence.MDWE, Evidence.LIBRARY, Evidence.CPU),
    ),
)
