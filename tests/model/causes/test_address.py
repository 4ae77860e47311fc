"""Rules about the address range itself, asked forwards: at each limit, on both of its sides."""

from __future__ import annotations

from typing import Any, Tuple

import pytest
from asking import AT, HOST, LETS_THROUGH, PAGE, PROBE, TASK_SIZE, answer, asked, context, mapped, over

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.address.below_minimum import below_minimum
from wxtrace.model.causes.address.brk import below_start, collision
from wxtrace.model.causes.address.occupied import occupied
from wxtrace.model.causes.address.room import beyond_the_end, cannot_stay, no_gap
from wxtrace.model.causes.address.special import cannot_grow, vsyscall
from wxtrace.model.causes.address.unmapped import unmapped
from wxtrace.model.causes.argument.mremap import target
from wxtrace.model.causes.argument.ranges import munmap
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.order import EachVma, evaluate
from wxtrace.model.event import Touched
from wxtrace.model.objects import Segment

R, RW = 1, 3
ANON = f.MAP_PRIVATE | f.MAP_ANONYMOUS
FIXED, NOREPLACE = ANON | f.MAP_FIXED, ANON | f.MAP_FIXED_NOREPLACE
MAYMOVE, TO, LEAVE = 1, 2, 4
BLIND = replace(PROBE, vmas=[], vmas_complete=False)
NOTHING = over()
HOLED = over(mapped(AT, 2), mapped(AT + 3 * PAGE, 2))
OLD = replace(HOST, kernel="6.16.0")


def mmap(address: int, length: int, flags: int = ANON) -> Tuple[Any, ...]:
    return ("mmap", address, length, RW, flags, -1, 0)


def gaps(largest: Any, low: Any = None, **more: Any) -> Any:
    return replace(PROBE, largest_gap=largest, largest_low_gap=low, **more)


def touched(start: int, before: str, after: str) -> Touched:
    return Touched(1, start, start + PAGE, before, "r--", after, "anon")


# Holes


@pytest.mark.parametrize(
    "call, said",
    [
        (("mprotect", AT, 2 * PAGE, RW), LETS_THROUGH),
        (("mprotect", AT, 2 * PAGE + 1, RW), "ENOMEM address.unmapped"),
        (("mprotect", AT - PAGE, 2 * PAGE, RW), "ENOMEM address.unmapped"),
        (("mprotect", AT + 2 * PAGE, 0, RW), LETS_THROUGH),
        (("pkey_mprotect", AT + 2 * PAGE, PAGE, RW, -1), "ENOMEM address.unmapped"),
        (("mprotect", AT + 2 * PAGE, 2 * PAGE, RW | f.GROWSDOWN), LETS_THROUGH),
        (("mprotect", AT + 2 * PAGE, PAGE, RW | f.GROWSDOWN), "ENOMEM address.unmapped"),
        (("mprotect", AT + PAGE, 3 * PAGE, RW | f.GROWSDOWN), "ENOMEM address.unmapped"),
        (("madvise", AT, 5 * PAGE, 4), "ENOMEM address.unmapped:advice"),
        (("madvise", AT + 3 * PAGE, 2 * PAGE, 4), LETS_THROUGH),
        (("mseal", AT + 3 * PAGE, 3 * PAGE, 0), "ENOMEM address.unmapped"),
        (("mremap", AT + 2 * PAGE, PAGE, PAGE, 0), "EFAULT address.unmapped"),
        (("mremap", AT, 5 * PAGE, 5 * PAGE, 0), LETS_THROUGH),
        (("mremap", AT, 0, PAGE, 0), LETS_THROUGH),
        (("remap_file_pages", AT + 1, 2 * PAGE + 1, 0, 0, 0), LETS_THROUGH),
        (("remap_file_pages", AT, 3 * PAGE, 0, 0, 0), "EINVAL address.unmapped"),
        (("remap_file_pages", AT - 1, 2 * PAGE, 0, 0, 0), "EINVAL address.unmapped"),
    ],
)
def test_holes(call: Tuple[Any, ...], said: str) -> None:
    assert asked(unmapped, call, HOLED) == said


