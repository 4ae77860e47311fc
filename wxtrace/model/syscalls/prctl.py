"""prctl (kernel/sys.c): the options that rule memory, filters and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, NamedTuple

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.row import Syscall, Words, unsigned32

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["PR_SET_MM", "ROWS", "Prctl"]

PR_SET_MM = 35
_PR_SET_NO_NEW_PRIVS, _PR_SET_SYSCALL_USER_DISPATCH, _PR_SET_VMA = 38, 59, 0x53564D41
_MODES = {1: "SECCOMP_MODE_STRICT", 2: "SECCOMP_MODE_FILTER"}


class Prctl(NamedTuple):
    """prctl(2)."""

    option: int
    arg2: int
    arg3: int
    arg4: int
    arg5: int

    @property
    def name(self) -> str:
        return "prctl"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


def _spell(args: Words) -> Dict[str, Any]:
    option = unsigned32(args[0])
    shown: Dict[str, Any] = {"option": f.named_value(option, f.PRCTL)}
    if option == f.PR_SET_MDWE:
        shown["bits"] = f.named_bits(args[1], f.MDWE)
    elif option == f.PR_SET_SECCOMP:
        shown["mode"] = f.named_value(args[1], _MODES)
    else:
        shown["arg2"] = hex(args[1])
    return shown


def _checks() -> Order:
    from wxtrace.model.causes import interference
    from wxtrace.model.causes.argument import pointer, prctl

    return (
        prctl.set_mdwe,
        interference.strict_mode,
        pointer.pointer,
    )


ROWS = (
    Syscall(
        "prctl",
        {Abi.X86_64: 157, Abi.I386: 172},
        (
            ("option", s.value32(f.PRCTL)),
            ("arg2", s.hexadecimal),
            ("arg3", s.hexadecimal),
            ("arg4", s.hexadecimal),
            ("arg5", s.hexadecimal),
        ),
        lambda a: Prctl(unsigned32(a[0]), *a[1:5]),
        when=(
            f.PR_SET_NAME,
            f.PR_SET_SECCOMP,
            PR_SET_MM,
            _PR_SET_NO_NEW_PRIVS,
            _PR_SET_SYSCALL_USER_DISPATCH,
            f.PR_SET_MDWE,
            _PR_SET_VMA,
        ),
        spell=_spell,
        feature_test=True,
        shown=lambda a: unsigned32(a[0]) in (f.PR_SET_NAME, f.PR_SET_SECCOMP, PR_SET_MM),
        changes_map=True,
        checks=_checks,
    ),
)
