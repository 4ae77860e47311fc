"""pkey_alloc and pkey_free (mm/mprotect.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PkeyAlloc", "PkeyFree"]


class PkeyAlloc(NamedTuple):
    """pkey_alloc(2)."""

    flags: int
    access_rights: int

    @property
    def name(self) -> str:
        return "pkey_alloc"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


class PkeyFree(NamedTuple):
    """pkey_free(2)."""

    pkey: int

    @property
    def name(self) -> str:
        return "pkey_free"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0
