"""What depends on the architecture: x86-64 and i386. Another architecture is another file like this one.

Where registers stand, audit numbers and the i386 calls that pass their arguments in memory.
"""

from __future__ import annotations

import struct
from typing import Any, Dict, Optional, Tuple

from wxtrace.model.enumerations import AUDIT_ARCH, Abi
from wxtrace.model.syscalls.table import NUMBERS

__all__ = [
    "ARCH_ABI",
    "AUDIT_ARCH",
    "EXIT_NUMBERS",
    "indirect_call",
    "shmat_result_address",
    "syscall_instruction",
]

ARCH_ABI: Dict[int, int] = {arch: abi for abi, arch in enumerate(AUDIT_ARCH)}

ORIG_AX, AX, DI, BX, IP = 120, 80, 112, 40, 128
ARGUMENTS = ((112, 104, 96, 56, 72, 64), (40, 88, 96, 104, 112, 32))
"""Offsets in struct user (arch/x86/include/uapi/asm/ptrace-abi.h); those of the arguments of a call by ABI."""

EXIT_NUMBERS = (60, 1)
"""exit(2), by ABI."""

_OLD_MMAP = NUMBERS[Abi.I386]["mmap"]
_IPC = NUMBERS[Abi.I386]["ipc"]
_SHMAT, _SHMDT = 21, 22
_BLOCK = struct.Struct("<6I")
ReadMemory = Any


def indirect_call(number: int, args: Tuple[int, ...], read: ReadMemory) -> Optional[Tuple[int, Tuple[int, ...]]]:
    """The call an i386 multiplexer stands for, its arguments fetched by `read(address, size)`.

    None for calls that mean what they say (arch/x86/kernel/sys_ia32.c:ia32_mmap, ipc/syscall.c:ksys_ipc).
    """
    if number == _OLD_MMAP:
        block = read(args[0] & 0xFFFFFFFF, _BLOCK.size)
        # Without a block nothing is known but where it was to be; the other registers are no arguments.
        return number, (args[0], 0, 0, 0, 0, 0) if block is None else _BLOCK.unpack(block)
    if number == _IPC:
        call = args[0] & 0xFFFF
        if call == _SHMAT:
            return NUMBERS[Abi.I386]["shmat"], (args[1], args[4], args[2], args[3], 0, 0)
        if call == _SHMDT:
            return NUMBERS[Abi.I386]["shmdt"], (args[4], 0, 0, 0, 0, 0)
    return None


def shmat_result_address(number: int, args: Tuple[int, ...]) -> Optional[int]:
    """Where ipc(SHMAT) stores the attach address: its result register holds only 0 or an errno."""
    if number == _IPC and args[0] & 0xFFFF == _SHMAT:
        return args[3] & 0xFFFFFFFF
    return None


def syscall_instruction(code: bytes) -> Optional[int]:
    """The ABI of the two-byte system-call instruction, or None when these bytes are not one."""
    return {b"\x0f\x05": Abi.X86_64, b"\xcd\x80": Abi.I386}.get(code)
