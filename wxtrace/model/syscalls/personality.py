"""personality (kernel/exec_domain.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Personality"]


class Personality(NamedTuple):
    """personality(2)."""

    persona: int

    @property
    def name(self) -> str:
        return "personality"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0
