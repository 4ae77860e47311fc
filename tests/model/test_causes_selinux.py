"""What SELinux checks for each memory call, against what enforcing kernels were seen to check (6.12, call by call).

Only the exec* permissions are compared: the rows below say nothing about read, write, map and execute.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest
from stories import (
    ANON_AT,
    FILE_AT,
    HEAP,
    MAPS,
    PAGE,
    RW,
    RWX,
    RX,
    STACK,
    START_STACK,
    R,
    Told,
    cause_of,
    facts_of,
    file_line,
    line,
    vma,
)

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.model import flags as f
from wxtrace.model.causes.context import Part
from wxtrace.model.causes.selinux.checks import (
    Check,
    HeapPredicate,
    Memory,
    checks_at_mmap,
    checks_at_mprotect,
    heap_predicate,
    memory_of,
)
from wxtrace.model.event import Event
from wxtrace.model.facts import Host, Probe
from wxtrace.model.objects import Descriptor

X, NONE = 4, 0
START_BRK, BRK = HEAP, HEAP + 0x21000
THREAD_STACK, THREAD_SP = 0x7F2000000000, 0x7F2000007F00
MAIN_SP = STACK + 0x20000
INSIDE = HeapPredicate("inside")
EXECHEAP, EXECMEM, EXECSTACK, EXECMOD = "process:execheap", "process:execmem", "process:execstack", "file:execmod"
ZERO_EXECMOD = "chr_file:execmod"


def exec_checks(checks: List[Check]) -> List[str]:
    return [
        "%s:%s" % (check.tclass, check.permission)
        for check in checks
        if check.permission.startswith("exec") and check.permission != "execute"
    ]


def memory(
    start: int,
    end: int,
    before: int = RW,
    shared: bool = False,
    has_file: bool = False,
    kernel_private: bool = False,
    tclass: str = "file",
    written: Optional[bool] = False,
) -> Memory:
    return Memory(start, end, before, shared, has_file, kernel_private, tclass, written)


def heap(before: int = RW) -> Memory:
    return memory(START_BRK, BRK, before)


def anon(before: int = RW) -> Memory:
    return memory(ANON_AT, ANON_AT + 1024 * PAGE, before)


def anon_shared(before: int = RW) -> Memory:
    return memory(ANON_AT, ANON_AT + PAGE, before, True, True, True)


def zero(written: bool, before: int = RW) -> Memory:
    return memory(FILE_AT, FILE_AT + PAGE, before, False, True, False, "chr_file", written)


def a_file(written: bool, before: int = RW, shared: bool = False) -> Memory:
    return memory(FILE_AT, FILE_AT + PAGE, before, shared, True, False, "file", written)


def main_stack() -> Memory:
    return memory(STACK, STACK + 0x21000)


def thread_stack(before: int = RW) -> Memory:
    return memory(THREAD_STACK, THREAD_STACK + 0x8000, before)


MPROTECT = [
    ("1a heap page, X", heap(), X, [EXECHEAP, EXECMEM]),
    ("1a then R|X", heap(X), RX, [EXECMEM]),
    ("1b heap page, R|X", heap(), RX, [EXECHEAP, EXECMEM]),
    ("1c heap page, R|W|X", heap(), RWX, [EXECHEAP, EXECMEM]),
    ("2a large memalign, X", anon(), X, [EXECMEM]),
    ("2a then R|X", anon(X), RX, [EXECMEM]),
    ("2c large memalign, R|W|X", anon(), RWX, [EXECMEM]),
    ("3a anon written, R|X", anon(), RX, [EXECMEM]),
    ("3a anon written, X", anon(), X, [EXECMEM]),
    ("3b anon unwritten, R|X", anon(), RX, [EXECMEM]),
    ("3b anon unwritten, X", anon(), X, [EXECMEM]),
    ("3c anon read-only, R|X", anon(R), RX, [EXECMEM]),
    ("3c anon PROT_NONE, R|X", anon(NONE), RX, [EXECMEM]),
    ("3c and now R|W", anon(RX), RW, []),
    ("3c and R|X again", anon(RW), RX, [EXECMEM]),
    ("3d anon shared, R|X", anon_shared(), RX, [EXECMEM]),
    ("3d anon shared, X", anon_shared(), X, [EXECMEM]),
    ("3d anon shared, R|W|X", anon_shared(), RWX, [EXECMEM]),
    ("4a /dev/zero written, X", zero(True), X, [ZERO_EXECMOD]),
    ("4a /dev/zero written, R|X", zero(True), RX, [ZERO_EXECMOD]),
    ("4a /dev/zero written, R|W|X", zero(True), RWX, [ZERO_EXECMOD, EXECMEM]),
    ("4b /dev/zero unwritten, X", zero(False), X, []),
    ("4b /dev/zero read-touched, R|X", zero(False), RX, []),
    ("4b /dev/zero unwritten, R|W|X", zero(False), RWX, [EXECMEM]),
    ("4c /dev/zero shared written, X", anon_shared(), X, [EXECMEM]),
    ("4c /dev/zero shared unwritten, R|X", anon_shared(), RX, [EXECMEM]),
    ("4c /dev/zero shared, R|W|X", anon_shared(), RWX, [EXECMEM]),
    ("5a file written, R|X", a_file(True), RX, [EXECMOD]),
    ("5a file written, X", a_file(True), X, [EXECMOD]),
    ("5a file written, R|W|X", a_file(True), RWX, [EXECMOD, EXECMEM]),
    ("5b file RW untouched, R|X", a_file(False), RX, []),
    ("5b file RW untouched, R|W|X", a_file(False), RWX, [EXECMEM]),
    ("5b file R untouched, R|X", a_file(False, R), RX, []),
    ("5c file RW read only, R|X", a_file(False), RX, []),
    ("5d another page of the VMA was written", a_file(True), RX, [EXECMOD]),
    ("5f written, then MADV_DONTNEED", a_file(True), RX, [EXECMOD]),
    ("5g in a forked child", a_file(True), RX, [EXECMOD]),
    ("6a file shared written, R|X", a_file(False, shared=True), RX, []),
    ("6a file shared, R|W|X", a_file(False, shared=True), RWX, []),
    ("6b file shared O_RDONLY, R|W", a_file(False, R, True), RW, []),
    ("6b file shared O_RDONLY, R|X", a_file(False, R, True), RX, []),
    ("8a main stack, R|W|X", main_stack(), RWX, [EXECSTACK, EXECMEM]),
    ("8a main stack, R|X", main_stack(), RX, [EXECSTACK, EXECMEM]),
    ("8b main stack, R|W|X|GROWSDOWN", main_stack(), RWX | f.GROWSDOWN, [EXECSTACK, EXECMEM]),
    ("9a memfd shared, R|X", a_file(False, shared=True), RX, []),
    ("9c memfd private written, X", a_file(True), X, [EXECMOD]),
    ("9c memfd private unwritten, R|X", a_file(False), RX, []),
]

PRIVATE, SHARED, VALIDATE = 2, f.MAP_SHARED, f.MAP_SHARED_VALIDATE
ANONYMOUS = f.MAP_ANONYMOUS
MMAP = [
    ("4e /dev/zero RX private", RX, PRIVATE, []),
    ("4e /dev/zero RWX private", RWX, PRIVATE, [EXECMEM]),
    ("4e /dev/zero RX shared", RX, SHARED, []),
    ("4e /dev/zero RWX shared", RWX, SHARED, []),
    ("7 anon RWX private", RWX, PRIVATE | ANONYMOUS, [EXECMEM]),
    ("7 anon RX private", RX, PRIVATE | ANONYMOUS, [EXECMEM]),
    ("7 anon X private", X, PRIVATE | ANONYMOUS, [EXECMEM]),
    ("7 anon RWX shared", RWX, SHARED | ANONYMOUS, [EXECMEM]),
    ("7 anon RX shared", RX, SHARED | ANONYMOUS, [EXECMEM]),
    ("7 file RWX private", RWX, PRIVATE, [EXECMEM]),
    ("7 file RX private", RX, PRIVATE, []),
    ("7 file X private", X, PRIVATE, []),
    ("7 file RX shared", RX, SHARED, []),
    ("7 file RWX shared", RWX, SHARED, []),
    ("7 file RW shared", RW, SHARED, []),
    ("7 file R private", R, PRIVATE, []),
    ("9a memfd RW shared", RW, SHARED, []),
    ("9a memfd RX shared", RX, SHARED, []),
    ("9a memfd RX private", RX, PRIVATE, []),
    ("9a memfd RWX shared", RWX, SHARED, []),
    ("9a memfd RWX private", RWX, PRIVATE, [EXECMEM]),
    ("file RWX MAP_SHARED_VALIDATE counts as private", RWX, VALIDATE, [EXECMEM]),
    ("file RX MAP_SHARED_VALIDATE", RX, VALIDATE, []),
]


def at_mprotect(mapped: Memory, prot: int, sp: int = MAIN_SP, heap: HeapPredicate = INSIDE) -> List[Check]:
    return checks_at_mprotect(mapped, prot, START_BRK, BRK, START_STACK, sp, heap)


@pytest.mark.parametrize("row, mapped, prot, expected", MPROTECT, ids=[row[0] for row in MPROTECT])
def test_checks_at_mprotect(row: str, mapped: Memory, prot: int, expected: List[str]) -> None:
    assert exec_checks(at_mprotect(mapped, prot)) == expected


@pytest.mark.parametrize("row, prot, flags, expected", MMAP, ids=[row[0] for row in MMAP])
def test_checks_at_mmap(row: str, prot: int, flags: int, expected: List[str]) -> None:
    tclass = "chr_file" if "/dev/zero" in row else "file"
    assert exec_checks(checks_at_mmap(prot, flags, not flags & ANONYMOUS, tclass)) == expected


def test_a_file_is_asked_for_map_first_and_for_execute_last() -> None:
    names = [check.permission for check in checks_at_mmap(RWX, SHARED, True)]
    assert names == ["map", "read", "write", "execute"]


@pytest.mark.parametrize(
    "row, before, prot, sp, expected",
    [
        ("8c own stack, R|W|X", RW, RWX, THREAD_SP, [EXECSTACK, EXECMEM]),
        ("8c own stack, then R|X", RWX, RX, THREAD_SP, [EXECMEM]),
        ("8d another thread's stack", RW, RWX, MAIN_SP, [EXECMEM]),
        ("the lower bound is inclusive", RW, RX, THREAD_STACK, [EXECSTACK, EXECMEM]),
        ("the upper bound is inclusive", RW, RX, THREAD_STACK + 0x8000, [EXECSTACK, EXECMEM]),
        ("one byte beyond", RW, RX, THREAD_STACK + 0x8001, [EXECMEM]),
    ],
)
def test_a_stack_is_what_the_calling_thread_stands_on(
    row: str, before: int, prot: int, sp: int, expected: List[str]
) -> None:
    assert exec_checks(at_mprotect(thread_stack(before), prot, sp)) == expected


def test_a_signal_stack_in_the_heap_is_heap() -> None:
    assert exec_checks(at_mprotect(heap(), RX, START_BRK + PAGE)) == [EXECHEAP, EXECMEM]


def test_a_file_inside_the_heap_is_heap() -> None:
    inside = memory(START_BRK + PAGE, START_BRK + 2 * PAGE, R, False, True, written=True)
    assert exec_checks(at_mprotect(inside, RX)) == [EXECHEAP]


# The heap, kernel by kernel

HEAP_LINE = (START_BRK, BRK)
NEIGHBOUR = (BRK, BRK + PAGE)
MERGED = (START_BRK, BRK + PAGE)


@pytest.mark.parametrize(
    "release, whole, neighbour, merged",
    [
        ("5.14.0-503.el9.x86_64", True, False, False),
        ("6.5.13", True, False, False),
        ("6.6.30", True, True, True),
        ("6.7.0", True, False, True),
        ("6.8.0-45-generic", True, False, True),
        ("6.10.14", True, False, True),
        ("6.11.2", True, False, False),
        ("6.18.4", True, False, False),
        ("7.0.0-rc1", True, False, False),
    ],
)
def test_what_counts_as_heap(release: str, whole: bool, neighbour: bool, merged: bool) -> None:
    predicate = heap_predicate(release)
    found = [predicate.holds(*extent, START_BRK, BRK) for extent in (HEAP_LINE, NEIGHBOUR, MERGED)]
    assert found == [whole, neighbour, merged]


@pytest.mark.parametrize(
    "release, expected",
    [
        ("6.5.13", [EXECMEM]),
        ("6.6.30", [EXECHEAP, EXECMEM]),
        ("6.8.0", [EXECHEAP, EXECMEM]),
        ("6.11.2", [EXECMEM]),
        ("6.18.4", [EXECMEM]),
    ],
)
def test_a_heap_whose_break_is_not_page_aligned(release: str, expected: List[str]) -> None:
    """The VMA ends behind the break, so it does not lie inside the heap."""
    checks = checks_at_mprotect(heap(), RX, START_BRK, BRK - 16, START_STACK, MAIN_SP, heap_predicate(release))
    assert exec_checks(checks) == expected


@pytest.mark.parametrize("release, expected", [("6.6.30", [EXECHEAP, EXECMEM]), ("6.12.1", [EXECMEM])])
def test_memory_at_a_heap_that_was_never_used(release: str, expected: List[str]) -> None:
    at_brk = memory(START_BRK, START_BRK + PAGE)
    checks = checks_at_mprotect(at_brk, RX, START_BRK, START_BRK, START_STACK, MAIN_SP, heap_predicate(release))
    assert exec_checks(checks) == expected


@pytest.mark.parametrize("end, sure", [(START_BRK, True), (START_BRK + PAGE, False)])
def test_below_the_heap_is_no_heap_wherever_that_ends(end: int, sure: bool) -> None:
    below = memory(START_BRK - PAGE, end)
    checks = checks_at_mprotect(below, RX, START_BRK, None, START_BRK - PAGE, MAIN_SP, INSIDE)
    assert [(check.permission, check.certain) for check in checks] == [("execstack", sure), ("execmem", True)]


# From smaps to SELinux's terms

ZERO = line(FILE_AT, 1, "rw-p", "/dev/zero", 5, "00:06")
SHARED_ANON = line(FILE_AT, 1, "rw-s", "/dev/zero (deleted)", 1024, "00:01")
SEGMENT = line(FILE_AT, 1, "rw-s", "/SYSV00000000 (deleted)", 7, "00:01")
MEMFD = line(FILE_AT, 1, "rw-p", "/memfd:jit (deleted)", 9, "00:01")
READ_ONLY = ("rd", "mr", "mw", "me")


@pytest.mark.parametrize(
    "entry, before, expected",
    [
        (vma(MAPS[1]), RW, (False, False, False, "file", False)),
        (vma(ZERO, anonymous=PAGE), RW, (False, True, False, "chr_file", True)),
        (vma(ZERO), RW, (False, True, False, "chr_file", None)),
        (vma(SHARED_ANON), RW, (True, True, True, "chr_file", False)),
        (vma(SEGMENT), RW, (True, True, True, "file", False)),
        (vma(MEMFD, anonymous=PAGE), RW, (False, True, False, "file", True)),
        (vma(MEMFD, swap=PAGE), RW, (False, True, False, "file", True)),
        (vma(file_line(FILE_AT), *READ_ONLY), R, (False, True, False, "file", False)),
        # Writable once (`ac`), so it may have been written and given back with MADV_DONTNEED.
        (vma(file_line(FILE_AT), *READ_ONLY, "ac"), R, (False, True, False, "file", None)),
        (vma(file_line(FILE_AT, perms="rw-s")), RW, (True, True, False, "file", False)),
    ],
)
def test_memory_of_a_vma(entry: Vma, before: int, expected: Tuple[bool, bool, bool, str, Optional[bool]]) -> None:
    assert tuple(memory_of(Part(entry, before)))[3:8] == expected


def test_execmod_is_uncertain_where_nothing_shows_whether_it_was_written() -> None:
    [execmod, *_] = at_mprotect(a_file(False)._replace(written=None), RX)
    assert execmod == Check("file", "execmod", False, False)


# Whole calls

ENFORCING = ["capability", "selinux"]


def host(kernel: str = "6.12.10", **booleans: bool) -> Host:
    return Host(kernel, "x86_64", PAGE, ENFORCING, True, booleans, mdwe=0)


def refused(
    entry: Vma, prot: int = RX, sp: int = MAIN_SP, brk: int = BRK, on: Optional[Host] = None, errno: int = 13
) -> Event:
    """mprotect of a whole VMA fails."""
    mapped: MapLine = entry.line
    told = Told(on or host(), [mapped])
    probe = Probe(
        100,
        sp=sp,
        vmas=[entry],
        status={"Seccomp": "0"},
        lsm_label="user_u:user_r:user_t:s0",
        mdwe=0,
        start_brk=START_BRK,
        start_stack=START_STACK,
        brk=brk,
    )
    told.call("mprotect", mapped.start, mapped.end - mapped.start, prot, result=-errno, probe=probe)
    return told.last


@pytest.mark.parametrize(
    "entry, sp, cause, confidence",
    [
        # Two permissions could have been missing: which one, the call does not tell.
        (vma(line(START_BRK, 0x21, "rw-p", "[heap]")), MAIN_SP, "execheap", "possible"),
        (vma(line(STACK, 0x21, "rw-p", "[stack]")), MAIN_SP, "execstack", "possible"),
        (vma(line(THREAD_STACK, 8)), THREAD_SP, "execstack", "possible"),
        (vma(line(THREAD_STACK, 8)), MAIN_SP, "execmem", "consistent"),
        (vma(line(ANON_AT, 4)), MAIN_SP, "execmem", "consistent"),
        (vma(SHARED_ANON), MAIN_SP, "execmem", "consistent"),
        (vma(MEMFD, anonymous=PAGE), MAIN_SP, "execmod", "possible"),
        (vma(ZERO, anonymous=PAGE), MAIN_SP, "execmod", "possible"),
    ],
)
def test_a_refusal_under_an_enforcing_policy(entry: Vma, sp: int, cause: str, confidence: str) -> None:
    event = refused(entry, sp=sp)
    assert cause_of(event) == ("selinux." + cause, confidence)
    assert event.diagnosis is not None and event.diagnosis.refused_by == "SELinux"
    assert "user_u:user_r:user_t:s0" in facts_of(event)


def test_the_permissions_are_named_in_the_order_of_the_kernel() -> None:
    event = refused(vma(line(START_BRK, 0x21, "rw-p", "[heap]")))
    assert "process:execheap, process:execmem here, in this order" in facts_of(event)


def test_what_only_touches_the_heap_is_said_not_to_be_the_heap() -> None:
    neighbour = vma(line(BRK, 4))
    event = refused(neighbour, on=host("6.6.30"))
    assert cause_of(event)[0] == "selinux.execheap"
    assert "touches the heap" in facts_of(event) and "but is not the heap" in facts_of(event)
    assert "touches the heap" not in facts_of(refused(neighbour, on=host("6.12.10")))


def test_what_overlaps_the_heap_is_said_not_to_count_as_heap() -> None:
    event = refused(vma(line(START_BRK, 0x22, "rw-p", "[heap]")))
    assert cause_of(event)[0] == "selinux.execmem"
    assert "does not count as heap" in facts_of(event)


def test_a_permissive_policy_is_not_blamed() -> None:
    permissive = Host("6.12.10", "x86_64", PAGE, ENFORCING, False, mdwe=0)
    event = refused(vma(line(ANON_AT, 4)), on=permissive)
    assert cause_of(event)[0] == "unknown"
    assert "SELinux is permissive" in facts_of(event)


def test_selinux_answers_eacces_only() -> None:
    assert cause_of(refused(vma(line(ANON_AT, 4)), errno=1))[0] == "unknown"


def test_a_missing_may_bit_comes_before_selinux() -> None:
    """A mapping of a file on a noexec mount: EACCES without a word in the audit log."""
    event = refused(vma(file_line(FILE_AT), "rd", "mr", "mw"))
    assert cause_of(event) == ("mount.noexec", "proved")


def test_mdwe_comes_before_selinux() -> None:
    told = Told(Host("6.12.10", "x86_64", PAGE, ENFORCING, True, mdwe=1))
    assert cause_of(told.refuse())[0] == "mdwe"


def test_selinux_comes_before_the_rules_for_descriptors() -> None:
    """mmap asks the policy before it looks at noexec, so EPERM of a noexec mount is not SELinux's."""
    told = Told(host())
    probe = Probe(100, status={"Seccomp": "0"}, descriptor=Descriptor("/srv/lib.so", flags=0, kind="regular file"))
    told.call("mmap", 0, PAGE, RX, PRIVATE, 3, 0, result=-13, probe=probe)
    assert cause_of(told.last)[0] == "selinux.file-execute"


@pytest.mark.parametrize(
    "booleans, command",
    [
        ({"allow_execmem": False}, "setsebool -P allow_execmem on"),
        ({"deny_execmem": True}, "setsebool -P deny_execmem off"),
        ({}, "ausearch -m avc -ts recent"),
    ],
)
def test_the_administrators_fix_fits_the_policys_own_booleans(booleans: dict[str, bool], command: str) -> None:
    diagnosis = refused(vma(line(ANON_AT, 4)), on=host(**booleans)).diagnosis
    assert diagnosis is not None
    settles = "ausearch -m avc -ts recent"
    assert [fix.command for fix in diagnosis.fixes] == list(dict.fromkeys([None, command, settles]))
    assert diagnosis.fixes[0].audience == "developer"
