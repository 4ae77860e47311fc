"""Which calls stop a task, and what the tracer must do at them beside writing them down."""

from __future__ import annotations

from typing import Dict, FrozenSet, Optional, Tuple

from wxtrace.live.seccomp import ARGUMENT_CONDITIONS
from wxtrace.model import flags as f
from wxtrace.model.abi import CALL_NUMBERS

__all__ = ["TRACED", "bound_siblings", "installs_filter", "is_ordered", "is_traced", "name_of"]

_SECCOMP_SET_MODE_FILTER, _PR_SET_SECCOMP, _TSYNC = 1, 22, 1

_ORDERED_NAMES = frozenset(
    {
        "mmap",
        "mmap2",
        "munmap",
        "mprotect",
        "pkey_mprotect",
        "mremap",
        "brk",
        "shmat",
        "shmdt",
        "ipc",
        "remap_file_pages",
        "map_shadow_stack",
        "io_setup",
        "io_destroy",
        "mseal",
        "madvise",
        "fork",
        "vfork",
        "clone",
        "clone3",
    }
)

TRACED: Tuple[Dict[int, Optional[FrozenSet[int]]], ...] = tuple(
    {
        number: frozenset(ARGUMENT_CONDITIONS[name]) if name in ARGUMENT_CONDITIONS else None
        for name, number in table.items()
    }
    for table in CALL_NUMBERS
)
"""Per ABI: traced number -> None, or the values of argument 0 for which it is traced."""

_ORDERED: Tuple[FrozenSet[int], ...] = tuple(
    frozenset(number for name, number in table.items() if name in _ORDERED_NAMES) for table in CALL_NUMBERS
)
"""Per ABI: calls that must not overlap in one address space, or the map would be written in the wrong order."""
_MADVISE = tuple(table["madvise"] for table in CALL_NUMBERS)
_FORK_ADVICE = frozenset({f.ADVICE_DONTFORK, f.ADVICE_DOFORK})
"""The advice that the map remembers; all other may overlap with anything."""

_NAMES = tuple({number: name for name, number in table.items()} for table in CALL_NUMBERS)


def name_of(abi: int, number: int) -> str:
    """The name of a traced call."""
    return _NAMES[abi][number]


def is_traced(abi: Optional[int], number: int, args: Tuple[int, ...]) -> bool:
    """Whether our filter answers RET_TRACE to this call: the same rule, for tasks that stop at every call."""
    if abi is None:
        return False
    conditions = TRACED[abi].get(number, _UNKNOWN)
    if conditions is None:
        return True
    value = args[0] & 0xFFFFFFFF
    return (value & 0xFFFF if name_of(abi, number) == "ipc" else value) in conditions if conditions else False


_UNKNOWN: FrozenSet[int] = frozenset()


def is_ordered(abi: int, number: int, args: Tuple[int, ...]) -> bool:
    """Whether this call has to wait for others in its address space, and they for it."""
    if number not in _ORDERED[abi]:
        return False
    return number != _MADVISE[abi] or args[2] & 0xFFFFFFFF in _FORK_ADVICE


def bound_siblings(abi: int, number: int, args: Tuple[int, ...], result: int) -> bool:
    """Whether a call came back with its filter on all threads; a positive result may be a thread that was in the way.

    With SECCOMP_FILTER_FLAG_NEW_LISTENER it is the descriptor of the listener (seccomp(2)).
    """
    if not installs_filter(abi, number, args):
        return False
    return result == 0 or (result > 0 and bool(args[1] & f.SECCOMP_FILTER_FLAG_NEW_LISTENER))


def installs_filter(abi: int, number: int, args: Tuple[int, ...]) -> Optional[bool]:
    """None when the call sets no seccomp mode; else whether it also binds the sibling threads (TSYNC)."""
    name = name_of(abi, number)
    if name == "prctl" and args[0] & 0xFFFFFFFF == _PR_SET_SECCOMP:
        return False
    if name == "seccomp" and args[0] & 0xFFFFFFFF <= _SECCOMP_SET_MODE_FILTER:
        return bool(args[0] & 0xFFFFFFFF and args[1] & _TSYNC)
    return None
