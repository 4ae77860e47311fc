"""io_setup and io_destroy (fs/aio.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["IoDestroy", "IoSetup"]


class IoSetup(NamedTuple):
    """io_setup(2). `context_address`: where the context is stored."""

    nr_events: int
    context_address: int

    @property
    def name(self) -> str:
        return "io_setup"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


class IoDestroy(NamedTuple):
    """io_destroy(2). A context is the address of its ring."""

    context: int

    @property
    def name(self) -> str:
        return "io_destroy"

    @property
    def start(self) -> int:
        return self.context

    @property
    def length(self) -> int:
        return 0
