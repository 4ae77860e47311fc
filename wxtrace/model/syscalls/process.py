"""fork, vfork, clone and clone3 (kernel/fork.c): each new task tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls import spelling as s
from wxtrace.model.syscalls.row import EVERYTHING, Range, Returns, Syscall, Words

if TYPE_CHECKING:
    from wxtrace.model.causes.order import Order

__all__ = ["ROWS", "Clone", "Clone3", "Fork", "Vfork"]


class Fork(NamedTuple):
    """fork(2)."""

    @property
    def name(self) -> str:
        return "fork"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


class Vfork(NamedTuple):
    """vfork(2)."""

    @property
    def name(self) -> str:
        return "vfork"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


class Clone(NamedTuple):
    """clone(2)."""

    flags: int
    stack: int

    @property
    def name(self) -> str:
        return "clone"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


class Clone3(NamedTuple):
    """clone3(2)."""

    cl_args: int
    size: int

    @property
    def name(self) -> str:
        return "clone3"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


def _affects(args: Words, page: int) -> Optional[Range]:
    # A copy of the map is taken.
    return EVERYTHING


def _clone_flags(value: int) -> str:
    return f.named_bits(value & 0xFFFFFF00, f.CLONE)


def _checks() -> Order:
    from wxtrace.model.causes.limit import overcommit

    return (overcommit.copying,)


def _clone3_checks() -> Order:
    from wxtrace.model.causes.argument import pointer
    from wxtrace.model.causes.limit import overcommit

    return (
        pointer.pointer,
        overcommit.copying,
    )


ROWS = (
    Syscall(
        "fork",
        {Abi.X86_64: 57, Abi.I386: 2},
        (),
        lambda a: Fork(),
        returns=Returns.NUMBER,
        feature_test=True,
        makes_task=True,
        affects=_affects,
        checks=_checks,
    ),
    Syscall(
        "vfork",
        {Abi.X86_64: 58, Abi.I386: 190},
        (),
        lambda a: Vfork(),
        returns=Returns.NUMBER,
        feature_test=True,
        makes_task=True,
        affects=_affects,
    ),
    Syscall(
        "clone",
        {Abi.X86_64: 56, Abi.I386: 120},
        (("flags", _clone_flags), ("stack", s.address)),
        lambda a: Clone(a[0], a[1]),
        returns=Returns.NUMBER,
        feature_test=True,
        makes_task=True,
        affects=_affects,
        checks=_checks,
    ),
    Syscall(
        "clone3",
        {Abi.X86_64: 435, Abi.I386: 435},
        (("cl_args", s.address), ("size", s.length)),
        lambda a: Clone3(a[0], a[1]),
        returns=Returns.NUMBER,
        feature_test=True,
        makes_task=True,
        affects=_affects,
        checks=_clone3_checks,
    ),
)
