"""Rules about arguments, asked forwards: at each limit, on both of its sides."""

from __future__ import annotations

from typing import Any, Tuple

import pytest
from asking import AT, HOST, LETS_THROUGH, PAGE, PROBE, TASK_SIZE, answer, asked, context, mapped, over

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.answer import Rule
from wxtrace.model.causes.argument import (
    aio,
    madvise,
    mmap,
    mprotect,
    mremap,
    pointer,
    process_madvise,
    ranges,
    remap_file_pages,
    seccomp,
    shm,
)
from wxtrace.model.causes.entry import Need
from wxtrace.model.enumerations import Abi
from wxtrace.model.objects import Segment
from wxtrace.model.syscalls.row import Other

TOP = 1 << 64
R, RW = 1, 3
PRIVATE, SHARED, VALIDATE, DROPPABLE, ANON = f.MAP_PRIVATE, f.MAP_SHARED, f.MAP_SHARED_VALIDATE, 8, f.MAP_ANONYMOUS
MAYMOVE, FIXED, DONTUNMAP = 1, 2, 4
UNALIGNED, EINVAL_LENGTH = "EINVAL argument.alignment", "EINVAL argument.length"
BLIND = replace(PROBE, vmas=[], vmas_complete=False)
NOTHING = over()
Row = Tuple[Rule, Tuple[Any, ...], str]


def kernel(release: str) -> Any:
    return replace(HOST, kernel=release)


def anonymous(flags: int, length: int = PAGE) -> Tuple[Any, ...]:
    return ("mmap", 0, length, RW, flags | ANON, -1, 0)


def of_file(flags: int, offset: int = 0, address: int = 0) -> Tuple[Any, ...]:
    return ("mmap", address, PAGE, R, flags, 3, offset)


