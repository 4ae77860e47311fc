"""fork, vfork, clone and clone3 (kernel/fork.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Clone", "Clone3", "Fork", "Vfork"]


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
