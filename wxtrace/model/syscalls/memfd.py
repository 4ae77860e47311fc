"""memfd_create and memfd_secret (mm/memfd.c, mm/secretmem.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.row import Evidence, Returns, Syscall, unsigned32

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

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


def _checks() -> Order:
    from wxtrace.model.causes import hugetlb, memfd
    from wxtrace.model.causes.argument import pointer
    from wxtrace.model.causes.limit import fds

    return (
        memfd.flags,
        memfd.noexec_sysctl,
        memfd.name,
        pointer.pointer,
        hugetlb.size_or_file,
        fds.files_of_machine,
        fds.open_files,
    )


def _secret_checks() -> Order:
    from wxtrace.model.causes import secretmem
    from wxtrace.model.causes.argument import creation
    from wxtrace.model.causes.limit import fds

    return (
        secretmem.switched_off,
        creation.secret_flags,
        fds.files_of_machine,
        fds.open_files,
    )


ROWS = (
    Syscall(
        "memfd_create",
        {Abi.X86_64: 319, Abi.I386: 356},
        (("name", s.address), ("flags", s.memfd_flags)),
        lambda a: MemfdCreate(a[0], unsigned32(a[1])),
        returns=Returns.DESCRIPTOR,
        # From Linux 3.17.
        in_every_kernel=True,
        evidence=(Evidence.NAMESPACES, Evidence.OPEN_FILES),
        checks=_checks,
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
        checks=_secret_checks,
    ),
)