ROWS: Tuple[Row, ...] = (
    (mmap.offset, of_file(PRIVATE, PAGE), LETS_THROUGH),
    (mmap.offset, of_file(PRIVATE, PAGE + 1), UNALIGNED),
    (mmap.length, anonymous(PRIVATE), LETS_THROUGH),
    (mmap.length, anonymous(PRIVATE, 1), LETS_THROUGH),
    (mmap.length, anonymous(PRIVATE, 0), EINVAL_LENGTH),
    (mmap.length, anonymous(PRIVATE, TOP - PAGE), LETS_THROUGH),
    (mmap.length, anonymous(PRIVATE, TOP - PAGE + 1), "ENOMEM argument.length:wraps"),
    (mmap.fixed_address, of_file(PRIVATE, 0, AT + 8), LETS_THROUGH),
    (mmap.fixed_address, of_file(PRIVATE | f.MAP_FIXED, 0, AT), LETS_THROUGH),
    (mmap.fixed_address, of_file(PRIVATE | f.MAP_FIXED, 0, AT + 8), UNALIGNED),
    (mmap.fixed_address, of_file(PRIVATE | f.MAP_FIXED_NOREPLACE, 0, AT + 8), UNALIGNED),
    (mmap.mapping_type, anonymous(PRIVATE), LETS_THROUGH),
    (mmap.mapping_type, anonymous(SHARED), LETS_THROUGH),
    (mmap.mapping_type, anonymous(0), "EINVAL argument.flags:type"),
    (mmap.mapping_type, anonymous(4), "EINVAL argument.flags:type"),
    (mmap.mapping_type, anonymous(VALIDATE), "EINVAL argument.flags:validate-anonymous"),
    (mmap.mapping_type, anonymous(SHARED | f.MAP_GROWSDOWN), "EINVAL argument.flags:shared-grows-down"),
    (mmap.mapping_type, anonymous(PRIVATE | f.MAP_GROWSDOWN), LETS_THROUGH),
    (mmap.mapping_type, anonymous(DROPPABLE), LETS_THROUGH),
    (mmap.mapping_type, anonymous(DROPPABLE | f.MAP_LOCKED), "EINVAL argument.flags:droppable"),
    (mmap.mapping_type, anonymous(DROPPABLE | f.MAP_HUGETLB), "EINVAL argument.flags:droppable"),
    (mmap.mapping_type, anonymous(DROPPABLE | f.MAP_GROWSDOWN), "EINVAL argument.flags:droppable"),
    (mmap.mapping_type, anonymous(VALIDATE | f.MAP_HUGETLB), LETS_THROUGH),
    (mmap.mapping_type, anonymous(f.MAP_HUGETLB), "EINVAL argument.flags:type"),
    (mmap.mapping_type, of_file(PRIVATE), LETS_THROUGH),
    (mmap.mapping_type, of_file(SHARED), LETS_THROUGH),
    (mmap.mapping_type, of_file(SHARED | 0x200000), LETS_THROUGH),
    (mmap.mapping_type, of_file(VALIDATE), LETS_THROUGH),
    (mmap.mapping_type, of_file(VALIDATE | f.MAP_SYNC | f.MAP_FIXED), LETS_THROUGH),
    (mmap.mapping_type, of_file(VALIDATE | 0x7C000000), LETS_THROUGH),
    (mmap.mapping_type, of_file(VALIDATE | f.MAP_SYNC | 0x200000), "EOPNOTSUPP argument.flags:validate"),
    (mmap.mapping_type, of_file(VALIDATE | f.MAP_FIXED_NOREPLACE), "EOPNOTSUPP argument.flags:validate"),
    (mmap.mapping_type, of_file(VALIDATE | 1 << 31), "EOPNOTSUPP argument.flags:validate"),
    (mmap.mapping_type, of_file(DROPPABLE), "EINVAL argument.flags:droppable"),
    (mmap.mapping_type, of_file(0), "EINVAL argument.flags:type"),
    (mmap.file_grows_down, of_file(PRIVATE), LETS_THROUGH),
    (mmap.file_grows_down, of_file(PRIVATE | f.MAP_GROWSDOWN), "EINVAL argument.flags:file-grows-down"),
    (mmap.file_grows_down, anonymous(PRIVATE | f.MAP_GROWSDOWN), LETS_THROUGH),
    (
        mmap.file_grows_down,
        anonymous(PRIVATE | f.MAP_GROWSDOWN | f.MAP_HUGETLB),
        "EINVAL argument.flags:file-grows-down",
    ),
    (mprotect.arguments, ("mprotect", AT, PAGE, RW), LETS_THROUGH),
    (mprotect.arguments, ("mprotect", AT, PAGE, 0xF | f.GROWSUP), LETS_THROUGH),
    (mprotect.arguments, ("mprotect", AT, PAGE, 0x10), "EINVAL argument.prot"),
    (mprotect.arguments, ("mprotect", AT, PAGE, 1 << 32), "EINVAL argument.prot"),
    (mprotect.arguments, ("pkey_mprotect", AT, PAGE, 0x10, 1), "EINVAL argument.prot"),
    (mprotect.arguments, ("mprotect", AT + 1, 0, RW), UNALIGNED),
    (mprotect.arguments, ("mprotect", AT, 0, 0x10), LETS_THROUGH),
    (mprotect.arguments, ("mprotect", AT + 1, 0, f.GROWSDOWN | f.GROWSUP), "EINVAL argument.growsdown:both"),
    (mprotect.arguments, ("mprotect", TOP - 2 * PAGE, PAGE, RW), LETS_THROUGH),
    (mprotect.arguments, ("mprotect", TOP - PAGE, 1, 0x10), "ENOMEM argument.length:wraps"),
    (ranges.munmap, ("munmap", TASK_SIZE - PAGE, PAGE), LETS_THROUGH),
    (ranges.munmap, ("munmap", TASK_SIZE - PAGE, PAGE + 1), "EINVAL argument.length:beyond"),
    (ranges.munmap, ("munmap", TASK_SIZE + PAGE, 0), "EINVAL argument.length:beyond"),
    (ranges.munmap, ("munmap", TASK_SIZE, 0), EINVAL_LENGTH),
    (ranges.munmap, ("munmap", AT + 1, 0), UNALIGNED),
    (ranges.mseal, ("mseal", AT, PAGE, 0), LETS_THROUGH),
    (ranges.mseal, ("mseal", AT, 0, 0), LETS_THROUGH),
    (ranges.mseal, ("mseal", AT + 1, PAGE, 1 << 40), "EINVAL argument.flags:mseal"),
    (ranges.mseal, ("mseal", AT + 1, PAGE, 0), UNALIGNED),
    (ranges.mseal, ("mseal", TOP - 2 * PAGE, PAGE, 0), LETS_THROUGH),
    (ranges.mseal, ("mseal", TOP - PAGE, PAGE, 0), "EINVAL argument.length:mseal"),
    (mremap.arguments, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE), LETS_THROUGH),
    (mremap.arguments, ("mremap", AT + 1, PAGE, PAGE, 8), "EINVAL argument.flags:move"),
    (mremap.arguments, ("mremap", AT, PAGE, PAGE, FIXED), "EINVAL argument.flags:move"),
    (mremap.arguments, ("mremap", AT, PAGE, PAGE, DONTUNMAP), "EINVAL argument.flags:move"),
    (mremap.arguments, ("mremap", AT, PAGE, PAGE, 1 << 32), "EINVAL argument.flags:move"),
    (mremap.arguments, ("mremap", AT + 1, PAGE, 0, 0), UNALIGNED),
    (mremap.arguments, ("mremap", AT, PAGE, 0, 0), EINVAL_LENGTH),
    (mremap.arguments, ("mremap", AT, PAGE, TASK_SIZE, 0), LETS_THROUGH),
    (mremap.arguments, ("mremap", AT, PAGE, TASK_SIZE + 1, 0), "EINVAL argument.length:beyond"),
    (mremap.arguments, ("mremap", AT, PAGE, TOP - 1, 0), "EINVAL argument.length:wraps"),
    (mremap.arguments, ("mremap", AT, PAGE + 1, 2 * PAGE, MAYMOVE | DONTUNMAP), LETS_THROUGH),
    (mremap.arguments, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE | DONTUNMAP), "EINVAL argument.flags:resize"),
    (mremap.target, ("mremap", AT, PAGE, PAGE, MAYMOVE, AT + 1), LETS_THROUGH),
    (mremap.target, ("mremap", AT, PAGE, PAGE, MAYMOVE | FIXED, AT + 1), UNALIGNED),
    (mremap.target, ("mremap", AT, PAGE, PAGE, MAYMOVE | DONTUNMAP, 1), UNALIGNED),
    (mremap.target, ("mremap", AT, PAGE, PAGE, MAYMOVE | FIXED, TASK_SIZE - PAGE), LETS_THROUGH),
    (mremap.target, ("mremap", AT, PAGE, PAGE, MAYMOVE | FIXED, TASK_SIZE), "EINVAL argument.length:beyond"),
    (mremap.target, ("mremap", AT, 2 * PAGE, PAGE, MAYMOVE | FIXED, AT + 2 * PAGE), LETS_THROUGH),
    (mremap.target, ("mremap", AT, 2 * PAGE, PAGE, MAYMOVE | FIXED, AT + PAGE), "EINVAL argument.flags:overlap"),
    (mremap.target, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE | FIXED, AT - 2 * PAGE), LETS_THROUGH),
    (mremap.target, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE | FIXED, AT - PAGE), "EINVAL argument.flags:overlap"),
    (mremap.target, ("mremap", AT, TOP - 1, PAGE, MAYMOVE | FIXED, AT + PAGE), LETS_THROUGH),
    (mremap.one_mapping, ("mremap", AT, TOP - 1, 9 * PAGE, MAYMOVE), LETS_THROUGH),
    (mremap.arguments, ("mremap", AT, TOP - 1, PAGE, MAYMOVE | DONTUNMAP), "EINVAL argument.flags:resize"),
    (mremap.copy, ("mremap", AT, PAGE, PAGE, 0), LETS_THROUGH),
    (mremap.copy, ("mremap", AT, 0, PAGE, MAYMOVE), "EINVAL argument.length:copy"),
    (mremap.copy, ("mremap", AT + 8 * PAGE, 0, PAGE, MAYMOVE), "? EINVAL argument.length"),
    (mremap.one_mapping, ("mremap", AT, 4 * PAGE, 9 * PAGE, MAYMOVE), LETS_THROUGH),
    (mremap.one_mapping, ("mremap", AT, 4 * PAGE + 1, 9 * PAGE, MAYMOVE), "EFAULT argument.length:across"),
    (mremap.one_mapping, ("mremap", AT, 9 * PAGE, 4 * PAGE, 0), LETS_THROUGH),
    (mremap.one_mapping, ("mremap", AT, 9 * PAGE, 5 * PAGE, 0), LETS_THROUGH),
    (mremap.one_mapping, ("mremap", AT, 5 * PAGE, 5 * PAGE, 0), LETS_THROUGH),
    (mremap.one_mapping, ("mremap", AT, 9 * PAGE, 4 * PAGE, MAYMOVE | FIXED, 0), LETS_THROUGH),
    (mremap.one_mapping, ("mremap", AT, 9 * PAGE, 5 * PAGE, MAYMOVE | FIXED, 0), "EFAULT argument.length:across"),
    (mremap.given_up, ("mremap", AT, TASK_SIZE - AT, PAGE, 0), LETS_THROUGH),
    (mremap.given_up, ("mremap", AT, TASK_SIZE - AT + 1, PAGE, 0), "EINVAL argument.length:beyond"),
    (mremap.given_up, ("mremap", AT, TASK_SIZE, TASK_SIZE, 0), LETS_THROUGH),
    (mremap.given_up, ("mremap", AT, TOP - 1, PAGE, 0), LETS_THROUGH),
    (mremap.copy, ("mremap", AT, TOP - 1, PAGE, 0), "EINVAL argument.length:copy"),
    (mremap.one_mapping, ("mremap", AT, 5 * PAGE, 5 * PAGE, MAYMOVE | FIXED, 0), LETS_THROUGH),
    (mremap.one_mapping, ("mremap", AT, 5 * PAGE, 5 * PAGE, MAYMOVE | DONTUNMAP), "EFAULT argument.length:across"),
    (mremap.one_mapping, ("mremap", AT + 4 * PAGE, PAGE, 2 * PAGE, 0), LETS_THROUGH),
    (madvise.arguments, ("madvise", AT, PAGE, 4), LETS_THROUGH),
    (madvise.arguments, ("madvise", AT + 1, PAGE, 5), "EINVAL argument.advice"),
    (madvise.arguments, ("madvise", AT, PAGE, 4 | 1 << 32), LETS_THROUGH),
    (madvise.arguments, ("madvise", AT + 1, 0, 4), UNALIGNED),
    (madvise.arguments, ("madvise", TOP - 2 * PAGE, PAGE, 4), LETS_THROUGH),
    (madvise.arguments, ("madvise", TOP - PAGE, PAGE, 4), "EINVAL argument.length:wraps"),
    (madvise.privilege, ("madvise", AT, PAGE, 4), LETS_THROUGH),
    (madvise.privilege, ("madvise", AT, PAGE, 100), "EPERM argument.advice:privileged"),
    (madvise.privilege, ("madvise", AT, PAGE, 101), "EPERM argument.advice:privileged"),
    (madvise.not_built_in, ("madvise", AT, PAGE, 4), LETS_THROUGH),
    (madvise.not_built_in, ("madvise", AT, PAGE, 14), "? EINVAL argument.advice:memory"),
    (madvise.not_carried_out, ("madvise", AT, PAGE, 4), LETS_THROUGH),
    (madvise.not_carried_out, ("madvise", AT, PAGE, 22), "? EFAULT argument.advice:guarded"),
    (madvise.not_carried_out, ("madvise", AT, PAGE, 25), "? EAGAIN/EBUSY/ENOMEM argument.advice:memory"),
    (process_madvise.arguments, ("process_madvise", 3, AT, 1024, 20, 1 << 32), LETS_THROUGH),
    (process_madvise.arguments, ("process_madvise", 3, AT, 1025, 20, 0), "EINVAL argument.length:ranges"),
    (process_madvise.arguments, ("process_madvise", 3, AT, 1025, 20, 1), "EINVAL argument.flags"),
    (process_madvise.descriptor, ("process_madvise", -1, AT, 1, 20, 0), "? EBADF fd.bad:process"),
    (process_madvise.ended, ("process_madvise", 3, AT, 1, 20, 0), "? ESRCH argument.advice:ended"),
    (process_madvise.rights, ("process_madvise", 3, AT, 1, 20, 0), "? EPERM argument.advice:rights"),
    (process_madvise.advice, ("process_madvise", 3, AT, 1, 20, 0), "? EINVAL argument.advice:remote"),
    (remap_file_pages.arguments, ("remap_file_pages", AT + 1, PAGE, 0, 0, 0), LETS_THROUGH),
    (remap_file_pages.arguments, ("remap_file_pages", AT, PAGE, 1, 0, 0), "EINVAL argument.prot:remap"),
    (remap_file_pages.arguments, ("remap_file_pages", AT, PAGE - 1, 0, 0, 0), EINVAL_LENGTH),
    (remap_file_pages.arguments, ("remap_file_pages", TOP - 2 * PAGE, PAGE, 0, 0, 0), LETS_THROUGH),
    (remap_file_pages.arguments, ("remap_file_pages", TOP - 1, PAGE, 0, 0, 0), "EINVAL argument.length:wraps"),
    (remap_file_pages.arguments, ("remap_file_pages", AT, PAGE, 0, TOP - 2, 0), LETS_THROUGH),
    (remap_file_pages.arguments, ("remap_file_pages", AT, PAGE, 0, TOP - 1, 0), "EINVAL argument.length:offset-wraps"),
    (shm.address, ("shmat", 5, AT, 0), LETS_THROUGH),
    (shm.address, ("shmat", -1, AT + 1, 0), "EINVAL argument.shm"),
    (shm.address, ("shmat", 0, AT + 1, 0), "EINVAL argument.alignment:segment"),
    (shm.address, ("shmat", 5, AT + 1, f.SHM_RND), LETS_THROUGH),
    (shm.address, ("shmat", 5, 0, f.SHM_REMAP), "EINVAL argument.flags:remap"),
    (shm.address, ("shmat", 5, PAGE - 1, f.SHM_REMAP | f.SHM_RND), "EINVAL argument.flags:remap"),
    (shm.address, ("shmat", 5, PAGE, f.SHM_REMAP), LETS_THROUGH),
    (shm.segment, ("shmat", 5, 0, 0), "EINVAL/EIDRM argument.shm"),
    (shm.access, ("shmat", 5, 0, 0), "? EACCES argument.shm"),
    (shm.removed, ("shmat", 5, 0, 0), "? EIDRM argument.shm:removed"),
    (shm.detach_address, ("shmdt", AT), LETS_THROUGH),
    (shm.detach_address, ("shmdt", AT + 1), UNALIGNED),
    (shm.attached, ("shmdt", AT), "? EINVAL argument.shm:detach"),
    (aio.events, ("io_setup", 1, AT), LETS_THROUGH),
    (aio.events, ("io_setup", 1 << 32, AT), "EINVAL argument.pointer:used"),
    (aio.events, ("io_setup", 4194304, AT), LETS_THROUGH),
    (aio.events, ("io_setup", 4194305, AT), "EINVAL argument.length:events"),
    (aio.events, ("io_setup", 0x80000001, AT), LETS_THROUGH),
    (aio.events, ("io_setup", 0xFFFFFFFF, AT), "EINVAL argument.length:events"),
    (aio.context, ("io_setup", 1, AT), "? EINVAL argument.pointer:used"),
    (aio.ring, ("io_destroy", AT), "EINVAL argument.pointer:context"),
    (seccomp.operation, ("seccomp", 1, 0x1F, AT), LETS_THROUGH),
    (seccomp.operation, ("seccomp", 1, 0x40, AT), "EINVAL argument.flags"),
    (seccomp.operation, ("seccomp", 1, 9, AT), "EINVAL argument.flags"),
    (seccomp.operation, ("seccomp", 1, 9 | 16, AT), LETS_THROUGH),
    (seccomp.operation, ("seccomp", 0, 0, 0), LETS_THROUGH),
    (seccomp.operation, ("seccomp", 0, 1, 0), "EINVAL argument.flags"),
    (seccomp.operation, ("seccomp", 0, 0, 1), "EINVAL argument.flags"),
    (seccomp.operation, ("seccomp", 3, 0, AT), LETS_THROUGH),
    (seccomp.operation, ("seccomp", 3, 1, AT), "EINVAL argument.flags"),
    (seccomp.operation, ("seccomp", 4, 0, AT), "EINVAL argument.flags"),
    (seccomp.filter_program, ("seccomp", 0, 0, 0), LETS_THROUGH),
    (seccomp.filter_program, ("seccomp", 1, 0, AT), "? EINVAL argument.flags"),
)


