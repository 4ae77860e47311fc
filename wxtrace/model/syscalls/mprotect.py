"""mprotect and pkey_mprotect (mm/mprotect.c:do_mprotect_pkey)."""

from __future__ import annotations

from typing import NamedTuple, Optional

__all__ = ["Mprotect"]


class Mprotect(NamedTuple):
    """mprotect(2), and pkey_mprotect where `pkey` is not None (-1: the key that the protection implies)."""

    addr: int
    length: int
    prot: int
    pkey: Optional[int] = None

    @property
    def name(self) -> str:
        return "pkey_mprotect" if self.pkey is not None else "mprotect"

    @property
    def start(self) -> int:
        return self.addr
