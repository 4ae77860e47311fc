"""arch_prctl (arch/x86/kernel/process_64.c:do_arch_prctl_64)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.row import Evidence, Syscall, unsigned32

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "ArchPrctl"]

_CODES = {
    0x2001: "ARCH_MAP_VDSO_X32",
    0x2002: "ARCH_MAP_VDSO_32",
    0x2003: "ARCH_MAP_VDSO_64",
    0x5001: "ARCH_SHSTK_ENABLE",
}
"""arch/x86/include/uapi/asm/prctl.h: those that change the map."""


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


def _checks() -> Order:
    from wxtrace.model.causes import shadow_stack
    from wxtrace.model.causes.argument import pointer

    return (
        shadow_stack.control,
        pointer.pointer,
    )


ROWS = (
    Syscall(
        "arch_prctl",
        {Abi.X86_64: 158, Abi.I386: 384},
        (("code", s.value32(_CODES)), ("addr", s.address)),
        lambda a: ArchPrctl(unsigned32(a[0]), a[1]),
        when=tuple(_CODES),
        feature_test=True,
        shown=lambda a: True,
        changes_map=True,
        evidence=(Evidence.CPU,),
        checks=_checks,
    ),
)