@pytest.mark.parametrize("rule, call, said", ROWS, ids=lambda part: str(getattr(part, "name", part)))
def test_answer(rule: Rule, call: Tuple[Any, ...], said: str) -> None:
    assert asked(rule, call) == said


# What depends on the kernel


@pytest.mark.parametrize(
    "rule, call, release, said",
    [
        (mmap.mapping_type, anonymous(DROPPABLE), "6.10.0", "EINVAL argument.flags:droppable-old"),
        (mmap.mapping_type, of_file(DROPPABLE), "6.10.0", "EINVAL argument.flags:droppable-old"),
        (mmap.mapping_type, anonymous(DROPPABLE), "6.11.0", LETS_THROUGH),
        (mmap.mapping_type, anonymous(DROPPABLE), "unknown", LETS_THROUGH),
        (mmap.mapping_type, of_file(VALIDATE | 0x80), "6.5.0", "EOPNOTSUPP argument.flags:validate"),
        (mmap.mapping_type, of_file(VALIDATE | 0x80), "6.6.0", LETS_THROUGH),
        (mremap.arguments, ("mremap", AT, PAGE, TASK_SIZE + 1, 0), "6.16.0", LETS_THROUGH),
        (
            mremap.arguments,
            ("mremap", AT, PAGE + 1, 2 * PAGE, MAYMOVE | DONTUNMAP),
            "6.16.0",
            "EINVAL argument.flags:resize",
        ),
        (
            mremap.one_mapping,
            ("mremap", AT, 5 * PAGE, 5 * PAGE, MAYMOVE | FIXED, 0),
            "6.16.0",
            "EFAULT argument.length:several",
        ),
        (
            mremap.one_mapping,
            ("mremap", AT, 9 * PAGE, 5 * PAGE, MAYMOVE | FIXED, 0),
            "6.16.0",
            "EFAULT argument.length:across",
        ),
        (madvise.arguments, ("madvise", AT, PAGE, 102), "6.12.0", "EINVAL argument.advice:old"),
        (madvise.arguments, ("madvise", AT, PAGE, 102), "6.13.0", LETS_THROUGH),
        (madvise.arguments, ("madvise", AT, PAGE, 102), "unknown", LETS_THROUGH),
    ],
)
def test_by_kernel(rule: Rule, call: Tuple[Any, ...], release: str, said: str) -> None:
    assert asked(rule, call, host=kernel(release)) == said


