"""Every traced call: the rows, and what is derived from them."""

from __future__ import annotations

from typing import Any, Dict, Tuple

from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import (
    aio,
    arch_prctl,
    brk,
    madvise,
    memfd,
    mmap,
    mprotect,
    mremap,
    mseal,
    munmap,
    personality,
    pkey,
    prctl,
    process,
    ptrace,
    remap_file_pages,
    seccomp,
    shadow_stack,
    shm,
)
from wxtrace.model.syscalls.row import CallRequest, Returns, Syscall, Words
from wxtrace.model.syscalls.spelling import address

__all__ = [
    "BY_NAME",
    "BY_NUMBER",
    "NUMBERS",
    "SYSCALLS",
    "call_name",
    "request_of",
    "returns_address",
    "row_of",
    "symbolic_args",
]

SYSCALLS: Tuple[Syscall, ...] = tuple(
    row
    for module in (
        mmap,
        munmap,
        mprotect,
        mremap,
        brk,
        madvise,
        mseal,
        shm,
        remap_file_pages,
        memfd,
        pkey,
        shadow_stack,
        arch_prctl,
        prctl,
        seccomp,
        aio,
        process,
        ptrace,
        personality,
    )
    for row in module.ROWS
)
BY_NAME: Dict[str, Syscall] = {row.name: row for row in SYSCALLS}
NUMBERS: Tuple[Dict[str, int], ...] = tuple(
    {row.name: row.numbers[abi] for row in SYSCALLS if abi in row.numbers} for abi in Abi
)
"""By ABI."""
BY_NUMBER: Tuple[Dict[int, Syscall], ...] = tuple(
    {row.numbers[abi]: row for row in SYSCALLS if abi in row.numbers} for abi in Abi
)
"""By ABI."""


def row_of(abi: int, number: int) -> Syscall:
    """Of a call that is not traced only its name and arguments are known, if at all."""
    row = BY_NUMBER[abi].get(number)
    if row is None:
        # A filter killed the program for it, or trapped it.
        from wxtrace.model.syscalls.untraced import untraced_row

        row = untraced_row(abi, number)
    return row


def call_name(abi: int, number: int) -> str:
    """The kernel's name of a call; `syscall_N` where it is not known."""
    return row_of(abi, number).name


def returns_address(name: str) -> bool:
    """Whether the result of a call is an address, shown in hex."""
    row = BY_NAME.get(name)
    return row is not None and row.returns is Returns.ADDRESS


def request_of(abi: int, number: int, args: Words) -> CallRequest:
    """What one call asks for, whichever ABI spelt it."""
    return row_of(abi, number).request(args)


def symbolic_args(abi: int, number: int, args: Words, unreadable: bool = False) -> Dict[str, Any]:
    """`{"addr": "0x7f…", "len": 4096, "prot": "PROT_READ|PROT_EXEC"}` in the order of the call.

    `unreadable`: they were to be in memory that is not there, and only its address is known.
    """
    if unreadable:
        return {"arg": address(args[0])}
    row = row_of(abi, number)
    if row.spell is not None:
        return row.spell(args)
    return {name: spelling(value) for (name, spelling), value in zip(row.arguments, args)}
