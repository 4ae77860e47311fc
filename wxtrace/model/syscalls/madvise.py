"""madvise and process_madvise (mm/madvise.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Madvise", "ProcessMadvise"]


class Madvise(NamedTuple):
    """madvise(2)."""

    addr: int
    length: int
    advice: int

    @property
    def name(self) -> str:
        return "madvise"

    @property
    def start(self) -> int:
        return self.addr


class ProcessMadvise(NamedTuple):
    """process_madvise(2)."""

    pidfd: int
    iovec: int
    vlen: int
    advice: int
    flags: int

    @property
    def name(self) -> str:
        return "process_madvise"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0