def test_before_6_17_mremap_looks_its_old_address_up_first() -> None:
    call = ("mremap", AT + 8 * PAGE, PAGE, PAGE, MAYMOVE | FIXED, 1)
    assert asked(mremap.target, call) == UNALIGNED
    assert asked(mremap.target, call, host=kernel("6.16.0")) == LETS_THROUGH
    assert asked(mremap.target, call, BLIND, kernel("6.16.0")) == UNALIGNED


# What depends on the memory


def test_memory_that_grows_down_and_none_that_grows_up() -> None:
    down, up = ("mprotect", AT, PAGE, RW | f.GROWSDOWN), ("mprotect", AT, PAGE, RW | f.GROWSUP)
    assert asked(mprotect.growth, down) == "EINVAL argument.growsdown"
    assert asked(mprotect.growth, down, over(mapped(AT, 1, "rd", "gd"))) == LETS_THROUGH
    assert asked(mprotect.growth, up, over(mapped(AT, 1, "rd", "gd"))) == "EINVAL argument.growsdown:up"
    assert asked(mprotect.growth, ("mprotect", AT, PAGE, RW)) == LETS_THROUGH
    assert asked(mprotect.growth, ("mprotect", AT, 0, RW | f.GROWSDOWN)) == LETS_THROUGH


