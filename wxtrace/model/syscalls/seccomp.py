"""seccomp (kernel/seccomp.c:do_seccomp)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Seccomp"]


class Seccomp(NamedTuple):
    """seccomp(2)."""

    operation: int
    flags: int
    args: int

    @property
    def name(self) -> str:
        return "seccomp"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0
