"""mmap, its page-counting form mmap2, and the old mmap of i386 (mm/mmap.c:ksys_mmap_pgoff)."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from wxtrace.decoders.procmaps import MapLine
from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi, Decided, Errno, Provenance
from wxtrace.model.event import Touched
from wxtrace.model.region import provenance_of_line
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.effect import EffectContext, map_new
from wxtrace.model.syscalls.row import (
    EVERYTHING,
    Aim,
    Evidence,
    Range,
    Returns,
    Syscall,
    Words,
    page_align_up,
    signed32,
    unsigned32,
)

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Mmap", "has_unreadable_block", "provenance_of_mmap"]

_FIXED = f.MAP_FIXED | f.MAP_FIXED_NOREPLACE
_KIND = 3 | f.MAP_ANONYMOUS
_PRIVATE_ANONYMOUS = 2 | f.MAP_ANONYMOUS
_WITHOUT_MEANING = _PRIVATE_ANONYMOUS | f.MAP_FIXED | f.MAP_NORESERVE | f.MAP_STACK | f.MAP_FIXED_NOREPLACE
"""Flags of private anonymous memory after which the arguments tell all that came of it."""
_PAGE_OF_MMAP2 = 4096
"""mmap2 counts its offset in units of this size (arch/x86/entry/syscalls/syscall_32.tbl), whatever the page size."""


class Mmap(NamedTuple):
    """mmap(2). Lengths and offsets in bytes, whichever ABI counted them."""

    addr: int
    length: int
    prot: int
    flags: int
    fd: int
    offset: int

    @property
    def name(self) -> str:
        return "mmap"

    @property
    def start(self) -> int:
        return self.addr

    @property
    def shared(self) -> bool:
        """Whether what is written goes to the object."""
        return self.flags & f.MAP_TYPE in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE)

    @property
    def fixed(self) -> bool:
        """Whether it must be mapped at its address."""
        return bool(self.flags & _FIXED)


def provenance_of_mmap(request: Mmap, line: Optional[MapLine]) -> str:
    """Where memory comes from that mmap makes, by its arguments and, for objects, its maps line."""
    if line is not None and (line.inode or not request.flags & f.MAP_ANONYMOUS):
        return provenance_of_line(line)
    if request.flags & f.MAP_HUGETLB:
        return Provenance.HUGETLB
    if request.flags & f.MAP_ANONYMOUS:
        if request.shared:
            return Provenance.ANON_SHARED
        return Provenance.THREAD_STACK if request.flags & f.MAP_STACK else Provenance.ANON
    return Provenance.FILE_SHARED if request.shared else Provenance.FILE


def _request(a: Words) -> Mmap:
    return Mmap(a[0], a[1], a[2], unsigned32(a[3]), signed32(a[4]), a[5])


def _request_in_pages(a: Words) -> Mmap:
    return _request(a)._replace(offset=a[5] * _PAGE_OF_MMAP2)


def _plain(a: Words) -> bool:
    return a[3] & _KIND == _PRIVATE_ANONYMOUS and not a[3] & ~_WITHOUT_MEANING


def _shown(a: Words) -> bool:
    return not _plain(a)


def _affects(args: Words, page: int) -> Optional[Range]:
    # The kernel chooses where, and what a limit has left depends on every other call.
    return EVERYTHING


def _changed(request: Mmap, result: int, page: int) -> List[Range]:
    return [(result, result + page_align_up(request.length, page))] if result > 0 else []


def _effect(space: AddressSpace, request: Mmap, result: int, ctx: EffectContext) -> List[Touched]:
    line = ctx.line_at(result)
    length = page_align_up(request.length, ctx.page_size)
    if request.flags & f.MAP_HUGETLB and line is not None:
        length = line.end - result
    prot = request.prot & 7
    return map_new(
        space,
        ctx,
        result,
        result + length,
        provenance_of_mmap(request, line),
        prot,
        request.shared,
        f.prot_letters(prot),
        bool(request.flags & f.MAP_GROWSDOWN),
    )


def _aims(request: Mmap, space: AddressSpace, page: int) -> Aim:
    asked, made = f.prot_letters(request.prot), Provenance(provenance_of_mmap(request, None))
    if request.fixed:
        return Aim((request.addr, request.addr + page_align_up(request.length, page)), asked=asked, unmapped_too=made)
    return Aim((request.addr, request.addr), asked=asked, unmapped_too=made)


def _reread(request: Mmap, page: int) -> List[Range]:
    """MAP_FIXED had unmapped what was there before a later check refused (before Linux 6.12)."""
    if not request.flags & f.MAP_FIXED or request.flags & f.MAP_FIXED_NOREPLACE:
        return []
    return [(request.addr, request.addr + page_align_up(request.length, page))]


def _looks_at(request: Mmap, brk: Optional[int]) -> List[Range]:
    return [(request.addr, request.addr + max(request.length, 1))] if request.fixed else []


def _checks() -> Order:
    from wxtrace.model.causes import fd, hooks, hugetlb, may_split, mdwe, memfd, mount, mseal, secretmem
    from wxtrace.model.causes.address import below_minimum, occupied, room
    from wxtrace.model.causes.argument import mmap
    from wxtrace.model.causes.limit import hugepages, map_count, memlock, overcommit, size

    return (
        mmap.offset,
        fd.bad_descriptor,
        hugetlb.size_or_file,
        hooks.MMAP_FILE,
        mmap.length,
        map_count.map_count,
        room.beyond_the_end,
        room.no_gap,
        mmap.fixed_address,
        hugetlb.alignment,
        below_minimum.below_minimum,
        hooks.MMAP_ADDR,
        occupied.occupied,
        memlock.may_lock,
        memlock.memlock,
        mmap.mapping_type,
        fd.offset_overflow,
        fd.no_dax,
        fd.write_mode,
        fd.swap_file,
        fd.append_only,
        fd.read_mode,
        mount.mount_noexec,
        mount.superblock_noexec,
        fd.not_mappable,
        mmap.file_grows_down,
        memfd.write_seal,
        mdwe.mdwe_at_mmap,
        map_count.split_by_unmapping,
        mseal.sealed,
        may_split.cut_by_a_new_mapping,
        size.address_space,
        size.data,
        overcommit.overcommit,
        hugetlb.offset,
        hugepages.hugepages,
        secretmem.private_mapping,
        memlock.secret_memory,
        memlock.perf_ring,
        fd.driver,
    )


_ARGUMENTS = (("addr", s.address), ("length", s.length), ("prot", s.prot), ("flags", s.map_flags), ("fd", s.number))
_MMAP = Syscall(
    "mmap",
    {Abi.X86_64: 9, Abi.I386: 90},
    (*_ARGUMENTS, ("offset", s.hexadecimal)),
    _request,
    returns=Returns.ADDRESS,
    in_every_kernel=True,
    affects=_affects,
    plain=_plain,
    shown=_shown,
    implies_exec=True,
    changes_map=True,
    changed=_changed,
    effect=_effect,
    aims=_aims,
    reread=_reread,
    looks_at=_looks_at,
    evidence=(
        Evidence.DESCRIPTOR,
        Evidence.MODULES,
        Evidence.ROOM,
        Evidence.MDWE,
    ),
    checks=_checks,
)
ROWS = (
    _MMAP,
    replace(
        _MMAP,
        name="mmap2",
        numbers={Abi.I386: 192},
        arguments=(*_ARGUMENTS, ("pgoffset", s.hexadecimal)),
        request=_request_in_pages,
    ),
)


def has_unreadable_block(abi: int, number: int, result: Optional[int], decided: int) -> bool:
    """Whether the old mmap of i386 found no arguments where its only register points.

    Nothing else of it gives EFAULT (arch/x86/kernel/sys_ia32.c:ia32_mmap); only its first word means anything then.
    """
    if abi != Abi.I386 or number != _MMAP.numbers[Abi.I386]:
        return False
    return result == -Errno.EFAULT and decided != Decided.BY_FILTER
