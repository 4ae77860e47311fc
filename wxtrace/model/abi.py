"""Which number is which call: the traced calls of each ABI.

arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl. Another architecture is another table here
and another file beside `wxtrace/live/x86.py`.
"""

from __future__ import annotations

from typing import Dict

__all__ = ["ABI_NAMES", "AUDIT_ARCH", "CALL_NUMBERS", "I386", "X86_64", "call_name"]

X86_64, I386 = 0, 1
ABI_NAMES = ("x86_64", "i386")
AUDIT_ARCH = (0xC000003E, 0x40000003)
"""How seccomp and audit name each ABI (include/uapi/linux/audit.h)."""

_X86_64 = {
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "mremap": 25,
    "madvise": 28,
    "shmat": 30,
    "clone": 56,
    "fork": 57,
    "vfork": 58,
    "shmdt": 67,
    "ptrace": 101,
    "personality": 135,
    "prctl": 157,
    "arch_prctl": 158,
    "io_setup": 206,
    "io_destroy": 207,
    "remap_file_pages": 216,
    "seccomp": 317,
    "memfd_create": 319,
    "pkey_mprotect": 329,
    "pkey_alloc": 330,
    "pkey_free": 331,
    "clone3": 435,
    "process_madvise": 440,
    "memfd_secret": 447,
    "map_shadow_stack": 453,
    "mseal": 462,
}

_I386 = {
    "fork": 2,
    "ptrace": 26,
    "brk": 45,
    "mmap": 90,
    "munmap": 91,
    "ipc": 117,
    "clone": 120,
    "mprotect": 125,
    "personality": 136,
    "mremap": 163,
    "prctl": 172,
    "vfork": 190,
    "mmap2": 192,
    "madvise": 219,
    "io_setup": 245,
    "io_destroy": 246,
    "remap_file_pages": 257,
    "seccomp": 354,
    "memfd_create": 356,
    "pkey_mprotect": 380,
    "pkey_alloc": 381,
    "pkey_free": 382,
    "arch_prctl": 384,
    "shmat": 397,
    "shmdt": 398,
    "clone3": 435,
    "process_madvise": 440,
    "memfd_secret": 447,
    "mseal": 462,
}

CALL_NUMBERS: tuple[Dict[str, int], Dict[str, int]] = (_X86_64, _I386)
_NAMES = tuple({number: name for name, number in table.items()} for table in CALL_NUMBERS)


def call_name(abi: int, number: int) -> str:
    """The kernel's name of a call; `syscall_N` for a number outside the traced set."""
    return _NAMES[abi].get(number) or "syscall_%d" % number
