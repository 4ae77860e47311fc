"""brk (mm/mmap.c:SYSCALL_DEFINE1(brk))."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Brk"]


class Brk(NamedTuple):
    """brk(2)."""

    addr: int

    @property
    def name(self) -> str:
        return "brk"

    @property
    def start(self) -> int:
        return self.addr

    @property
    def length(self) -> int:
        return 0
