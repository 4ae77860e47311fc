"""SysV shared memory: shmat and shmdt, and ipc of i386, which stands for both (ipc/shm.c, ipc/syscall.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi, Provenance
from wxtrace.model.event import Touched
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, gone, map_new
from wxtrace.model.syscalls.row import (
    EVERYTHING,
    Aim,
    Evidence,
    Other,
    Range,
    Returns,
    Syscall,
    Words,
    signed32,
    unsigned32,
)

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "SHMAT_OF_IPC", "SHMDT_OF_IPC", "Shmat", "Shmdt"]

SHMAT_OF_IPC, SHMDT_OF_IPC = 21, 22
"""include/uapi/linux/ipc.h"""


class Shmat(NamedTuple):
    """shmat(2)."""

    shmid: int
    shmaddr: int
    shmflg: int

    @property
    def name(self) -> str:
        return "shmat"

    @property
    def start(self) -> int:
        return self.shmaddr

    @property
    def length(self) -> int:
        return 0


class Shmdt(NamedTuple):
    """shmdt(2)."""

    shmaddr: int

    @property
    def name(self) -> str:
        return "shmdt"

    @property
    def start(self) -> int:
        return self.shmaddr

    @property
    def length(self) -> int:
        return 0


def _affects(args: Words, page: int) -> Optional[Range]:
    return EVERYTHING


def _asked(request: Shmat) -> str:
    letters = "r-" if request.shmflg & f.SHM_RDONLY else "rw"
    return letters + ("x" if request.shmflg & f.SHM_EXEC else "-")


def _attach(space: AddressSpace, request: Shmat, result: int, ctx: EffectContext) -> List[Touched]:
    line = ctx.line_at(result)
    if line is None:
        return []
    prot = f.prot_of_letters(line.perms)
    return map_new(space, ctx, result, line.end, Provenance.SHM, prot, True, _asked(request))


def _detach(space: AddressSpace, request: Shmdt, result: int, ctx: EffectContext) -> List[Touched]:
    """Every piece of the segment goes whose distance from the address equals its offset (ipc/shm.c:ksys_shmdt)."""
    first = None
    touched = []
    for piece in space.overlapping(request.shmaddr, 1 << 64):
        backing = piece.region.backing
        if piece.region.provenance != Provenance.SHM or backing is None:
            continue
        if piece.start - request.shmaddr != piece.offset:
            continue
        if first is None:
            first = backing
        if (backing.dev, backing.inode) == (first.dev, first.inode) and piece.sealed_by is None:
            touched += [gone(old) for old in space.remove(piece.start, piece.end)]
    return touched


def _attach_aims(request: Shmat, space: AddressSpace, page: int) -> Aim:
    """Its size no argument tells; something else is in the way at its first page."""
    start = request.shmaddr
    replaced = (start, start + page) if start else (0, 0)
    return Aim((start, start), replaced, _asked(request), Provenance.SHM)


def _detach_aims(request: Shmdt, space: AddressSpace, page: int) -> Aim:
    """All of one attachment, at its own offsets behind the address (ipc/shm.c:ksys_shmdt)."""

    def belongs(piece: Piece) -> bool:
        return piece.region.provenance == Provenance.SHM and piece.start - request.shmaddr == piece.offset

    return Aim((request.shmaddr, 1 << 64), only=belongs)


def _attach_checks() -> Order:
    from wxtrace.model.causes import hooks, may_split, mdwe, mseal
    from wxtrace.model.causes.address import below_minimum, occupied, room
    from wxtrace.model.causes.argument import shm
    from wxtrace.model.causes.limit import map_count, memlock, size
    from wxtrace.model.causes.selinux import rules as selinux

    return (
        shm.address,
        shm.segment,
        shm.access,
        selinux.selinux_at_segment,
        hooks.MMAP_FILE,
        shm.removed,
        shm.range_of_segment,
        occupied.occupied,
        map_count.map_count,
        room.beyond_the_end,
        room.no_gap,
        below_minimum.below_minimum,
        hooks.MMAP_ADDR,
        memlock.memlock,
        mdwe.mdwe_at_mmap,
        mseal.sealed,
        may_split.cut_by_a_new_mapping,
        size.address_space,
    )


def _detach_checks() -> Order:
    from wxtrace.model.causes import mseal
    from wxtrace.model.causes.argument import shm

    return (
        shm.detach_address,
        mseal.sealed,
        shm.attached,
    )


ROWS = (
    Syscall(
        "shmat",
        {Abi.X86_64: 30, Abi.I386: 397},
        (("shmid", s.number), ("shmaddr", s.address), ("shmflg", s.bits32(f.SHM))),
        lambda a: Shmat(signed32(a[0]), a[1], unsigned32(a[2])),
        returns=Returns.ADDRESS,
        in_every_kernel=True,
        affects=_affects,
        shown=lambda a: True,
        implies_exec=True,
        changes_map=True,
        effect=_attach,
        aims=_attach_aims,
        reread=lambda request, page: [EVERYTHING] if request.shmflg & f.SHM_REMAP else [],
        looks_at=lambda request, brk: [(request.shmaddr, request.shmaddr + 1)],
        evidence=(Evidence.MODULES, Evidence.ROOM, Evidence.NAMESPACES, Evidence.SEGMENT, Evidence.MDWE),
        checks=_attach_checks,
    ),
    Syscall(
        "shmdt",
        {Abi.X86_64: 67, Abi.I386: 398},
        (("shmaddr", s.address),),
        lambda a: Shmdt(a[0]),
        silent=True,
        in_every_kernel=True,
        affects=_affects,
        changes_map=True,
        effect=_detach,
        aims=_detach_aims,
        reread=lambda request, page: [EVERYTHING],
        looks_at=lambda request, brk: [(request.shmaddr, request.shmaddr + 1)],
        checks=_detach_checks,
    ),
    Syscall(
        "ipc",
        {Abi.I386: 117},
        (("call", s.number),),
        lambda a: Other("ipc"),
        when=(SHMAT_OF_IPC, SHMDT_OF_IPC),
        when_mask=0xFFFF,
        affects=_affects,
    ),
)
