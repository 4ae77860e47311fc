"""pkey_alloc and pkey_free (mm/mprotect.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.row import Evidence, Returns, Syscall, signed32

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "PkeyAlloc", "PkeyFree"]


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


def _alloc_checks() -> Order:
    from wxtrace.model.causes import pkey
    from wxtrace.model.causes.argument import creation

    return (
        pkey.built_in,
        creation.key_rights,
        pkey.alloc,
    )


def _free_checks() -> Order:
    from wxtrace.model.causes import pkey

    return (
        pkey.built_in,
        pkey.allocated,
    )


ROWS = (
    Syscall(
        "pkey_alloc",
        {Abi.X86_64: 330, Abi.I386: 381},
        (("flags", s.hexadecimal), ("access_rights", s.bits(f.PKEY_RIGHTS))),
        lambda a: PkeyAlloc(a[0], a[1]),
        returns=Returns.NUMBER,
        feature_test=True,
        evidence=(Evidence.CPU,),
        checks=_alloc_checks,
    ),
    Syscall(
        "pkey_free",
        {Abi.X86_64: 331, Abi.I386: 382},
        (("pkey", s.number),),
        lambda a: PkeyFree(signed32(a[0])),
        feature_test=True,
        evidence=(Evidence.CPU,),
        checks=_free_checks,
    ),
)
