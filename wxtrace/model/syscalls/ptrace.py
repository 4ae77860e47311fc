"""ptrace (kernel/ptrace.c): a traced program that wants a tracer of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.row import Returns, Syscall, signed32, unsigned32

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Ptrace"]


class Ptrace(NamedTuple):
    """ptrace(2)."""

    request: int
    pid: int
    addr: int
    data: int

    @property
    def name(self) -> str:
        return "ptrace"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


def _checks() -> Order:
    from wxtrace.model.causes import interference
    from wxtrace.model.causes.argument import pointer

    return (
        interference.already_traced,
        pointer.pointer,
    )


ROWS = (
    Syscall(
        "ptrace",
        {Abi.X86_64: 101, Abi.I386: 26},
        (("request", s.value32(f.PTRACE)), ("pid", s.number), ("addr", s.address), ("data", s.address)),
        lambda a: Ptrace(unsigned32(a[0]), signed32(a[1]), a[2], a[3]),
        returns=Returns.NUMBER,
        feature_test=True,
        checks=_checks,
    ),
)
