"""memfd_create and memfd_secret (mm/memfd.c, mm/secretmem.c)."""

from __future__ import annotations

from typing import NamedTuple

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.row import Evidence, Returns, Syscall, unsigned32

__all__ = ["ROWS", "MemfdCreate", "MemfdSecret"]


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


ROWS = (
    Syscall(
        "memfd_create",
        {Abi.X86_64: 319, Abi.I386: 356},
        (("name", s.address), ("flags", s.bits32(f.MEMFD))),
        lambda a: MemfdCreate(a[0], unsigned32(a[1])),
        returns=Returns.DESCRIPTOR,
        # From Linux 3.17.
        in_every_kernel=True,
        evidence=(Evidence.NAMESPACES, Evidence.OPEN_FILES),
    ),
    Syscall(
        "memfd_secret",
        {Abi.X86_64: 447, Abi.I386: 447},
        (("flags", s.hexadecimal32),),
        lambda a: MemfdSecret(unsigned32(a[0])),
        returns=Returns.DESCRIPTOR,
        feature_test=True,
        evidence=(Evidence.OPEN_FILES,),
        since=(5, 14),
    ),
)
