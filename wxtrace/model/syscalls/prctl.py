"""prctl (kernel/sys.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Prctl"]


class Prctl(NamedTuple):
    """prctl(2)."""

    option: int
    arg2: int
    arg3: int
    arg4: int
    arg5: int

    @property
    def name(self) -> str:
        return "prctl"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0
