"""mremap (mm/mremap.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Mremap"]


class Mremap(NamedTuple):
    """mremap(2)."""

    old_address: int
    old_size: int
    new_size: int
    flags: int
    new_address: int

    @property
    def name(self) -> str:
        return "mremap"

    @property
    def start(self) -> int:
        return self.old_address

    @property
    def length(self) -> int:
        return self.old_size
