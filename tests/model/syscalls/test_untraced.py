"""Calls that are not traced, by name: from python-ptrace's tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict

import pytest

from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.row import Other
from wxtrace.model.syscalls.table import call_name, request_of, row_of, symbolic_args
from wxtrace.model.syscalls.untraced import number_of


@pytest.mark.parametrize(
    ("abi", "number", "name"),
    [
        (Abi.X86_64, 318, "getrandom"),
        (Abi.I386, 3, "read"),
        (Abi.X86_64, 0, "read"),
        (Abi.X86_64, 441, "epoll_pwait2"),
        (Abi.I386, 421, "rt_sigtimedwait_time64"),
        (Abi.X86_64, 99999, "syscall_99999"),
        # Traced, and so no name of this table.
        (Abi.X86_64, 9, "mmap"),
    ],
)
def test_every_call_has_a_name(abi: Abi, number: int, name: str) -> None:
    assert call_name(abi, number) == name


def test_its_arguments_have_names_and_no_meaning() -> None:
    args = (0x7F0000000000, 8, 4096, 7, 7, 7)
    assert symbolic_args(Abi.X86_64, 318, args) == {"buf": "0x7f0000000000", "count": 8, "flags": "0x1000"}
    assert len(symbolic_args(Abi.X86_64, 99999, args)) == 6
    assert isinstance(request_of(Abi.X86_64, 318, args), Other)
    assert row_of(Abi.X86_64, 318).effect is None


def test_a_name_leads_back_to_its_number() -> None:
    assert number_of(Abi.X86_64, "getrandom") == 318
    assert number_of(Abi.X86_64, "no_such_call") is None


HEADERS = {Abi.X86_64: "unistd_64.h", Abi.I386: "unistd_32.h"}


def numbers(abi: Abi) -> Dict[int, str]:
    """As the kernel's headers define them."""
    for folder in ("/usr/include/asm", "/usr/include/x86_64-linux-gnu/asm"):
        path = Path(folder, HEADERS[abi])
        if path.exists():
            found = re.findall(r"#define __NR_(\w+) (\d+)", path.read_text())
            return {int(number): name for name, number in found}
    pytest.skip("the kernel's headers are not installed")


def test_every_call_of_a_64_bit_program_has_the_name_of_the_kernels_headers() -> None:
    defined = numbers(Abi.X86_64)

    assert {number: call_name(Abi.X86_64, number) for number in defined} == defined


def test_calls_that_i386_got_since_2007_have_the_names_of_the_kernels_headers() -> None:
    defined = {number: name for number, name in numbers(Abi.I386).items() if number >= 274}

    assert {number: call_name(Abi.I386, number) for number in defined} == defined
