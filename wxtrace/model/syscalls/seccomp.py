"""seccomp (kernel/seccomp.c:do_seccomp)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.row import Returns, Syscall, unsigned32

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Seccomp"]


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


def _checks() -> Order:
    from wxtrace.model.causes import interference
    from wxtrace.model.causes.argument import pointer, seccomp
    from wxtrace.model.causes.limit import fds

    return (
        seccomp.operation,
        interference.strict_mode,
        pointer.pointer,
        seccomp.filter_program,
        fds.files_of_machine,
        fds.open_files,
    )


ROWS = (
    Syscall(
        "seccomp",
        {Abi.X86_64: 317, Abi.I386: 354},
        (("operation", s.value32(f.SECCOMP_OP)), ("flags", s.bits32(f.SECCOMP_FLAG)), ("args", s.address)),
        lambda a: Seccomp(unsigned32(a[0]), unsigned32(a[1]), a[2]),
        returns=Returns.NUMBER,
        feature_test=True,
        shown=lambda a: unsigned32(a[0]) == f.SECCOMP_SET_MODE_FILTER,
        checks=_checks,
    ),
)
