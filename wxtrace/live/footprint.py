"""Where a call changes the map of its space: two calls that change different pages come out the same in either order.

Only for the gate (gate.py), which holds a call back while one that it could meet is in the kernel.
"""

from __future__ import annotations

from typing import Tuple

from wxtrace.model import flags as f
from wxtrace.model.abi import CALL_NUMBERS, X86_64

__all__ = ["EVERYTHING", "Footprint", "footprint", "overlap"]

Footprint = Tuple[int, int]
"""[start, end) in bytes."""

EVERYTHING: Footprint = (0, 1 << 64)
_PROTECTS = frozenset(CALL_NUMBERS[X86_64][name] for name in ("mprotect", "pkey_mprotect"))
_GROWS = f.GROWSDOWN | f.GROWSUP
_PAGE = 4096


def footprint(abi: int, number: int, args: Tuple[int, ...]) -> Footprint:
    """Of one call that changes the map.

    Calls that take memory or give it back may meet any other: the kernel chooses where, and what a limit has left
    depends on all of them.
    """
    end = args[0] + args[1] + _PAGE - 1 & -_PAGE
    if abi != X86_64 or number not in _PROTECTS or args[2] & _GROWS or end > 1 << 64:
        return EVERYTHING
    return args[0], end


def overlap(one: Footprint, other: Footprint) -> bool:
    """Whether the order of these two could matter."""
    return one[0] < other[1] and other[0] < one[1]
