"""mmap, its page-counting form mmap2, and the old mmap of i386 (mm/mmap.c:ksys_mmap_pgoff)."""

from __future__ import annotations

from typing import NamedTuple, Optional

from wxtrace.model.abi import CALL_NUMBERS, I386
from wxtrace.model.enumerations import Decided, Errno

__all__ = ["Mmap", "has_unreadable_block"]


class Mmap(NamedTuple):
    """mmap(2). Lengths and offsets in bytes, whichever ABI counted them."""

    addr: int
    length: int
    prot: int
    flags: int
    fd: int
    offset: int

    @property
    def name(self) -> str:
        return "mmap"

    @property
    def start(self) -> int:
        return self.addr


def has_unreadable_block(abi: int, number: int, result: Optional[int], decided: int) -> bool:
    """Whether the old mmap of i386 found no arguments where its only register points.

    Nothing else of it gives EFAULT (arch/x86/kernel/sys_ia32.c:ia32_mmap); only its first word means anything then.
    """
    if abi != I386 or number != CALL_NUMBERS[I386]["mmap"]:
        return False
    return result == -Errno.EFAULT and decided != Decided.BY_FILTER