@pytest.mark.parametrize(
    "call, hole",
    [
        (("mprotect", AT, 5 * PAGE, RW), (2, 3)),
        (("mprotect", AT + PAGE, 2 * PAGE, RW), (2, 3)),
        (("mprotect", AT + 3 * PAGE, 4 * PAGE, RW), (5, 7)),
        (("mremap", AT + 2 * PAGE, 0, PAGE, 0), (2, 3)),
        (("mremap", AT + 5 * PAGE, 3 * PAGE, PAGE, 0), (5, 8)),
    ],
)
def test_where_the_hole_is(call: Tuple[Any, ...], hole: Tuple[int, int]) -> None:
    given = answer(unmapped, call, HOLED)
    assert given.words["hole"] == "%#x-%#x" % (AT + hole[0] * PAGE, AT + hole[1] * PAGE)


def test_a_hole_behind_what_was_read_is_looked_up_in_the_map_that_was_kept() -> None:
    """As far as smaps was read it tells; the map that was kept tells the rest, and without it nothing does."""
    cut = replace(HOLED, vmas_complete=False)
    near, far = ("mprotect", AT, 4 * PAGE, RW), ("mprotect", AT + 3 * PAGE, 7 * PAGE, RW)
    assert asked(unmapped, near, cut) == "? ENOMEM address.unmapped"
    given = answer(unmapped, far, cut)
    assert (given.missing, given.at_most) == ((Need.MAPPINGS,), None)
    kept = tuple(touched(AT + page * PAGE, "rw-", "rw-") for page in (3, 4, 5, 6, 8))
    given = answer(unmapped, far, cut, touched=kept)
    assert given.words["hole"] == "%#x-%#x" % (AT + 7 * PAGE, AT + 8 * PAGE)
    assert [evidence.source for evidence in given.evidence] == ["wxtrace's own map"]
    whole = tuple(touched(AT + page * PAGE, "rw-", "rw-") for page in range(3, 10))
    assert asked(unmapped, far, cut, touched=whole) == LETS_THROUGH
    gone = tuple(part._replace(before=None, after=None) if part.start == AT + 7 * PAGE else part for part in whole)
    assert asked(unmapped, far, cut, touched=gone) == "? ENOMEM address.unmapped"


def test_a_hole_behind_memory_that_kept_its_protection_was_never_seen() -> None:
    """mprotect changes one mapping before it looks at the next: it stopped before the hole."""
    call, order = ("mprotect", AT, 3 * PAGE, R), (EachVma((), unmapped),)
    asked_about = [
        len(list(evaluate(context(call, HOLED, touched=(touched(AT, "rw-", after),)), order)))
        for after in ("rw-", "r--", "r--p")
    ]
    assert asked_about == [0, 1, 1]
    other = context(("madvise", AT, 3 * PAGE, 4), HOLED, touched=(touched(AT, "rw-", "rw-"),))
    assert len(list(evaluate(other, order))) == 1


# What is in the way


@pytest.mark.parametrize(
    "call, said",
    [
        (mmap(AT, PAGE, NOREPLACE), "EEXIST address.occupied"),
        (mmap(AT + 4 * PAGE, PAGE, NOREPLACE), LETS_THROUGH),
        (mmap(AT - PAGE, PAGE, NOREPLACE), LETS_THROUGH),
        (mmap(AT - PAGE, PAGE + 1, NOREPLACE), "EEXIST address.occupied"),
        (mmap(AT, PAGE, FIXED), LETS_THROUGH),
        (("map_shadow_stack", AT, PAGE, 0), "EEXIST address.occupied"),
        (("map_shadow_stack", 0, PAGE, 0), LETS_THROUGH),
        (("shmat", 5, AT, 0), "EINVAL address.occupied:segment"),
        (("shmat", 5, AT, f.SHM_REMAP), LETS_THROUGH),
        (("shmat", 5, 0, 0), LETS_THROUGH),
    ],
)
def test_occupied(call: Tuple[Any, ...], said: str) -> None:
    assert asked(occupied, call) == said


