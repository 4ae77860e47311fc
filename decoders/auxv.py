"""The auxiliary vector of a process, /proc/PID/auxv (proc_pid_auxv(5)): pairs of words, in the program's own size."""

from __future__ import annotations

import struct

__all__ = ["is_32_bit"]

_AT_PHENT = 4
_ELF32_PHDR_SIZE = 32
_PAIR = struct.Struct("<II")


def is_32_bit(auxv: bytes) -> bool:
    """Whether the program is an ELF file of class 32: then its program headers have 32 bytes (fs/binfmt_elf.c)."""
    whole = auxv[: len(auxv) // _PAIR.size * _PAIR.size]
    # In a 64-bit vector a pair of 32-bit words is one half of an entry, whose upper word is 0.
    return (_AT_PHENT, _ELF32_PHDR_SIZE) in _PAIR.iter_unpack(whole)