def test_where_growing_meets_a_hole_the_hole_is_told() -> None:
    down = ("mprotect", AT - PAGE, 2 * PAGE, RW | f.GROWSDOWN)
    up = ("mprotect", AT - PAGE, 2 * PAGE, RW | f.GROWSUP)
    assert asked(mprotect.growth, ("mprotect", AT - PAGE, PAGE, RW | f.GROWSDOWN)) == LETS_THROUGH
    assert asked(mprotect.growth, down) == "EINVAL argument.growsdown"
    assert asked(mprotect.growth, up) == LETS_THROUGH


def test_growing_cannot_be_known_without_the_mapping_and_its_flags() -> None:
    call = ("mprotect", AT, PAGE, RW | f.GROWSDOWN)
    assert answer(mprotect.growth, call, BLIND).missing == (Need.MAPPINGS,)
    bare = over(mapped(AT, 1)._replace(flags=()))
    assert answer(mprotect.growth, call, bare).missing == (Need.VM_FLAGS,)


def test_a_copy_is_made_of_shared_memory() -> None:
    call = ("mremap", AT, 0, PAGE, MAYMOVE)
    assert asked(mremap.copy, call, over(mapped(AT, 1, "rd", "sh", "ms", perms="rw-s"))) == LETS_THROUGH
    assert answer(mremap.copy, call, over(mapped(AT, 1)._replace(flags=()))).missing == (Need.VM_FLAGS,)


def test_memory_with_a_userfaultfd_does_not_move_with_other_memory() -> None:
    call = ("mremap", AT, 5 * PAGE, 5 * PAGE, MAYMOVE | FIXED, 0)
    for flag in ("um", "uw", "ui"):
        watched = over(mapped(AT, 4), mapped(AT + 4 * PAGE, 1, "rd", flag))
        assert asked(mremap.one_mapping, call, watched) == "EFAULT argument.length:watched"
    alone = ("mremap", AT, PAGE, PAGE, MAYMOVE | FIXED, 0)
    assert asked(mremap.one_mapping, alone, over(mapped(AT, 1, "rd", "uw"))) == LETS_THROUGH