def test_a_segment_takes_all_of_its_range() -> None:
    sized = replace(over(mapped(AT, 1), mapped(AT + 4 * PAGE, 1)), segment=Segment(0o600, 1, 1, False, 3 * PAGE, 1))
    assert asked(occupied, ("shmat", 5, AT + PAGE, 0), sized) == LETS_THROUGH
    assert asked(occupied, ("shmat", 5, AT + 2 * PAGE, 0), sized) == "EINVAL address.occupied:segment"
    assert asked(occupied, ("shmat", 5, AT + PAGE + 8, f.SHM_RND), sized) == LETS_THROUGH
    assert asked(occupied, ("shmat", 5, AT + PAGE - 8, f.SHM_RND), sized) == "EINVAL address.occupied:segment"
    end = TASK_SIZE - 3 * PAGE
    assert asked(beyond_the_end, ("shmat", 5, end, 0), sized) == LETS_THROUGH
    assert asked(beyond_the_end, ("shmat", 5, end + PAGE, 0), sized) == "ENOMEM address.no-room"
    assert asked(beyond_the_end, ("shmat", 5, 0, 0), sized) == LETS_THROUGH
    assert asked(beyond_the_end, ("shmat", 5, end + PAGE, 0)) == LETS_THROUGH


def test_what_was_not_read_may_be_in_the_way() -> None:
    assert asked(occupied, mmap(AT, PAGE, NOREPLACE), BLIND) == "? EEXIST address.occupied"
    assert asked(occupied, ("shmat", 5, AT, 0), BLIND) == "? EINVAL address.occupied:segment"


# The lowest address


@pytest.mark.parametrize(
    "call, said",
    [
        (mmap(65535, PAGE, FIXED), "EPERM address.below-minimum"),
        (mmap(65536, PAGE, FIXED), LETS_THROUGH),
        (mmap(0, PAGE, NOREPLACE), "EPERM address.below-minimum"),
        (mmap(0, PAGE), LETS_THROUGH),
        (("mremap", AT, PAGE, PAGE, MAYMOVE | TO, 0), "EPERM address.below-minimum"),
        (("mremap", AT, PAGE, PAGE, MAYMOVE | LEAVE, 0), LETS_THROUGH),
        (("shmat", 5, PAGE, 0), "EPERM address.below-minimum"),
        (("shmat", 5, 0, 0), LETS_THROUGH),
    ],
)
def test_below_the_minimum(call: Tuple[Any, ...], said: str) -> None:
    assert asked(below_minimum, call) == said


def test_a_capability_of_an_unknown_namespace_settles_nothing() -> None:
    able = replace(PROBE, status={**PROBE.status, "CapEff": "%x" % (1 << 17)})
    assert asked(below_minimum, mmap(0, PAGE, FIXED), able) == "? EPERM address.below-minimum"
    assert answer(below_minimum, mmap(0, PAGE, FIXED), replace(PROBE, sysctl={})).missing == (Need.SYSCTL,)


# Room


@pytest.mark.parametrize(
    "call, said",
    [
        (mmap(0, TASK_SIZE), LETS_THROUGH),
        (mmap(0, TASK_SIZE + 1), "ENOMEM address.no-room"),
        (mmap(TASK_SIZE, PAGE), LETS_THROUGH),
        (mmap(TASK_SIZE - PAGE, PAGE, FIXED), LETS_THROUGH),
        (mmap(TASK_SIZE - PAGE, PAGE + 1, FIXED), "ENOMEM address.no-room"),
        (mmap(TASK_SIZE, PAGE, NOREPLACE), "ENOMEM address.no-room"),
        (("mremap", AT, PAGE, TASK_SIZE + PAGE, 0), LETS_THROUGH),
    ],
)
def test_the_end_of_the_address_space(call: Tuple[Any, ...], said: str) -> None:
    assert asked(beyond_the_end, call) == said


