"""Our seccomp filter: RET_TRACE for the calls that have a row, everything else runs untouched.

Calls outside the set are answered from their number alone, so that the kernel's action cache can let them pass
without running the filter at all (kernel/seccomp.c:seccomp_cache_prepare).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import List, Tuple

from wxtrace.live.arch import CONVENTIONS
from wxtrace.live.ptrace import prctl
from wxtrace.model.enumerations import AUDIT_ARCH, Abi
from wxtrace.model.syscalls.table import SYSCALLS

__all__ = ["COOKIE", "filter_program", "install", "program_bytes"]

COOKIE = 0x100 + int.from_bytes(os.urandom(8), "little") % 0xFF00
"""SECCOMP_RET_DATA of our RET_TRACE: a seccomp stop that carries anything else is another tracer's.

Another one in each run, so that no filter can have it but by chance; who is under our filter cannot read it
(kernel/seccomp.c: seccomp_get_filter). Never one of the small numbers that tracers are fond of.
"""

RET_TRACE, RET_ALLOW = 0x7FF00000, 0x7FFF0000
_LD_W_ABS, _JEQ, _AND, _RET = 0x20, 0x15, 0x54, 0x06
_NR, _ARCH, _ARG0 = 0, 4, 16

_WORD = 0xFFFFFFFF

Instruction = Tuple[int, int, int, int]
_LAYOUT = struct.Struct("<HBBI")


def filter_program() -> List[Instruction]:
    """The filter as (code, jt, jf, k) instructions."""
    program: List[Instruction] = [(_LD_W_ABS, 0, 0, _ARCH)]
    for convention in CONVENTIONS:
        section = _abi_section(convention.abi)
        program += [(_JEQ, 0, len(section), AUDIT_ARCH[convention.abi]), *section]
    return [*program, (_RET, 0, 0, RET_ALLOW)]


def program_bytes() -> bytes:
    """The filter as the kernel takes it, and shows it."""
    return b"".join(_LAYOUT.pack(*instruction) for instruction in filter_program())


def _abi_section(abi: Abi) -> List[Instruction]:
    """Load the number, compare it with each traced one, look at argument 0 where that decides."""
    rows = [row for row in SYSCALLS if abi in row.numbers]
    plain = [row.numbers[abi] for row in rows if not row.when]
    blocks: List[Instruction] = []
    for row in rows:
        if row.when:
            blocks += _argument_block(row.numbers[abi], row.when, row.when_mask)
    section: List[Instruction] = [(_LD_W_ABS, 0, 0, _NR)]
    for i, number in enumerate(plain):
        # Jump over the remaining comparisons, the argument blocks and the closing ALLOW.
        section.append((_JEQ, len(plain) - 1 - i + len(blocks) + 1, 0, number))
    return section + blocks + [(_RET, 0, 0, RET_ALLOW), (_RET, 0, 0, RET_TRACE | COOKIE)]


def _argument_block(number: int, values: Tuple[int, ...], mask: int) -> List[Instruction]:
    block: List[Instruction] = [(_LD_W_ABS, 0, 0, _ARG0)]
    if mask != _WORD:
        block.append((_AND, 0, 0, mask))
    for i, value in enumerate(values):
        block.append((_JEQ, len(values) - i, 0, value))
    block += [(_RET, 0, 0, RET_ALLOW), (_RET, 0, 0, RET_TRACE | COOKIE)]
    return [(_JEQ, 0, len(block), number)] + block


class _Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2


def install() -> None:
    """Put the filter on the calling thread; NO_NEW_PRIVS only where CAP_SYS_ADMIN is missing. Raises OSError."""
    code = program_bytes()
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // _LAYOUT.size, ctypes.addressof(buffer))
    for privileged in (True, False):
        if not privileged:
            prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program), 0, 0) == 0:
            return
        number = ctypes.get_errno()
        if number != errno.EACCES:
            break
    raise OSError(number, os.strerror(number))