LOCKED, MEMORY, FILE = (
    "EINVAL argument.advice:locked",
    "EINVAL argument.advice:memory",
    "EINVAL argument.advice:file",
)
MAYS = ("rd", "wr", "mr", "mw", "me")
DATA = {"path": "/srv/data", "inode": 42}
ZERO = {"path": "/dev/zero", "inode": 5}
MEMORY_OF = [
    (4, mapped(AT, 1), LETS_THROUGH),
    (4, mapped(AT, 1, *MAYS, "lo"), LOCKED),
    (4, mapped(AT, 1, *MAYS, "pf"), MEMORY),
    (4, mapped(AT, 1, *MAYS, "ht", "lo"), LETS_THROUGH),
    (24, mapped(AT, 1, *MAYS, "lo"), LETS_THROUGH),
    (24, mapped(AT, 1, *MAYS, "pf"), MEMORY),
    (24, mapped(AT, 1, *MAYS, "ht"), LETS_THROUGH),
    (8, mapped(AT, 1), LETS_THROUGH),
    (8, mapped(AT, 1, *MAYS, "lo"), LOCKED),
    (8, mapped(AT, 1, *MAYS, "ht"), MEMORY),
    (8, mapped(AT, 1, **DATA), FILE),
    (8, mapped(AT, 1, **ZERO), LETS_THROUGH),
    (8, mapped(AT, 1, *MAYS, "ms", **ZERO), FILE),
    (8, mapped(AT, 1, path="[vdso]"), FILE),
    (8, mapped(AT, 1, path="[heap]"), LETS_THROUGH),
    (9, mapped(AT, 1), "EINVAL argument.advice:remove"),
    (9, mapped(AT, 1, *MAYS, "lo", **DATA), LOCKED),
    (9, mapped(AT, 1, **DATA), "EACCES argument.advice:remove"),
    (9, mapped(AT, 1, "rd", "ms", "sh", **DATA), "EACCES argument.advice:read-only"),
    (9, mapped(AT, 1, "rd", "ms", "mw", **DATA), "EACCES argument.advice:read-only"),
    (9, mapped(AT, 1, "rd", "ms", "mw", "sh", **DATA), LETS_THROUGH),
    (10, mapped(AT, 1, "rd", "io"), LETS_THROUGH),
    (11, mapped(AT, 1, "rd", "io"), MEMORY),
    (11, mapped(AT, 1), LETS_THROUGH),
    (17, mapped(AT, 1), LETS_THROUGH),
    (17, mapped(AT, 1, "rd", "io"), MEMORY),
    (17, mapped(AT, 1, "rd", "de"), MEMORY),
    (17, mapped(AT, 1, "rd", "mm"), MEMORY),
    (17, mapped(AT, 1, "rd", "de", "ht"), LETS_THROUGH),
    (17, mapped(AT, 1, "rd", "dp"), MEMORY),
    (19, mapped(AT, 1, "rd", "dp"), MEMORY),
    (19, mapped(AT, 1, "rd", "io"), LETS_THROUGH),
    (18, mapped(AT, 1), LETS_THROUGH),
    (18, mapped(AT, 1, **ZERO), FILE),
    (18, mapped(AT, 1, "rd", "sh"), FILE),
    (20, mapped(AT, 1), LETS_THROUGH),
    (20, mapped(AT, 1, "rd", "lo"), LOCKED),
    (21, mapped(AT, 1, "rd", "ht"), MEMORY),
    (21, mapped(AT, 1, "rd", "pf"), MEMORY),
    (22, mapped(AT, 1), LETS_THROUGH),
    (22, mapped(AT, 1, perms="-w-p"), MEMORY),
    (22, mapped(AT, 1, *MAYS, "io"), MEMORY),
    (23, mapped(AT, 1), LETS_THROUGH),
    (23, mapped(AT, 1, perms="r--p"), "EINVAL argument.advice:populate"),
    (23, mapped(AT, 1, *MAYS, "pf"), MEMORY),
    (102, mapped(AT, 1, **DATA), LETS_THROUGH),
    (102, mapped(AT, 1, *MAYS, "lo"), LOCKED),
    (103, mapped(AT, 1, *MAYS, "lo"), LETS_THROUGH),
    (103, mapped(AT, 1, *MAYS, "de"), MEMORY),
    (102, mapped(AT, 1, *MAYS, "ht"), MEMORY),
    (0, mapped(AT, 1, "rd", "io", "pf", "lo"), LETS_THROUGH),
    (1, mapped(AT, 1, "rd", path="[vdso]"), LETS_THROUGH),
    (1, mapped(AT, 2, "rd", path="[vdso]"), "EINVAL argument.advice:part"),
    (1, mapped(AT - PAGE, 2, "rd", path="[vdso]"), "EINVAL argument.advice:part"),
    (1, mapped(AT, 2, "rd", "rr", path="[vdso]"), LETS_THROUGH),
    (1, mapped(AT, 2, "rd", "rr", "sr", path="[vdso]"), "EINVAL argument.advice:part"),
    (0, mapped(AT, 2, "rd", path="[vdso]"), LETS_THROUGH),
    (0, mapped(AT, 2, "rd", "rr", path="[vdso]"), "EINVAL argument.advice:part"),
    (2, mapped(AT, 2, "rd"), LETS_THROUGH),
    (4, mapped(AT, 2, "rd", path="[vdso]"), LETS_THROUGH),
    (10, mapped(AT, 512, *MAYS, "ht"), "EINVAL argument.advice:part"),
    (10, mapped(AT, 512, *MAYS, "ht", "dc"), LETS_THROUGH),
]


