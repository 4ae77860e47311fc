"""mseal (mm/mseal.c:do_mseal)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Mseal"]


class Mseal(NamedTuple):
    """mseal(2)."""

    addr: int
    length: int
    flags: int

    @property
    def name(self) -> str:
        return "mseal"

    @property
    def start(self) -> int:
        return self.addr
