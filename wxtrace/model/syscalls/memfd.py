"""memfd_create and memfd_secret (mm/memfd.c, mm/secretmem.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MemfdCreate", "MemfdSecret"]


class MemfdCreate(NamedTuple):
    """memfd_create(2). `name_address`: where the name stands."""

    name_address: int
    flags: int

    @property
    def name(self) -> str:
        return "memfd_create"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


class MemfdSecret(NamedTuple):
    """memfd_secret(2)."""

    flags: int

    @property
    def name(self) -> str:
        return "memfd_secret"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0