def test_before_6_17_mremap_gives_enomem_for_a_size_that_no_space_has() -> None:
    long = TASK_SIZE + PAGE
    assert asked(beyond_the_end, ("mremap", AT, PAGE, long, MAYMOVE), host=OLD) == "ENOMEM address.no-room"
    assert asked(beyond_the_end, ("mremap", AT, PAGE, TASK_SIZE, MAYMOVE), host=OLD) == LETS_THROUGH
    assert asked(beyond_the_end, ("mremap", AT, long, long, MAYMOVE), host=OLD) == LETS_THROUGH
    assert asked(beyond_the_end, ("mremap", AT, PAGE, long, MAYMOVE | LEAVE), host=OLD) == LETS_THROUGH


def test_with_5_level_paging_addresses_end_at_2_to_the_56() -> None:
    host = replace(HOST, address_bits=56)
    high, end = 1 << 50, (1 << 56) - PAGE
    assert asked(beyond_the_end, mmap(high, PAGE, FIXED), host=host) == LETS_THROUGH
    assert asked(beyond_the_end, mmap(end - PAGE, PAGE, FIXED), host=host) == LETS_THROUGH
    assert asked(beyond_the_end, mmap(end, PAGE, FIXED), host=host) == "ENOMEM address.no-room"
    assert asked(munmap, ("munmap", high, 0), host=host) == "EINVAL argument.length"
    call = ("mremap", high, 2 * PAGE, 2 * PAGE, MAYMOVE | TO, high + PAGE)
    assert asked(target, call, host=host) == "EINVAL argument.flags:overlap"


def test_without_a_high_hint_the_kernel_looks_below_2_to_the_47() -> None:
    host, huge = replace(HOST, address_bits=56), 1 << 50
    assert asked(beyond_the_end, mmap(0, huge), host=host) == LETS_THROUGH
    assert asked(no_gap, mmap(0, huge), gaps(1 << 46), host=host) == "ENOMEM address.no-room:window"
    assert asked(no_gap, mmap(huge, huge), gaps(1 << 46), host=host) == "ENOMEM address.no-room:full"
    assert asked(no_gap, mmap(huge, huge), gaps(1 << 55), host=host) == LETS_THROUGH
    assert answer(no_gap, mmap(0, huge), gaps(0), host).words["window"] == hex(TASK_SIZE)


BIG, GUARD = 1 << 20, 257 * PAGE
FULL = "ENOMEM address.no-room:full"


@pytest.mark.parametrize(
    "call, gap, said",
    [
        (mmap(0, BIG), BIG - PAGE, FULL),
        (mmap(0, BIG - 1), BIG - PAGE, FULL),
        (mmap(0, BIG), BIG, "? " + FULL),
        (mmap(0, BIG), BIG + GUARD - PAGE, "? " + FULL),
        (mmap(0, BIG), BIG + GUARD, LETS_THROUGH),
        (mmap(AT, BIG), 0, FULL),
        (mmap(AT, BIG, FIXED), 0, LETS_THROUGH),
        (mmap(AT, BIG, NOREPLACE), 0, LETS_THROUGH),
        (("mremap", AT, 4 * PAGE, BIG, MAYMOVE), 0, LETS_THROUGH),
        (("mremap", AT, PAGE, BIG, MAYMOVE), 0, FULL),
        (("mremap", AT, PAGE, BIG, 0), 0, LETS_THROUGH),
        (("mremap", AT, PAGE, PAGE, MAYMOVE), 0, LETS_THROUGH),
        (("mremap", AT, PAGE, PAGE, MAYMOVE | LEAVE), 0, FULL),
        (("mremap", AT, PAGE, BIG, MAYMOVE | TO, 0), 0, LETS_THROUGH),
        (("mremap", AT, PAGE, PAGE, MAYMOVE | TO | LEAVE, 0), 0, LETS_THROUGH),
    ],
)
def test_the_largest_gap(call: Tuple[Any, ...], gap: int, said: str) -> None:
    assert asked(no_gap, call, gaps(gap)) == said


