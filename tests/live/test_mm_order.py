"""Who may go into the kernel: calls that could meet go one after the other, others together."""

from __future__ import annotations

from typing import Tuple

import pytest

from wxtrace.live.mm_order import MmOrder
from wxtrace.live.task import Space, Task
from wxtrace.live.traced import affected_range
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.row import EVERYTHING
from wxtrace.model.syscalls.table import NUMBERS

PAGE = 0x1000


def protect(page: int, pages: int = 1) -> Tuple[int, int]:
    return affected_range(Abi.X86_64, NUMBERS[Abi.X86_64]["mprotect"], (page * PAGE, pages * PAGE, 1, 0, 0, 0))


@pytest.fixture
def space() -> Space:
    return Space(1)


def task(space: Space, tid: int) -> Task:
    return Task(tid, 1, space)


@pytest.mark.parametrize(
    ("name", "args", "abi"),
    [
        ("munmap", (PAGE, PAGE), Abi.X86_64),
        ("mmap", (0, PAGE, 3, 0x22), Abi.X86_64),
        ("mprotect", (PAGE, PAGE, 0x01000001), Abi.X86_64),
        ("mprotect", ((1 << 64) - PAGE, 2 * PAGE, 1), Abi.X86_64),
    ],
)
def test_what_is_not_known_to_stay_in_its_range_is_everywhere(name: str, args: Tuple[int, ...], abi: int) -> None:
    assert affected_range(abi, NUMBERS[abi][name], (*args, 0, 0, 0)[:6]) == EVERYTHING


def test_a_range_ends_with_its_last_page() -> None:
    number = NUMBERS[Abi.X86_64]["mprotect"]
    assert affected_range(Abi.X86_64, number, (PAGE, 1, 1, 0, 0, 0)) == (PAGE, 2 * PAGE)
    assert affected_range(Abi.X86_64, number, (PAGE, PAGE, 1, 0, 0, 0)) == (PAGE, 2 * PAGE)


def test_calls_for_different_pages_go_in_together(space: Space) -> None:
    mm_order = MmOrder()
    assert mm_order.enter(task(space, 1), space, protect(1))
    assert mm_order.enter(task(space, 2), space, protect(2))
    assert not mm_order.contested


def test_calls_that_meet_go_in_one_after_the_other_in_their_order(space: Space) -> None:
    mm_order = MmOrder()
    first, second, third, fourth = (task(space, tid) for tid in range(1, 5))
    assert mm_order.enter(first, space, protect(1, 2))
    assert not mm_order.enter(second, space, protect(2))
    # Not ahead of who waits already, although it meets nobody.
    assert not mm_order.enter(third, space, protect(9))
    assert not mm_order.enter(fourth, space, EVERYTHING)

    assert mm_order.leave(first, space) == [second, third]
    assert mm_order.leave(third, space) == []
    assert mm_order.leave(second, space) == [fourth]
    assert not mm_order.contested


def test_one_that_dies_while_it_waits_keeps_nobody(space: Space) -> None:
    mm_order = MmOrder()
    first, second, third = (task(space, tid) for tid in range(1, 4))
    mm_order.enter(first, space, protect(1))
    mm_order.enter(second, space, EVERYTHING)
    mm_order.enter(third, space, protect(2))

    assert mm_order.leave(second, space) == [third]


@pytest.mark.parametrize("stale", [False, True])
def test_a_map_that_is_compared_or_read_again_has_one_at_a_time(space: Space, stale: bool) -> None:
    mm_order = MmOrder(one_at_a_time=not stale)
    space.stale = stale
    assert mm_order.enter(task(space, 1), space, protect(1))
    assert not mm_order.enter(task(space, 2), space, protect(2))
