"""map_shadow_stack (arch/x86/kernel/shstk.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MapShadowStack"]


class MapShadowStack(NamedTuple):
    """map_shadow_stack(2)."""

    addr: int
    size: int
    flags: int

    @property
    def name(self) -> str:
        return "map_shadow_stack"

    @property
    def start(self) -> int:
        return self.addr

    @property
    def length(self) -> int:
        return self.size
