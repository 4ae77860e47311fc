"""Which calls stop a task, and what the tracer must do at them beside writing them down."""

from __future__ import annotations

from typing import Optional

from wxtrace.live.arch import PAGE_SIZE
from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.row import Range, Words, unsigned32
from wxtrace.model.syscalls.table import BY_NUMBER, NUMBERS

__all__ = ["affected_range", "bound_siblings", "installs_filter", "is_traced", "name_of"]

_PRCTL = tuple(NUMBERS[abi]["prctl"] for abi in Abi)
_SECCOMP = tuple(NUMBERS[abi]["seccomp"] for abi in Abi)


def name_of(abi: int, number: int) -> str:
    """The name of a traced call."""
    return BY_NUMBER[abi][number].name


def is_traced(abi: Optional[int], number: int, args: Words) -> bool:
    """Whether our filter answers RET_TRACE to this call: the same rule, for tasks that stop at every call."""
    row = BY_NUMBER[abi].get(number) if abi is not None else None
    if row is None:
        return False
    return not row.when or args[0] & row.when_mask in row.when


def affected_range(abi: int, number: int, args: Words) -> Optional[Range]:
    """Where this call has to wait for others in its address space, and they for it; None: nowhere."""
    return BY_NUMBER[abi][number].affects(args, PAGE_SIZE)


def bound_siblings(abi: int, number: int, args: Words, result: int) -> bool:
    """Whether a call came back with its filter on all threads; a positive result may be a thread that was in the way.

    With SECCOMP_FILTER_FLAG_NEW_LISTENER it is the descriptor of the listener (seccomp(2)).
    """
    if not installs_filter(abi, number, args):
        return False
    return result == 0 or (result > 0 and bool(args[1] & f.SECCOMP_FILTER_FLAG_NEW_LISTENER))


def installs_filter(abi: int, number: int, args: Words) -> Optional[bool]:
    """None when the call sets no seccomp mode; else whether it also binds the sibling threads (TSYNC)."""
    if number == _PRCTL[abi] and unsigned32(args[0]) == f.PR_SET_SECCOMP:
        return False
    if number == _SECCOMP[abi] and unsigned32(args[0]) <= f.SECCOMP_SET_MODE_FILTER:
        return bool(unsigned32(args[0]) and args[1] & f.SECCOMP_FILTER_FLAG_TSYNC)
    return None
