"""Calls that are not traced, by name: from python-ptrace's tables."""

from __future__ import annotations

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
