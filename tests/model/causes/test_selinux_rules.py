"""SELinux, asked forwards: at its own places, with and without the policy's answer."""

from __future__ import annotations

from typing import Any, Tuple

import pytest
from asking import AT, HOST, LETS_THROUGH, PAGE, PROBE, answer, asked, mapped, over

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.selinux.rules import (
    selinux_at_address,
    selinux_at_mmap,
    selinux_at_mprotect,
    selinux_at_segment,
)
from wxtrace.model.facts import Probe
from wxtrace.model.objects import Descriptor
from wxtrace.model.restrictions import DESCRIPTOR, PolicyAnswer, SelinuxState

R, RW, X, RX, RWX = 1, 3, 4, 5, 7
PRIVATE, SHARED, ANON = f.MAP_PRIVATE, f.MAP_SHARED, f.MAP_PRIVATE | f.MAP_ANONYMOUS
ENFORCING = replace(HOST, lsm=["capability", "selinux"], selinux_enforcing=True)
PERMISSIVE = replace(ENFORCING, selinux_enforcing=False)
DOMAIN = "user_u:user_r:user_t:s0"
OF_PROCESS, OF_FILE = ("execmem", "execheap", "execstack"), ("map", "read", "write", "execute", "execmod")
LOW = 65536


def policy(*denied: str, about: str = DESCRIPTOR, **more: Any) -> SelinuxState:
    """All is granted but this."""

    def about_one(at: str, tclass: str, asked_for: Tuple[str, ...]) -> PolicyAnswer:
        granted = [name for name in asked_for if name not in denied]
        return PolicyAnswer(at, tclass, DOMAIN, granted, [name for name in asked_for if name in denied])

    answers = [
        about_one("", "process", OF_PROCESS),
        about_one("", "memprotect", ("mmap_zero",)),
        about_one(about, "file", OF_FILE),
    ]
    return SelinuxState(True, DOMAIN, answers, **more)


def knowing(state: SelinuxState, probe: Probe = PROBE, **more: Any) -> Probe:
    return replace(probe, selinux=state, **more)


def a_file(state: SelinuxState) -> Probe:
    return knowing(state, descriptor=Descriptor("/srv/a.so", 2, "regular file"))


@pytest.mark.parametrize(
    "prot, flags, denied, said",
    [
        (RWX, ANON, "execmem", "EACCES selinux.execmem"),
        (RW, ANON, "execmem", LETS_THROUGH),
        (RX, PRIVATE, "execmem", LETS_THROUGH),
        (RWX, PRIVATE, "execmem", "EACCES selinux.execmem"),
        (RWX, SHARED, "execmem", LETS_THROUGH),
        (RX, PRIVATE, "execute", "EACCES selinux.file-execute"),
        (RW, PRIVATE, "write", LETS_THROUGH),
        (RW, SHARED, "write", "EACCES selinux.other"),
        (R, PRIVATE, "map", "EACCES selinux.other"),
        (RX, ANON | f.MAP_HUGETLB, "execmem", LETS_THROUGH),
    ],
)
def test_at_mmap(prot: int, flags: int, denied: str, said: str) -> None:
    call = ("mmap", 0, PAGE, prot, flags, 3, 0)
    assert asked(selinux_at_mmap, call, a_file(policy(denied)), ENFORCING) == said
    assert asked(selinux_at_mmap, call, a_file(policy()), ENFORCING) == LETS_THROUGH
    assert asked(selinux_at_mmap, call) == LETS_THROUGH


def test_a_policy_that_was_not_asked() -> None:
    call = ("mmap", 0, PAGE, RWX, ANON, -1, 0)
    assert asked(selinux_at_mmap, call, host=ENFORCING) == "? EACCES selinux.execmem:unsettled"
    assert asked(selinux_at_mmap, call, host=PERMISSIVE) == LETS_THROUGH
    hidden = replace(ENFORCING, selinux_enforcing=None)
    assert asked(selinux_at_mmap, call, host=hidden) == "? EACCES selinux.execmem:unsettled"
    assert asked(selinux_at_mmap, call, knowing(SelinuxState(False)), ENFORCING) == LETS_THROUGH


@pytest.mark.parametrize(
    "flags, denied, said",
    [
        (f.SHM_EXEC, "execmem", "EACCES selinux.execmem"),
        (f.SHM_EXEC | f.SHM_RDONLY, "execmem", "EACCES selinux.execmem"),
        (0, "execmem", LETS_THROUGH),
    ],
)
def test_at_shmat(flags: int, denied: str, said: str) -> None:
    assert asked(selinux_at_mmap, ("shmat", 5, 0, flags), knowing(policy(denied)), ENFORCING) == said


def test_the_label_of_a_segment_is_not_known() -> None:
    call = ("shmat", 5, 0, 0)
    assert asked(selinux_at_segment, call, knowing(policy()), ENFORCING) == "? EACCES selinux.other:unsettled"
    assert asked(selinux_at_segment, call) == LETS_THROUGH
    told = answer(selinux_at_segment, call, host=ENFORCING)
    assert told.words["permissions"] == "shm:read or shm:write"
    read = answer(selinux_at_segment, ("shmat", 5, 0, f.SHM_RDONLY), host=ENFORCING)
    assert read.words["permissions"] == "shm:read"


