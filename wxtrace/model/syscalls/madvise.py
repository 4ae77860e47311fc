"""madvise and process_madvise (mm/madvise.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional, Sequence

from wxtrace.decoders.procmaps import Vma
from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Touched
from wxtrace.model.region import Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, still_there
from wxtrace.model.syscalls.row import (
    EVERYTHING,
    Range,
    Syscall,
    Words,
    looks_at_own_range,
    page_align_up,
    signed32,
    unsigned32,
)

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Madvise", "ProcessMadvise"]

_OF_FORKS = frozenset({f.ADVICE_DONTFORK, f.ADVICE_DOFORK})
"""The advice that the map remembers; any other leaves it as it is."""


class Madvise(NamedTuple):
    """madvise(2)."""

    addr: int
    length: int
    advice: int

    @property
    def name(self) -> str:
        return "madvise"

    @property
    def start(self) -> int:
        return self.addr


class ProcessMadvise(NamedTuple):
    """process_madvise(2)."""

    pidfd: int
    iovec: int
    vlen: int
    advice: int
    flags: int

    @property
    def name(self) -> str:
        return "process_madvise"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


def _affects(args: Words, page: int) -> Optional[Range]:
    return EVERYTHING if unsigned32(args[2]) in _OF_FORKS else None


def _range(request: Madvise, result: int, page: int) -> List[Range]:
    return [(request.addr, request.addr + page_align_up(request.length, page))]


def _advise(space: AddressSpace, request: Madvise, result: int, ctx: EffectContext) -> List[Touched]:
    """MADV_DONTFORK and MADV_DOFORK mark pages; every other advice leaves the map as it is."""
    end = request.addr + page_align_up(request.length, ctx.page_size)
    if request.advice in _OF_FORKS:
        for piece in space.carve(request.addr, end):
            space.replace(piece._replace(dont_fork=request.advice == f.ADVICE_DONTFORK))
    return [
        still_there(piece._replace(start=max(piece.start, request.addr), end=min(piece.end, end)))
        for piece in space.overlapping(request.addr, end)
    ]


def _remains(space: AddressSpace, request: Madvise, vmas: Sequence[Vma], n: int, page: int) -> None:
    """Every mapped part is done before ENOMEM is returned (mm/madvise.c:madvise_walk_vmas)."""
    if request.addr % page == 0 and request.addr + page_align_up(request.length, page) < 1 << 64:
        _advise(space, request, 0, EffectContext(n, _no_region, page))


def _no_region(*_: object) -> Region:
    raise AssertionError("advice maps nothing")


def _checks() -> Order:
    from wxtrace.model.causes import mseal
    from wxtrace.model.causes.address import special, unmapped
    from wxtrace.model.causes.argument import madvise
    from wxtrace.model.causes.limit import map_count
    from wxtrace.model.causes.order import EachVma

    return (
        madvise.arguments,
        madvise.privilege,
        mseal.sealed,
        EachVma((map_count.split, madvise.memory)),
        madvise.not_built_in,
        special.vsyscall,
        unmapped.unmapped,
        madvise.not_carried_out,
    )


def _process_checks() -> Order:
    from wxtrace.model.causes import kernel
    from wxtrace.model.causes.argument import pointer, process_madvise

    return (
        kernel.no_call,
        process_madvise.arguments,
        pointer.pointer,
        process_madvise.descriptor,
        process_madvise.ended,
        process_madvise.rights,
        process_madvise.advice,
    )


ROWS = (
    Syscall(
        "madvise",
        {Abi.X86_64: 28, Abi.I386: 219},
        (("addr", s.address), ("length", s.length), ("advice", s.value32(f.ADVICE))),
        lambda a: Madvise(a[0], a[1], unsigned32(a[2])),
        affects=_affects,
        plain=lambda a: True,
        changes_map=True,
        changed=_range,
        splits=True,
        effect=_advise,
        remains=_remains,
        looks_at=looks_at_own_range,
        checks=_checks,
    ),
    Syscall(
        "process_madvise",
        {Abi.X86_64: 440, Abi.I386: 440},
        (
            ("pidfd", s.number),
            ("iovec", s.address),
            ("vlen", s.length),
            ("advice", s.value32(f.ADVICE)),
            ("flags", s.hexadecimal32),
        ),
        lambda a: ProcessMadvise(signed32(a[0]), a[1], a[2], unsigned32(a[3]), unsigned32(a[4])),
        # Only with the caller itself (mm/madvise.c:process_madvise_remote_valid).
        shown=lambda a: unsigned32(a[3]) in _OF_FORKS,
        feature_test=True,
        since=(5, 10),
        checks=_process_checks,
    ),
)
