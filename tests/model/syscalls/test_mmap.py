"""The old mmap of i386, whose arguments stand in memory."""

from __future__ import annotations

import pytest

from wxtrace.model.abi import CALL_NUMBERS, I386, X86_64
from wxtrace.model.calls import symbolic_args
from wxtrace.model.facts import BY_FILTER, BY_KERNEL, UNDECIDED
from wxtrace.model.syscalls.mmap import has_unreadable_block

OLD, NEW = CALL_NUMBERS[I386]["mmap"], CALL_NUMBERS[I386]["mmap2"]


@pytest.mark.parametrize(
    "abi, number, result, decided, unreadable",
    [
        (I386, OLD, -14, BY_KERNEL, True),
        (I386, OLD, -14, UNDECIDED, True),
        (I386, OLD, -14, BY_FILTER, False),
        (I386, OLD, -22, BY_KERNEL, False),
        (I386, OLD, None, BY_KERNEL, False),
        (I386, NEW, -14, BY_KERNEL, False),
        (X86_64, OLD, -14, BY_KERNEL, False),
    ],
)
def test_a_block_that_could_not_be_read(abi: int, number: int, result: int, decided: int, unreadable: bool) -> None:
    assert has_unreadable_block(abi, number, result, decided) is unreadable


def test_only_where_the_arguments_were_to_be_is_shown() -> None:
    assert symbolic_args(I386, OLD, (0x1234, 1, 2, 3, 4, 5), unreadable=True) == {"arg": "0x1234"}


def test_flags_of_32_bits_are_shown_as_the_kernel_reads_them() -> None:
    high = 0xDEFACED00000000
    shown = symbolic_args(X86_64, CALL_NUMBERS[X86_64]["process_madvise"], (3, 0, 1, 20, high, 0))
    assert shown["flags"] == "0"
    assert symbolic_args(X86_64, CALL_NUMBERS[X86_64]["memfd_secret"], (high | 5, 0, 0, 0, 0, 0)) == {"flags": "0x5"}
    assert (
        symbolic_args(X86_64, CALL_NUMBERS[X86_64]["io_setup"], (0xFFFFFFFF, 0, 0, 0, 0, 0))["nr_events"] == 2**32 - 1
    )
    mseal = symbolic_args(X86_64, CALL_NUMBERS[X86_64]["mseal"], (0, 0, high, 0, 0, 0))
    assert mseal["flags"] == hex(high)
