"""Where addresses end, and where the kernel looks for room."""

from __future__ import annotations

import pytest

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.task_size import searched_below, task_size

PAGE = 4096
FOUR, FIVE = (1 << 47) - PAGE, (1 << 56) - PAGE


@pytest.mark.parametrize(
    "abi, bits, personality, end",
    [
        (Abi.X86_64, 47, 0, FOUR),
        (Abi.X86_64, 56, f.ADDR_LIMIT_3GB, FIVE),
        (Abi.I386, 56, 0, 0xFFFFE000),
        (Abi.I386, 47, f.ADDR_LIMIT_3GB | f.READ_IMPLIES_EXEC, 0xC0000000),
    ],
)
def test_the_end(abi: int, bits: int, personality: int, end: int) -> None:
    assert task_size(abi, bits, PAGE, personality) == end


def mmap(hint: int) -> Mmap:
    return Mmap(hint, PAGE, 3, 0x22, -1, 0)


def test_only_a_high_hint_leads_above_2_to_the_47() -> None:
    assert searched_below(mmap(FOUR), FIVE, PAGE) == FOUR
    assert searched_below(mmap(FOUR + 1), FIVE, PAGE) == FIVE
    assert searched_below(mmap(1 << 50), FOUR, PAGE) == FOUR
    assert searched_below(mmap(0), 0xFFFFE000, PAGE) == 0xFFFFE000
    assert searched_below(Brk(1 << 50), FIVE, PAGE) == FOUR


def test_the_new_address_of_mremap_is_a_hint_with_dontunmap() -> None:
    assert searched_below(Mremap(0, PAGE, PAGE, f.MREMAP_DONTUNMAP | 1, 1 << 50), FIVE, PAGE) == FIVE
    assert searched_below(Mremap(0, PAGE, PAGE, 1, 1 << 50), FIVE, PAGE) == FOUR
