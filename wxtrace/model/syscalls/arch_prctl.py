"""arch_prctl (arch/x86/kernel/process_64.c:do_arch_prctl_64)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ArchPrctl"]


class ArchPrctl(NamedTuple):
    """arch_prctl(2)."""

    code: int
    addr: int

    @property
    def name(self) -> str:
        return "arch_prctl"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0
