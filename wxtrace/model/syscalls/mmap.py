"""mmap, its page-counting form mmap2, and the old mmap of i386 (mm/mmap.c:ksys_mmap_pgoff)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Mmap"]


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
