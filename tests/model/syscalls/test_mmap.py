"""The old mmap of i386, whose arguments stand in memory."""

from __future__ import annotations

import pytest

from wxtrace.model.enumerations import Abi
from wxtrace.model.facts import BY_FILTER, BY_KERNEL, UNDECIDED
from wxtrace.model.syscalls.mmap import has_unreadable_block
from wxtrace.model.syscalls.table import NUMBERS, symbolic_args

OLD, NEW = NUMBERS[Abi.I386]["mmap"], NUMBERS[Abi.I386]["mmap2"]


@pytest.mark.parametrize(
    "abi, number, result, decided, unreadable",
    [
        (Abi.I386, OLD, -14, BY_KERNEL, True),
        (Abi.I386, OLD, -14, UNDECIDED, True),
        (Abi.I386, OLD, -14, BY_FILTER, False),
        (Abi.I386, OLD, -22, BY_KERNEL, False),
        (Abi.I386, OLD, None, BY_KERNEL, False),
        (Abi.I386, NEW, -14, BY_KERNEL, False),
        (Abi.X86_64, OLD, -14, BY_KERNEL, False),
    ],
)
def test_a_block_that_could_not_be_read(abi: int, number: int, result: int, decided: int, unreadable: bool) -> None:
    assert has_unreadable_block(abi, number, result, decided) is unreadable


def test_only_where_the_arguments_were_to_be_is_shown() -> None:
    assert symbolic_args(Abi.I386, OLD, (0x1234, 1, 2, 3, 4, 5), unreadable=True) == {"arg": "0x1234"}


def test_flags_of_32_bits_are_shown_as_the_kernel_reads_them() -> None:
    high = 0xDEFACED00000000
    shown = symbolic_args(Abi.X86_64, NUMBERS[Abi.X86_64]["process_madvise"], (3, 0, 1, 20, high, 0))
    assert shown["flags"] == "0"
    assert symbolic_args(Abi.X86_64, NUMBERS[Abi.X86_64]["memfd_secret"], (high | 5, 0, 0, 0, 0, 0)) == {"flags": "0x5"}
    ring = symbolic_args(Abi.X86_64, NUMBERS[Abi.X86_64]["io_setup"], (0xFFFFFFFF, 0, 0, 0, 0, 0))
    assert ring["nr_events"] == 2**32 - 1
    mseal = symbolic_args(Abi.X86_64, NUMBERS[Abi.X86_64]["mseal"], (0, 0, high, 0, 0, 0))
    assert mseal["flags"] == hex(high)
