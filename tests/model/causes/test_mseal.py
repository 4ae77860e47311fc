"""Sealed memory, asked forwards: which calls it stops, where, and on which kernels."""

from __future__ import annotations

from typing import Any, Tuple

import pytest
from asking import AT, HOST, LETS_THROUGH, PAGE, PROBE, answer, asked, mapped, over

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.mseal import sealed, sealed_part, sealed_target
from wxtrace.model.event import Touched

R, RW = 1, 3
FIXED = f.MAP_PRIVATE | f.MAP_ANONYMOUS | f.MAP_FIXED
SEAL = ("rd", "wr", "mr", "mw", "me", "sl")
OPEN, SEALED = mapped(AT, 2), mapped(AT + 2 * PAGE, 2, *SEAL)
HALF = over(OPEN, SEALED)
AHEAD = AT + (1 << 30)
REFUSED = "EPERM mseal"
KERNEL_6_11, KERNEL_6_9 = replace(HOST, kernel="6.11.0"), replace(HOST, kernel="6.9.12")
DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK, LOCKED, GUARD = 4, 8, 9, 10, 18, 24, 102


@pytest.mark.parametrize(
    "call, said",
    [
        (("munmap", AT, 2 * PAGE), LETS_THROUGH),
        (("munmap", AT, 2 * PAGE + 1), REFUSED),
        (("munmap", AT + 4 * PAGE - 1, 1), REFUSED),
        (("munmap", AT + 4 * PAGE, PAGE), LETS_THROUGH),
        (("mmap", AT, 3 * PAGE, RW, FIXED, -1, 0), REFUSED + ":target"),
        (("mmap", AT, 2 * PAGE, RW, FIXED, -1, 0), LETS_THROUGH),
        (("mmap", AT, 3 * PAGE, RW, FIXED & ~f.MAP_FIXED, -1, 0), LETS_THROUGH),
        (("mremap", AT + 2 * PAGE, PAGE, PAGE, 0), REFUSED),
        (("mremap", AT + 2 * PAGE, 0, PAGE, 1), REFUSED),
        (("mremap", AT, PAGE, PAGE, 0), LETS_THROUGH),
        (("remap_file_pages", AT + 2 * PAGE, PAGE, 0, 0, 0), REFUSED),
        (("shmat", 5, AT + 2 * PAGE, f.SHM_REMAP), REFUSED + ":target"),
        (("shmat", 5, AT + 2 * PAGE, 0), LETS_THROUGH),
        (("mprotect", AT, 4 * PAGE, R), LETS_THROUGH),
    ],
)
def test_what_would_unmap_move_or_replace_it(call: Tuple[Any, ...], said: str) -> None:
    assert asked(sealed, call, HALF) == said


def test_mprotect_meets_it_vma_by_vma_from_6_12_on() -> None:
    call = ("mprotect", AT + 2 * PAGE, PAGE, RW)
    assert asked(sealed_part, call, over(SEALED)) == REFUSED
    assert asked(sealed_part, call, over(SEALED), replace(HOST, kernel="6.12.0")) == REFUSED
    assert asked(sealed_part, call, over(SEALED), KERNEL_6_11) == LETS_THROUGH
    assert asked(sealed_part, ("pkey_mprotect", *call[1:], -1), over(SEALED)) == REFUSED


def test_mprotect_met_it_before_all_else_on_6_10_and_6_11() -> None:
    call = ("mprotect", AT, 4 * PAGE, RW)
    assert asked(sealed, call, HALF, KERNEL_6_11) == REFUSED
    assert asked(sealed, call, HALF, replace(HOST, kernel="6.10.0")) == REFUSED
    assert asked(sealed, call, HALF, replace(HOST, kernel="6.12.0")) == LETS_THROUGH


@pytest.mark.parametrize("advice", [DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK, LOCKED, GUARD])
def test_advice_that_discards_what_cannot_be_written(advice: int) -> None:
    read_only = over(mapped(AT, 2, *SEAL, perms="r--p"))
    call = ("madvise", AT, PAGE, advice)
    assert asked(sealed, call, read_only) == REFUSED + ":advice"
    assert asked(sealed, call, over(mapped(AT, 2, *SEAL))) == LETS_THROUGH
    assert asked(sealed, call, over(mapped(AT, 2, *SEAL, perms="r--p", path="/srv/a", inode=7))) == LETS_THROUGH
    assert asked(sealed, call, over(mapped(AT, 2, *SEAL, perms="r--s"))) == LETS_THROUGH


@pytest.mark.parametrize("advice", [0, 3, 5, 11, 12, 16, 20, 21, 103])
def test_other_advice_passes(advice: int) -> None:
    assert asked(sealed, ("madvise", AT, PAGE, advice), over(mapped(AT, 2, *SEAL, perms="r--p"))) == LETS_THROUGH


