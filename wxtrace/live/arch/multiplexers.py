"""Calls of i386 that stand for others, or pass their arguments in memory; the other ABIs have none.

arch/x86/kernel/sys_ia32.c:ia32_mmap, ipc/syscall.c:ksys_ipc.
"""

from __future__ import annotations

import struct
from typing import Callable, Optional, Tuple

from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.table import NUMBERS

__all__ = ["direct_call", "shmat_result_address", "waits_in_ipc"]

_OLD_MMAP = NUMBERS[Abi.I386]["mmap"]
_IPC = NUMBERS[Abi.I386]["ipc"]
_SEMOP, _SEMTIMEDOP, _SHMAT, _SHMDT = 1, 4, 21, 22
_BLOCK = struct.Struct("<6I")

Words = Tuple[int, ...]
ReadMemory = Callable[[int, int], Optional[bytes]]
"""(address, size) to all those bytes of the target's memory, or None."""


def direct_call(abi: int, number: int, args: Words, read: ReadMemory) -> Optional[Tuple[int, Words]]:
    """The call that a multiplexer stands for; None for calls that mean what they say."""
    if abi != Abi.I386:
        return None
    if number == _OLD_MMAP:
        block = read(args[0] & 0xFFFFFFFF, _BLOCK.size)
        # Without a block nothing is known but where it was to be; the other registers are no arguments.
        return number, (args[0], 0, 0, 0, 0, 0) if block is None else _BLOCK.unpack(block)
    if number == _IPC:
        call = args[0] & 0xFFFF
        if call == _SHMAT:
            return NUMBERS[abi]["shmat"], (args[1], args[4], args[2], args[3], 0, 0)
        if call == _SHMDT:
            return NUMBERS[abi]["shmdt"], (args[4], 0, 0, 0, 0, 0)
    return None


def shmat_result_address(abi: int, number: int, args: Words) -> Optional[int]:
    """Where ipc(SHMAT) stores the attach address: its result register holds only 0 or an errno."""
    if _is_ipc(abi, number) and args[0] & 0xFFFF == _SHMAT:
        return args[3] & 0xFFFFFFFF
    return None


def waits_in_ipc(abi: int, number: int, args: Words) -> bool:
    """Whether this is ipc(SEMOP), or ipc(SEMTIMEDOP) without a timeout."""
    if not _is_ipc(abi, number):
        return False
    return args[0] & 0xFFFF == _SEMOP or (args[0] & 0xFFFF == _SEMTIMEDOP and args[5] == 0)


def _is_ipc(abi: int, number: int) -> bool:
    return abi == Abi.I386 and number == _IPC