@pytest.mark.parametrize("advice, vma, said", MEMORY_OF)
def test_advice_for_memory(advice: int, vma: Any, said: str) -> None:
    assert asked(madvise.memory, ("madvise", AT, PAGE, advice), over(vma)) == said


def test_a_length_that_rounds_to_nothing_ends_where_it_starts() -> None:
    assert [context(("mremap", AT, length, PAGE)).end for length in (TOP - 1, TOP - PAGE)] == [AT, AT + TOP - PAGE]


def test_an_empty_range_has_no_mappings() -> None:
    for call in (("madvise", AT + PAGE, 0, 4), ("mprotect", AT + PAGE, 0, RW)):
        assert context(call).parts() == []


def test_guards_in_files_came_with_6_15() -> None:
    call = ("madvise", AT, PAGE, 102)
    for release, said in (("6.14.0", FILE), ("6.15.0", LETS_THROUGH), ("unknown", LETS_THROUGH)):
        assert asked(madvise.memory, call, over(mapped(AT, 1, **DATA)), kernel(release)) == said
    assert asked(madvise.memory, call, over(mapped(AT, 1, "rd", "wr")), kernel("6.14.0")) == FILE
    assert asked(madvise.memory, call, over(mapped(AT, 1)), kernel("6.14.0")) == LETS_THROUGH


def test_huge_pages_are_discarded_whole() -> None:
    huge = over(mapped(AT, 1024, *MAYS, "ht"))
    assert asked(madvise.memory, ("madvise", AT, 2 << 20, 10), huge) == LETS_THROUGH
    assert asked(madvise.memory, ("madvise", AT + PAGE, PAGE, 4), huge) == MEMORY
    assert asked(madvise.memory, ("madvise", AT + (2 << 20), PAGE, 4), huge) == LETS_THROUGH
    assert asked(madvise.memory, ("madvise", AT - PAGE, 4 * PAGE, 4), huge) == LETS_THROUGH


def test_advice_cannot_be_known_without_flags() -> None:
    bare = over(mapped(AT, 1)._replace(flags=()))
    given = answer(madvise.memory, ("madvise", AT, PAGE, 4), bare)
    assert (given.missing, given.at_most) == ((Need.VM_FLAGS,), None)


def test_advice_that_a_mapping_may_not_take_that_was_not_read() -> None:
    given = answer(madvise.not_built_in, ("madvise", AT, 1 << 40, 103), BLIND)
    assert (given.missing, given.by_exclusion, given.case) == ((Need.MAPPINGS,), False, "memory")
    assert answer(madvise.not_built_in, ("madvise", AT, PAGE, 14)).by_exclusion


def test_capabilities_that_let_through() -> None:
    able = replace(PROBE, status={**PROBE.status, "CapEff": "0000000000a08000"})
    unread = replace(PROBE, status={"Seccomp": "0"})
    call = ("madvise", AT, PAGE, 100)
    assert asked(madvise.privilege, call, able) == LETS_THROUGH
    assert answer(madvise.privilege, call, unread).missing == (Need.CAPABILITIES,)
    assert asked(process_madvise.rights, ("process_madvise", 3, AT, 1, 20, 0), able) == LETS_THROUGH
    assert asked(shm.access, ("shmat", 5, 0, 0), able) == LETS_THROUGH


SHARED_FILE = {"perms": "rw-s", "path": "/srv/data", "inode": 42}
REMAP = ("remap_file_pages", AT, 4 * PAGE, 0, 0, 0)


def test_remap_file_pages_takes_shared_memory() -> None:
    assert asked(remap_file_pages.shared, REMAP) == "EINVAL argument.flags:private-remap"
    assert asked(remap_file_pages.shared, REMAP, over(mapped(AT, 1, "rd", "sh", **SHARED_FILE))) == LETS_THROUGH
    assert asked(remap_file_pages.shared, REMAP, NOTHING) == LETS_THROUGH
    assert answer(remap_file_pages.shared, REMAP, BLIND).missing == (Need.MAPPINGS,)
    cut = over(mapped(AT + PAGE, 1), vmas_complete=False)
    assert asked(remap_file_pages.shared, REMAP, cut) == LETS_THROUGH
    assert answer(remap_file_pages.shared, REMAP, over(mapped(AT, 1)._replace(flags=()))).missing == (Need.VM_FLAGS,)


def test_remap_file_pages_takes_mappings_of_one_kind() -> None:
    first, differs = mapped(AT, 2, "rd", "sh", **SHARED_FILE), "EINVAL argument.length:differs"
    behind = AT + 2 * PAGE
    alike = mapped(behind, 2, "rd", "sh", **SHARED_FILE)
    other_flags = mapped(behind, 2, "rd", "wr", "sh", **SHARED_FILE)
    other_file = alike._replace(line=alike.line._replace(inode=43))
    other_device = alike._replace(line=alike.line._replace(dev="08:02"))
    assert asked(remap_file_pages.one_mapping, REMAP, over(first, alike)) == LETS_THROUGH
    for other in (other_flags, other_file, other_device):
        assert asked(remap_file_pages.one_mapping, REMAP, over(first, other)) == differs
        behind_a_hole = other._replace(line=other.line._replace(start=behind + PAGE))
        assert asked(remap_file_pages.one_mapping, REMAP, over(first, behind_a_hole)) == LETS_THROUGH
    assert (
        asked(remap_file_pages.one_mapping, ("remap_file_pages", AT - PAGE, 9 * PAGE, 0), over(first)) == LETS_THROUGH
    )


