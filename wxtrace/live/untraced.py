"""CLONE_UNTRACED: such a child would get ENOSYS from our filter for ever, so the bit is hidden from the kernel.

clone() has it in a register. clone3() has it in memory, which is changed only while the call lasts; its caller has
just written it there, so no page is made private that was not before.
"""

from __future__ import annotations

from typing import Tuple

from wxtrace.live import arch, ptrace
from wxtrace.live.procfs import read_memory, write_memory
from wxtrace.model.syscalls.table import NUMBERS

__all__ = ["asks_for_untraced_child", "set_untraced"]

_CLONE_UNTRACED = 0x800000
_CLONE3 = NUMBERS[arch.NATIVE]["clone3"]
"""The same number in all ABIs, as all new calls."""
_FLAGS_SIZE = 8
Words = Tuple[int, ...]


def asks_for_untraced_child(tid: int, number: int, args: Words) -> bool:
    """Whether the bit is set."""
    if number != _CLONE3:
        return bool(args[0] & _CLONE_UNTRACED)
    flags = read_memory(tid, args[0], _FLAGS_SIZE)
    return flags is not None and bool(int.from_bytes(flags, "little") & _CLONE_UNTRACED)


def set_untraced(tid: int, abi: int, number: int, args: Words, on: bool) -> None:
    """Set or clear the bit where this call has it."""
    if number != _CLONE3:
        offset = arch.CONVENTIONS[abi].offsets[0]
        value = args[0] | _CLONE_UNTRACED if on else args[0] & ~_CLONE_UNTRACED
        ptrace.request(ptrace.PTRACE_POKEUSER, tid, offset, value)
        return
    flags = read_memory(tid, args[0], _FLAGS_SIZE)
    if flags is not None:
        word = int.from_bytes(flags, "little")
        word = word | _CLONE_UNTRACED if on else word & ~_CLONE_UNTRACED
        write_memory(tid, args[0], word.to_bytes(_FLAGS_SIZE, "little"))
