"""ptrace (kernel/ptrace.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Ptrace"]


class Ptrace(NamedTuple):
    """ptrace(2)."""

    request: int
    pid: int
    addr: int
    data: int

    @property
    def name(self) -> str:
        return "ptrace"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0