# Segments and contexts


@pytest.mark.parametrize(
    "uid, creator, mode, flags, said",
    [
        (1000, 1, 0o600, 0, LETS_THROUGH),
        (1, 1000, 0o600, 0, LETS_THROUGH),
        (1000, 1, 0o400, 0, "EACCES argument.shm:mode"),
        (1000, 1, 0o400, f.SHM_RDONLY, LETS_THROUGH),
        (1000, 1, 0o600, f.SHM_EXEC, "EACCES argument.shm:mode"),
        (1000, 1, 0o700, f.SHM_EXEC, LETS_THROUGH),
        (1000, 1, 0o066, 0, "EACCES argument.shm:mode"),
        (1, 1, 0o666, 0, LETS_THROUGH),
        (1, 1, 0o660, 0, "? EACCES argument.shm:access"),
        (1, 1, 0o606, 0, "? EACCES argument.shm:access"),
        (1, 1, 0o642, 0, "EACCES argument.shm:mode"),
        (1, 1, 0o600, 0, "EACCES argument.shm:mode"),
    ],
)
def test_owner_and_mode_of_a_segment(uid: int, creator: int, mode: int, flags: int, said: str) -> None:
    probe = replace(PROBE, segment=Segment(mode, uid, 1, False, PAGE, creator))
    assert asked(shm.access, ("shmat", 5, 0, flags), probe) == said


def test_a_segment_that_is_there_and_one_of_another_namespace() -> None:
    there = replace(PROBE, segment=Segment(0o600, 1, 1, False, PAGE, 1))
    elsewhere = replace(PROBE, same_namespaces=False)
    assert asked(shm.segment, ("shmat", 5, 0, 0), there) == LETS_THROUGH
    assert answer(shm.segment, ("shmat", 5, 0, 0), elsewhere).missing == (Need.SEGMENT,)


def test_a_segment_that_wraps_around() -> None:
    sized = replace(PROBE, segment=Segment(0o600, 1, 1, False, 2 * PAGE, 1))
    assert asked(shm.range_of_segment, ("shmat", 5, TOP - 3 * PAGE, 0), sized) == LETS_THROUGH
    assert asked(shm.range_of_segment, ("shmat", 5, TOP - 2 * PAGE, 0), sized) == "EINVAL argument.length:wraps"
    assert asked(shm.range_of_segment, ("shmat", 5, TOP - PAGE, f.SHM_REMAP), sized) == LETS_THROUGH
    assert asked(shm.range_of_segment, ("shmat", 5, TOP - PAGE, 0)) == LETS_THROUGH
    assert asked(shm.range_of_segment, ("shmat", 5, 0, 0), sized) == LETS_THROUGH


def test_what_was_attached_and_what_was_not() -> None:
    assert context(("shmdt", AT)).replaced() == []
    assert asked(shm.attached, ("shmdt", AT), over(mapped(AT, 1, path="/SYSV00000000 (deleted)"))) == LETS_THROUGH
    assert asked(shm.attached, ("shmdt", AT), over(mapped(AT, 1, path="/srv/data"))) == "? EINVAL argument.shm:detach"


def test_a_context_lives_at_its_ring() -> None:
    assert asked(aio.ring, ("io_destroy", AT), over(mapped(AT, 1, path="/[aio] (deleted)"))) == LETS_THROUGH
    assert asked(aio.ring, ("io_destroy", AT), BLIND) == "? EINVAL argument.pointer:context"


# Pointers


@pytest.mark.parametrize(
    "call, shown",
    [
        (("memfd_create", 0x1234, 1), "0x1234"),
        (("io_setup", 1, 0x1234), "0x1234"),
        (("process_madvise", 3, 0x1234, 1, 20, 0), "0x1234"),
        (("arch_prctl", 0x1003, 0x1234), "0x1234"),
        (("seccomp", 1, 0, 0x1234), "0x1234"),
        (("clone3", 0x1234, 88), "0x1234"),
        (("ptrace", 1, 5, 0x1234, 0x5678), "0x1234, 0x5678"),
        (("prctl", 15, 0x1234, 0, 0, 0), "0x1234, 0x0, 0x0, 0x0"),
    ],
)
def test_a_pointer_is_named_and_proved_by_exclusion(call: Tuple[Any, ...], shown: str) -> None:
    given = answer(pointer.pointer, call)
    assert asked(pointer.pointer, call) == "? EFAULT argument.pointer"
    assert ([evidence.fact for evidence in given.evidence], given.by_exclusion) == (["it was given " + shown], True)


def test_an_mmap_whose_arguments_could_be_read_has_no_pointer() -> None:
    assert asked(pointer.pointer, ("mmap", 0x1234), abi=Abi.I386) == LETS_THROUGH
    unread = replace(context(("mmap", 0x1234), abi=Abi.I386), request=Other("mmap"))
    assert [evidence.fact for evidence in pointer.pointer(unread).evidence] == ["it was given 0x1234"]


def test_nothing_is_proved_by_exclusion_where_a_filter_may_have_answered() -> None:
    ctx = context(("memfd_create", 0, 0), replace(PROBE, status={"Seccomp": "2"}))
    given = pointer.pointer(replace(ctx, decided=0))
    assert (given.by_exclusion, given.missing) == (False, (Need.ANSWERED,))
