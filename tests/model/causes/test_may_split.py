"""Huge pages and the kernel's own mappings, asked forwards: what would cut one, exactly where."""

from __future__ import annotations

from typing import Any, Tuple

import pytest
from asking import LETS_THROUGH, PAGE, answer, asked, mapped, over

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.may_split import cut, cut_by_a_new_mapping, cut_by_mprotect, huge_pages_at_mremap, left_behind
from wxtrace.model.objects import Segment

HUGE, GIANT = 2 << 20, 1 << 30
AT = 0x7F0000000000 + HUGE
"""Behind this, 2 MiB is the only size that fits."""
GIANT_AT = 0x7F0000000000
R, RW = 1, 3
PAGES = HUGE // PAGE
TWO = over(mapped(AT, 2 * PAGES, "rd", "wr", "mr", "mw", "ht"))
GIANTS = over(mapped(GIANT_AT, 2 * GIANT // PAGE, "rd", "wr", "mr", "mw", "ht"))
VDSO = over(mapped(AT, 2, "rd", "ex", "mr", "mw", "me", "de", perms="r-xp", path="[vdso]"))
PLAIN = over(mapped(AT, 2 * PAGES))
CUT, SPECIAL = "EINVAL hugetlb", "EINVAL address.special-mapping:cut"
MAYMOVE, FIXED, LEAVE = 1, 3, 5


@pytest.mark.parametrize(
    "probe, call, said",
    [
        (TWO, ("munmap", AT, PAGE), CUT),
        (TWO, ("munmap", AT, HUGE), LETS_THROUGH),
        (TWO, ("munmap", AT + HUGE, HUGE), LETS_THROUGH),
        (TWO, ("munmap", AT + HUGE - PAGE, HUGE), CUT),
        (TWO, ("munmap", AT, 2 * HUGE), LETS_THROUGH),
        (TWO, ("munmap", AT - PAGE, 3 * HUGE), LETS_THROUGH),
        (GIANTS, ("munmap", GIANT_AT, HUGE), "? EINVAL hugetlb"),
        (GIANTS, ("munmap", GIANT_AT, GIANT), LETS_THROUGH),
        (GIANTS, ("munmap", GIANT_AT, GIANT + PAGE), CUT),
        (PLAIN, ("munmap", AT, PAGE), LETS_THROUGH),
        (VDSO, ("munmap", AT, PAGE), SPECIAL),
        (VDSO, ("munmap", AT, 2 * PAGE), LETS_THROUGH),
        (VDSO, ("munmap", AT + PAGE, 9 * PAGE), SPECIAL),
        (VDSO, ("mremap", AT, 2 * PAGE, PAGE, 0), SPECIAL),
        (VDSO, ("mremap", AT, PAGE, PAGE, 0), LETS_THROUGH),
        (VDSO, ("mremap", AT, PAGE, PAGE, FIXED, GIANT_AT), SPECIAL),
        (VDSO, ("mremap", AT, 2 * PAGE, 2 * PAGE, FIXED, GIANT_AT), LETS_THROUGH),
        (VDSO, ("mremap", AT + PAGE, PAGE, PAGE, FIXED, GIANT_AT), SPECIAL),
    ],
)
def test_what_munmap_and_mremap_would_cut(probe: Any, call: Tuple[Any, ...], said: str) -> None:
    assert asked(cut, call, probe) == said


@pytest.mark.parametrize(
    "probe, call, said",
    [
        (TWO, ("mprotect", AT, PAGE, R), CUT),
        (TWO, ("mprotect", AT, PAGE, RW), LETS_THROUGH),
        (TWO, ("mprotect", AT, HUGE, R), LETS_THROUGH),
        (TWO, ("pkey_mprotect", AT, PAGE, RW, 3), CUT),
        (TWO, ("pkey_mprotect", AT, PAGE, RW, 0), LETS_THROUGH),
        (TWO, ("pkey_mprotect", AT, PAGE, RW, -1), LETS_THROUGH),
        (VDSO, ("mprotect", AT, PAGE, R), SPECIAL),
        (VDSO, ("mprotect", AT, 2 * PAGE, 7), LETS_THROUGH),
    ],
)
def test_what_mprotect_would_cut(probe: Any, call: Tuple[Any, ...], said: str) -> None:
    assert asked(cut_by_mprotect, call, probe) == said


@pytest.mark.parametrize(
    "probe, call, said",
    [
        (TWO, ("mremap", AT, HUGE, HUGE + 1, MAYMOVE), "EINVAL hugetlb:grow"),
        (TWO, ("mremap", AT, PAGE, HUGE, MAYMOVE), LETS_THROUGH),
        (TWO, ("mremap", AT, HUGE, HUGE, MAYMOVE), LETS_THROUGH),
        (TWO, ("mremap", AT, 2 * HUGE, PAGE, MAYMOVE), LETS_THROUGH),
        (TWO, ("mremap", AT + PAGE, PAGE, PAGE, MAYMOVE), CUT),
        (GIANTS, ("mremap", GIANT_AT, HUGE, 2 * HUGE, MAYMOVE), "? EINVAL hugetlb:grow"),
        (GIANTS, ("mremap", GIANT_AT, HUGE, HUGE + GIANT, MAYMOVE), "EINVAL hugetlb:grow"),
        (PLAIN, ("mremap", AT, HUGE, 2 * HUGE, MAYMOVE), LETS_THROUGH),
    ],
)
def test_huge_pages_at_mremap(probe: Any, call: Tuple[Any, ...], said: str) -> None:
    assert asked(huge_pages_at_mremap, call, probe) == said


@pytest.mark.parametrize("flag", ["de", "pf"])
def test_what_cannot_be_left_behind(flag: str) -> None:
    probe = over(mapped(AT, 2, "rd", flag, path="/dev/x", inode=4))
    said = "EINVAL address.special-mapping:leave"
    assert asked(left_behind, ("mremap", AT, 2 * PAGE, 2 * PAGE, LEAVE), probe) == said
    assert asked(left_behind, ("mremap", AT, 2 * PAGE, 2 * PAGE, MAYMOVE), probe) == LETS_THROUGH
    assert asked(left_behind, ("mremap", AT, 2 * PAGE, 2 * PAGE, LEAVE), PLAIN) == LETS_THROUGH
    assert answer(left_behind, ("mremap", AT, 2 * PAGE, 2 * PAGE, LEAVE), probe).words["path"] == "/dev/x"


def test_a_length_counts_in_whole_pages() -> None:
    assert f.MREMAP_FIXED == 2
    assert asked(cut, ("mremap", AT, 2 * PAGE, PAGE + 1, 0), VDSO) == LETS_THROUGH


ANON = f.MAP_PRIVATE | f.MAP_ANONYMOUS


@pytest.mark.parametrize(
    "probe, call, said",
    [
        (VDSO, ("mmap", AT, PAGE, RW, ANON | f.MAP_FIXED, -1, 0), SPECIAL),
        (VDSO, ("mmap", AT - PAGE, 2 * PAGE, RW, ANON | f.MAP_FIXED, -1, 0), SPECIAL),
        (VDSO, ("mmap", AT, 2 * PAGE, RW, ANON | f.MAP_FIXED, -1, 0), LETS_THROUGH),
        (VDSO, ("mmap", AT, PAGE, RW, ANON, -1, 0), LETS_THROUGH),
        (VDSO, ("mmap", AT, PAGE, RW, ANON | f.MAP_FIXED_NOREPLACE | f.MAP_FIXED, -1, 0), LETS_THROUGH),
        (TWO, ("mmap", AT, PAGE, RW, ANON | f.MAP_FIXED, -1, 0), CUT),
        (TWO, ("mmap", AT, HUGE, RW, ANON | f.MAP_FIXED, -1, 0), LETS_THROUGH),
    ],
)
def test_a_new_mapping_in_the_place_of_a_part(probe: Any, call: Tuple[Any, ...], said: str) -> None:
    assert asked(cut_by_a_new_mapping, call, probe) == said


def test_a_segment_in_the_place_of_a_part() -> None:
    one = replace(VDSO, segment=Segment(0o600, 1, 1, False, PAGE - 1, 1))
    two = replace(VDSO, segment=Segment(0o600, 1, 1, False, PAGE + 1, 1))
    remap, rounded = ("shmat", 5, AT, f.SHM_REMAP), ("shmat", 5, AT + 8, f.SHM_REMAP | f.SHM_RND)
    assert [asked(cut_by_a_new_mapping, call, one) for call in (remap, rounded)] == [SPECIAL, SPECIAL]
    assert [asked(cut_by_a_new_mapping, call, two) for call in (remap, rounded)] == [LETS_THROUGH, LETS_THROUGH]
    assert asked(cut_by_a_new_mapping, ("shmat", 5, AT, 0), one) == LETS_THROUGH