def test_a_private_dev_zero_counts_as_anonymous_from_6_17_on() -> None:
    zero = over(mapped(AT, 2, *SEAL, perms="r--p", path="/dev/zero", inode=5))
    call = ("madvise", AT, PAGE, DONTNEED)
    assert asked(sealed, call, zero, replace(HOST, kernel="6.17.0")) == REFUSED + ":advice"
    assert asked(sealed, call, zero, replace(HOST, kernel="6.16.9")) == LETS_THROUGH


def test_the_rights_on_a_key_are_not_known() -> None:
    keyed = over(mapped(AT, 2, *SEAL)._replace(pkey=1))
    assert asked(sealed, ("madvise", AT, PAGE, DONTNEED), keyed) == "? EPERM mseal:advice"


def test_what_came_before_the_seal_was_advised() -> None:
    probe = over(mapped(AT, 2, perms="r--p"), mapped(AT + 2 * PAGE, 2, *SEAL, perms="r--p"))
    taken = "the advice was taken for %#x-%#x before it" % (AT, AT + 2 * PAGE)
    facts = [line.fact for line in answer(sealed, ("madvise", AT, 4 * PAGE, DONTNEED), probe).evidence]
    assert taken in facts
    first = [line.fact for line in answer(sealed, ("madvise", AT + 2 * PAGE, PAGE, DONTNEED), probe).evidence]
    assert not any("taken" in fact for fact in first)


@pytest.mark.parametrize(
    "asked_for, said",
    [
        (AT + 2 * PAGE, "NONE mseal:shrink"),
        (AT + 4 * PAGE - 1, LETS_THROUGH),
        (AT + 3 * PAGE, "NONE mseal:shrink"),
        (AT + 3 * PAGE + 1, LETS_THROUGH),
        (AT + 4 * PAGE, LETS_THROUGH),
        (AT + 9 * PAGE, LETS_THROUGH),
    ],
)
def test_brk_shrinks_by_whole_pages(asked_for: int, said: str) -> None:
    probe = over(OPEN, SEALED, brk=AT + 4 * PAGE)
    assert asked(sealed, ("brk", asked_for), probe) == said


def test_the_target_of_mremap() -> None:
    fixed = f.MREMAP_FIXED | 1
    probe = over(OPEN, mapped(AHEAD, 1, *SEAL))
    assert asked(sealed_target, ("mremap", AT, PAGE, PAGE, fixed, AHEAD), probe) == REFUSED + ":target"
    assert asked(sealed_target, ("mremap", AT, PAGE, PAGE, fixed, AHEAD + PAGE), probe) == LETS_THROUGH
    assert asked(sealed_target, ("mremap", AT, PAGE, PAGE, 1, AHEAD), probe) == LETS_THROUGH
    assert asked(sealed_target, ("munmap", AHEAD, PAGE), probe) == LETS_THROUGH


def test_shmdt_leaves_a_sealed_segment() -> None:
    segment = mapped(AT, 2, *SEAL, perms="rw-s", path="/SYSV00000000 (deleted)", inode=7)
    assert asked(sealed, ("shmdt", AT), over(segment)) == "NONE mseal:detach"
    assert asked(sealed, ("shmdt", AT), over(mapped(AT, 2, perms="rw-s", path="/SYSV0", inode=7))) == LETS_THROUGH


def test_without_vm_flags_it_is_not_known() -> None:
    blind = over(mapped(AT, 2)._replace(flags=()))
    call = ("munmap", AT, PAGE)
    assert answer(sealed, call, blind).missing == (Need.VM_FLAGS,)
    assert asked(sealed, call, blind, replace(HOST, kernel="6.10.0")) == "? EPERM mseal"
    assert asked(sealed, call, blind, KERNEL_6_9) == LETS_THROUGH
    assert asked(sealed, call, blind, replace(HOST, kernel="")) == "? EPERM mseal"
    assert asked(sealed, call, replace(PROBE, vmas=[], vmas_complete=False)) == "? EPERM mseal"
    assert asked(sealed, call, replace(PROBE, vmas=[], vmas_complete=False), KERNEL_6_9) == LETS_THROUGH


def test_our_own_map_knows_a_seal_that_was_seen() -> None:
    blind = over(mapped(AT, 2)._replace(flags=()))
    seen = (Touched(1, AT, AT + 2 * PAGE, "rw-p", None, "rw-p", "anon", 9),)
    told = answer(sealed, ("munmap", AT, PAGE), blind, touched=seen)
    assert told.related == (9,)
    assert [line.fact for line in told.evidence] == ["it was sealed at event 9"]