def test_at_mprotect_of_each_vma() -> None:
    call = ("mprotect", AT, PAGE, RX)
    assert asked(selinux_at_mprotect, call, knowing(policy("execmem")), ENFORCING) == "EACCES selinux.execmem"
    assert asked(selinux_at_mprotect, ("pkey_mprotect", *call[1:], -1), knowing(policy()), ENFORCING) == LETS_THROUGH
    heap = over(mapped(AT, 4, path="[heap]"), start_brk=AT, brk=AT + 4 * PAGE)
    assert asked(selinux_at_mprotect, call, knowing(policy("execheap"), heap), ENFORCING) == "EACCES selinux.execheap"
    stack = over(mapped(AT, 4, path="[stack]"), start_stack=AT + PAGE)
    assert asked(selinux_at_mprotect, call, knowing(policy("execstack"), stack), ENFORCING) == (
        "EACCES selinux.execstack"
    )


def test_execmod_is_proved_by_a_private_page_or_by_exclusion() -> None:
    file = mapped(AT, 4, path="/srv/a.so", inode=7)
    state, call = policy("execmod", about="%#x" % AT), ("mprotect", AT, PAGE, RX)
    written = knowing(state, over(file._replace(anonymous=PAGE)))
    assert asked(selinux_at_mprotect, call, written, ENFORCING) == "EACCES selinux.execmod"
    unsure = answer(selinux_at_mprotect, call, knowing(state, over(file)), ENFORCING)
    assert unsure.by_exclusion and unsure.cause is not None and unsure.cause.id == "selinux.execmod"
    assert "all else that is asked here is granted" in unsure.evidence[-1].fact


@pytest.mark.parametrize(
    "call, said",
    [
        (("mmap", LOW - PAGE, PAGE, R, ANON | f.MAP_FIXED, -1, 0), "EACCES selinux.mmap-zero"),
        (("mmap", 0, PAGE, R, ANON | f.MAP_FIXED, -1, 0), "EACCES selinux.mmap-zero"),
        (("mmap", PAGE, PAGE, R, ANON | f.MAP_FIXED_NOREPLACE, -1, 0), "EACCES selinux.mmap-zero"),
        (("mmap", LOW, PAGE, R, ANON | f.MAP_FIXED, -1, 0), LETS_THROUGH),
        (("mmap", PAGE, PAGE, R, ANON, -1, 0), LETS_THROUGH),
        (("mremap", AT, PAGE, PAGE, 3, PAGE), "EACCES selinux.mmap-zero"),
        (("mremap", AT, PAGE, PAGE, 1, PAGE), LETS_THROUGH),
        (("shmat", 5, PAGE, 0), "EACCES selinux.mmap-zero"),
        (("shmat", 5, 0, 0), LETS_THROUGH),
        (("shmat", 5, LOW, 0), LETS_THROUGH),
    ],
)
def test_low_addresses(call: Tuple[Any, ...], said: str) -> None:
    assert asked(selinux_at_address, call, knowing(policy("mmap_zero")), ENFORCING) == said
    assert asked(selinux_at_address, call, knowing(policy()), ENFORCING) == LETS_THROUGH


def test_remap_file_pages_has_the_hook_from_6_12_on() -> None:
    shared = over(mapped(AT, 4, perms="rw-s", path="/srv/a", inode=7))
    probe, call = knowing(policy("write", about="%#x" % AT), shared), ("remap_file_pages", AT, PAGE, 0, 0, 0)
    assert asked(selinux_at_mmap, call, probe, replace(ENFORCING, kernel="6.12.0")) == "EACCES selinux.other"
    assert asked(selinux_at_mmap, call, probe, replace(ENFORCING, kernel="6.11.9")) == LETS_THROUGH


@pytest.mark.parametrize(
    "kernel, as_requested, refused", [("6.3.9", True, False), ("6.4.0", True, True), ("6.3.9", False, True)]
)
def test_what_read_implies_exec_adds_was_not_checked_with_checkreqprot(
    kernel: str, as_requested: bool, refused: bool
) -> None:
    state = policy("execmem", as_requested=as_requested)
    probe, on = knowing(state, personality=f.READ_IMPLIES_EXEC), replace(ENFORCING, kernel=kernel)
    said = "EACCES selinux.execmem" if refused else LETS_THROUGH
    assert asked(selinux_at_mmap, ("mmap", 0, PAGE, RW, ANON, -1, 0), probe, on) == said
    assert asked(selinux_at_mprotect, ("mprotect", AT, PAGE, R), probe, on) == said


def test_memory_that_touches_the_heap_on_6_6() -> None:
    probe = knowing(policy("execheap"), over(mapped(AT + 4 * PAGE, 2)), start_brk=AT, brk=AT + 4 * PAGE)
    told = answer(selinux_at_mprotect, ("mprotect", AT + 4 * PAGE, PAGE, RX), probe, replace(ENFORCING, kernel="6.6.9"))
    assert told.by_exclusion and told.case == "touching"
    later = asked(selinux_at_mprotect, ("mprotect", AT + 4 * PAGE, PAGE, RX), probe, ENFORCING)
    assert later == LETS_THROUGH
