"""personality (kernel/exec_domain.c): READ_IMPLIES_EXEC changes what mmap and mprotect do."""

from __future__ import annotations

from typing import NamedTuple

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.row import Returns, Syscall, unsigned32

__all__ = ["ASK", "ROWS", "Personality"]

ASK = 0xFFFFFFFF
"""The persona that changes nothing (personality(2))."""


class Personality(NamedTuple):
    """personality(2)."""

    persona: int

    @property
    def name(self) -> str:
        return "personality"

    @property
    def start(self) -> int:
        return 0

    @property
    def length(self) -> int:
        return 0


def _persona(value: int) -> str:
    value = unsigned32(value)
    if value == ASK:
        return hex(ASK)
    base, bits = value & 0xFFFF, value & ~0xFFFF
    name = "PER_LINUX" if base == 0 else hex(base)
    return name if not bits else "%s|%s" % (name, f.named_bits(bits, f.PERSONALITY))


ROWS = (
    Syscall(
        "personality",
        {Abi.X86_64: 135, Abi.I386: 136},
        (("persona", _persona),),
        lambda a: Personality(unsigned32(a[0])),
        returns=Returns.NUMBER,
        shown=lambda a: True,
    ),
)