def test_a_segment_needs_a_gap_of_its_size() -> None:
    segment = Segment(0o600, 1, 1, False, BIG - 1, 1)
    call = ("shmat", 5, 0, 0)
    assert asked(no_gap, call, gaps(BIG - PAGE, segment=segment)) == FULL
    assert asked(no_gap, call, gaps(BIG + GUARD, segment=segment)) == LETS_THROUGH
    assert asked(no_gap, ("shmat", 5, AT, 0), gaps(0, segment=segment)) == LETS_THROUGH
    assert asked(no_gap, call, gaps(0)) == LETS_THROUGH


def test_memory_for_32_bits_has_gaps_of_its_own() -> None:
    call = mmap(0, PAGE, ANON | f.MAP_32BIT)
    assert asked(no_gap, call, gaps(BIG + GUARD, 0)) == "ENOMEM address.no-room:low"
    assert asked(no_gap, call, gaps(0, PAGE + GUARD)) == LETS_THROUGH
    assert answer(no_gap, call, gaps(0)).missing == (Need.GAPS,)


@pytest.mark.parametrize(
    "old, new, flags, said",
    [
        (4, 5, 0, LETS_THROUGH),
        (4, 8, 0, LETS_THROUGH),
        (4, 9, 0, "ENOMEM address.no-room:in-the-way"),
        (3, 4, 0, "ENOMEM address.no-room:in-the-way"),
        (4, 9, MAYMOVE, LETS_THROUGH),
        (4, 4, 0, LETS_THROUGH),
        (4, 3, 0, LETS_THROUGH),
        (2.5, 3, 0, LETS_THROUGH),
        (3, 3.5, 0, "ENOMEM address.no-room:in-the-way"),
    ],
)
def test_memory_that_may_not_move(old: float, new: float, flags: int, said: str) -> None:
    neighbours = over(mapped(AT, 4), mapped(AT + 8 * PAGE, 1))
    assert asked(cannot_stay, ("mremap", AT, int(old * PAGE), int(new * PAGE), flags), neighbours) == said


def test_memory_of_huge_pages_does_not_grow() -> None:
    huge = over(mapped(AT, 512, "rd", "ht"), largest_gap=0)
    assert asked(cannot_stay, ("mremap", AT, PAGE, 2 * PAGE, 0), huge) == LETS_THROUGH
    assert asked(no_gap, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE), huge) == LETS_THROUGH


def test_what_follows_cannot_be_known_where_not_all_was_read() -> None:
    given = answer(cannot_stay, ("mremap", AT, 4 * PAGE, 5 * PAGE, 0), replace(PROBE, vmas_complete=False))
    assert given.missing == (Need.MAPPINGS,)


# What belongs to the kernel


GATE = 0xFFFFFFFFFF600000


@pytest.mark.parametrize(
    "call, said",
    [
        (("mprotect", GATE, PAGE, RW), "ENOMEM address.special-mapping:vsyscall"),
        (("madvise", GATE, PAGE, 4), "ENOMEM address.special-mapping:vsyscall"),
        (("mseal", GATE, PAGE, 0), "ENOMEM address.special-mapping:vsyscall"),
        (("mremap", GATE, PAGE, PAGE, 0), "EFAULT address.special-mapping:vsyscall"),
        (("mprotect", GATE + PAGE, PAGE, RW), LETS_THROUGH),
        (("mremap", GATE - PAGE, 2 * PAGE, PAGE, 0), LETS_THROUGH),
    ],
)
def test_vsyscall_is_no_mapping(call: Tuple[Any, ...], said: str) -> None:
    assert asked(vsyscall, call, over(mapped(GATE, 1, perms="--xp", path="[vsyscall]"))) == said


