"""io_setup and io_destroy (fs/aio.c): a ring that the kernel maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi, Provenance
from wxtrace.model.event import Touched
from wxtrace.model.region import provenance_of_line
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, gone, map_new
from wxtrace.model.syscalls.row import EVERYTHING, Aim, Range, Syscall, Words, unsigned32

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "IoDestroy", "IoSetup"]


class IoSetup(NamedTuple):
    """io_setup(2). `context_address`: where the context is stored."""

    nr_events: int
    context_address: int

    @property
    def name(self) -> str:
        return "io_setup"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


class IoDestroy(NamedTuple):
    """io_destroy(2). A context is the address of its ring."""

    context: int

    @property
    def name(self) -> str:
        return "io_destroy"

    @property
    def start(self) -> int:
        return self.context

    @property
    def length(self) -> int:
        return 0


def _affects(args: Words, page: int) -> Optional[Range]:
    return EVERYTHING


def _setup(space: AddressSpace, request: IoSetup, result: int, ctx: EffectContext) -> List[Touched]:
    """Only the kernel's own line tells what was mapped."""
    touched: List[Touched] = []
    for line in ctx.lines:
        prot, shared = f.prot_of_letters(line.perms), line.perms[3] == "s"
        touched += map_new(space, ctx, line.start, line.end, provenance_of_line(line), prot, shared, None)
    return touched


def _destroy(space: AddressSpace, request: IoDestroy, result: int, ctx: EffectContext) -> List[Touched]:
    piece = space.at(request.context)
    if piece is None or piece.region.provenance != Provenance.AIO:
        return []
    region = piece.region
    return [gone(old) for old in space.remove(region.start, region.end)]


def _no_aim(request: IoSetup, space: AddressSpace, page: int) -> Aim:
    return Aim((0, 0))


def _setup_checks() -> Order:
    from wxtrace.model.causes.argument import aio, pointer
    from wxtrace.model.causes.limit import aio as machine
    from wxtrace.model.causes.limit import map_count, memlock, size

    return (
        pointer.pointer,
        aio.events,
        aio.context,
        machine.requests_of_machine,
        map_count.map_count,
        memlock.memlock,
        size.address_space,
    )


def _destroy_checks() -> Order:
    from wxtrace.model.causes.argument import aio

    return (aio.ring,)


ROWS = (
    Syscall(
        "io_setup",
        {Abi.X86_64: 206, Abi.I386: 245},
        (("nr_events", s.unsigned), ("ctx_idp", s.address)),
        lambda a: IoSetup(unsigned32(a[0]), a[1]),
        feature_test=True,
        affects=_affects,
        shown=lambda a: True,
        changes_map=True,
        effect=_setup,
        aims=_no_aim,
        checks=_setup_checks,
    ),
    Syscall(
        "io_destroy",
        {Abi.X86_64: 207, Abi.I386: 246},
        (("ctx_id", s.address),),
        lambda a: IoDestroy(a[0]),
        feature_test=True,
        affects=_affects,
        changes_map=True,
        effect=_destroy,
        looks_at=lambda request, brk: [(request.context, request.context + 1)],
        checks=_destroy_checks,
    ),
)
