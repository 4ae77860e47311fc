"""munmap (mm/mmap.c:__vm_munmap)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Munmap"]


class Munmap(NamedTuple):
    """munmap(2)."""

    addr: int
    length: int

    @property
    def name(self) -> str:
        return "munmap"

    @property
    def start(self) -> int:
        return self.addr