def test_what_cannot_grow() -> None:
    grow, keep = ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE), ("mremap", AT, PAGE, PAGE, MAYMOVE)
    for flag in ("de", "pf"):
        special = over(mapped(AT, 1, "rd", flag, path="[vdso]"))
        assert asked(cannot_grow, grow, special) == "EFAULT address.special-mapping:grow"
        assert asked(cannot_grow, keep, special) == LETS_THROUGH
        assert asked(cannot_grow, ("mremap", AT, 1, PAGE, MAYMOVE), special) == LETS_THROUGH
    assert asked(cannot_grow, grow, over(mapped(AT, 512, "rd", "de", "ht"))) == LETS_THROUGH
    assert asked(cannot_grow, grow) == LETS_THROUGH
    assert asked(cannot_grow, grow, NOTHING) == LETS_THROUGH
    assert answer(cannot_grow, grow, over(mapped(AT, 1)._replace(flags=()))).missing == (Need.VM_FLAGS,)


# The heap


HEAP = 0x555500000000


def heap(*above: Any, brk: Any = HEAP + 4 * PAGE, **more: Any) -> Any:
    return over(mapped(HEAP, 4, path="[heap]"), *above, start_brk=HEAP, brk=brk, **more)


def test_below_the_start_of_the_heap() -> None:
    assert asked(below_start, ("brk", HEAP - 1), heap()) == "NONE argument.pointer:brk"
    assert asked(below_start, ("brk", HEAP), heap()) == LETS_THROUGH
    assert answer(below_start, ("brk", HEAP)).missing == (Need.BREAK,)


@pytest.mark.parametrize(
    "pages, extra, said",
    [
        (7, 0, LETS_THROUGH),
        (7, 1, "NONE address.brk-collision"),
        (8, 0, "NONE address.brk-collision"),
        (4, 0, LETS_THROUGH),
        (3, 1, LETS_THROUGH),
        (2, 0, LETS_THROUGH),
    ],
)
def test_the_heap_keeps_a_page_from_the_next_mapping(pages: int, extra: int, said: str) -> None:
    assert asked(collision, ("brk", HEAP + pages * PAGE + extra), heap(mapped(HEAP + 8 * PAGE, 1))) == said


def test_the_heap_keeps_256_pages_more_from_memory_that_grows_down() -> None:
    stack = mapped(HEAP + 300 * PAGE, 1, "rd", "wr", "gd")
    assert asked(collision, ("brk", HEAP + 43 * PAGE), heap(stack)) == LETS_THROUGH
    assert asked(collision, ("brk", HEAP + 44 * PAGE), heap(stack)) == "NONE address.brk-collision"


def test_a_mapping_over_the_place_of_the_heap_is_in_the_way() -> None:
    """The kernel shows it as [heap] (fs/proc/task_mmu.c:get_vma_name), which it is not."""
    wall = over(mapped(HEAP - PAGE, 9, path="[heap]"), start_brk=HEAP, brk=HEAP)
    assert asked(collision, ("brk", HEAP + PAGE), wall) == "NONE address.brk-collision"
    assert answer(collision, ("brk", HEAP + PAGE), wall).words["other"] == "another mapping"


def test_a_break_inside_a_page_has_the_rest_of_it() -> None:
    above = mapped(HEAP + 4 * PAGE, 1)
    assert asked(collision, ("brk", HEAP + 4 * PAGE), heap(above, brk=HEAP + 3 * PAGE + 8)) == LETS_THROUGH
    assert asked(collision, ("brk", HEAP + 4 * PAGE + 1), heap(above, brk=HEAP + 3 * PAGE + 8)) != LETS_THROUGH


def test_the_heap_cannot_be_known_without_the_break_or_what_is_above() -> None:
    call = ("brk", HEAP + 9 * PAGE)
    assert answer(collision, call, heap(brk=None)).missing == (Need.BREAK,)
    assert answer(collision, call, heap(vmas_complete=False)).missing == (Need.MAPPINGS,)
    assert asked(collision, call, heap()) == LETS_THROUGH
