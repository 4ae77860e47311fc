"""What is known of one system call: a row, which filter, hot path, order of calls, map and rules work from.

A row is complete where the call is (each call's file); nothing about a call stands elsewhere.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Protocol, Sequence, Tuple

from wxtrace.frozen import Frozen
from wxtrace.model.enumerations import Abi, Provenance

if TYPE_CHECKING:
    from wxtrace.decoders.procmaps import Vma
    from wxtrace.model.causes.order import Order
    from wxtrace.model.event import Touched
    from wxtrace.model.region import Piece
    from wxtrace.model.space import AddressSpace
    from wxtrace.model.syscalls.effect import EffectContext

__all__ = [
    "EVERYTHING",
    "Aim",
    "CallRequest",
    "Evidence",
    "Other",
    "Range",
    "Returns",
    "Spelling",
    "Syscall",
    "Words",
    "looks_at_own_range",
    "page_align_up",
    "signed32",
    "unsigned32",
]

Words = Tuple[int, ...]
"""Six argument registers, zero-extended on i386."""
Range = Tuple[int, int]
"""[start, end) in bytes."""
EVERYTHING: Range = (0, 1 << 64)
Spelling = Callable[[int], Any]


class CallRequest(Protocol):
    """`start` and `length` in bytes name the range that the call speaks of; both 0 where it speaks of none."""

    @property
    def name(self) -> str: ...

    @property
    def start(self) -> int: ...

    @property
    def length(self) -> int: ...


class Other:
    """A call that says nothing about memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.start = 0
        self.length = 0


class Returns(Enum):
    """What the result of a success is."""

    STATUS = "0"
    ADDRESS = "an address, shown in hex"
    DESCRIPTOR = "a descriptor"
    NUMBER = "a number"


class Evidence(Enum):
    """What has to be read for a failed call of a kind, beside what is read for every one."""

    DESCRIPTOR = "the descriptor it names"
    MODULES = "the security modules: they have a hook in it (include/linux/lsm_hook_defs.h)"
    ROOM = "the gaps between the mappings"
    CPU = "what the processor can"
    NAMESPACES = "whether settings of the machine are those of the program's namespaces"
    OPEN_FILES = "the number of open descriptors"
    SEGMENT = "the shared memory segment"
    MDWE = "MDWE, asked in the stopped thread"
    LIBRARY = "the library that a loader works on"


class Aim(Frozen):
    """What a failed call aimed at: its own range, another that it would have replaced, and what it asked for.

    `unmapped_too`: worth telling where nothing is mapped, since the call was to make something there.
    """

    own: Range
    replaced: Range = (0, 0)
    asked: Optional[str] = None
    unmapped_too: Optional[Provenance] = None
    # Which of the pieces in its own range it would have changed; None: all.
    only: Optional[Callable[[Piece], bool]] = None


def _no_ranges(request: Any, page: int) -> List[Range]:
    return []


def _never(args: Words) -> bool:
    return False


def _unordered(args: Words, page: int) -> Optional[Range]:
    return None


def _no_range(request: Any, result: int, page: int) -> List[Range]:
    return []


def _own_range(request: Any, space: AddressSpace, page: int) -> Aim:
    return Aim((request.start, request.start + page_align_up(request.length, page)))


def _nowhere(request: Any, brk: Optional[int]) -> List[Range]:
    return []


def looks_at_own_range(request: CallRequest, brk: Optional[int]) -> List[Range]:
    """At least the mapping at its start."""
    return [(request.start, request.start + max(request.length, 1))]


def _no_checks() -> Order:
    return ()


def page_align_up(length: int, page: int) -> int:
    """Round up to whole pages, as PAGE_ALIGN does."""
    return (length + page - 1) & ~(page - 1)


class Syscall(Frozen):
    """One system call.

    `numbers`: by ABI (arch/x86/entry/syscalls/). `arguments`: each name with how a person reads its value.
    `request`: its typed request. `when`: the values of `argument 0 & when_mask` for which it is traced; none: always.
    """

    name: str
    numbers: Mapping[Abi, int]
    arguments: Tuple[Tuple[str, Spelling], ...]
    request: Callable[[Words], CallRequest]
    when: Tuple[int, ...] = ()
    when_mask: int = 0xFFFFFFFF
    # How all arguments are spelt together, where one says what the others mean.
    spell: Optional[Callable[[Words], Dict[str, Any]]] = None

    # What its result means.
    returns: Returns = Returns.STATUS
    # It may do nothing and give no error: brk answers with the old break, shmdt with 0.
    silent: bool = False
    # Its failure takes no memory or protection away from anybody: programs call it to see what there is.
    feature_test: bool = False
    # No program asks whether it is there: ENOSYS is a filter's way to refuse it.
    in_every_kernel: bool = False
    # The first Linux with it, where that is later than the oldest that is supported.
    since: Tuple[int, int] = (0, 0)
    # Its success is told by the new task itself.
    makes_task: bool = False

    # The map of the address space.
    # The range over which its order matters; None: it may overlap with any other call.
    affects: Callable[[Words, int], Optional[Range]] = _unordered
    # Whether the arguments alone tell what it does when it succeeds, so that the tracer need not look.
    plain: Callable[[Words], bool] = _never
    # Whether what it mapped is read from /proc/PID/maps after it.
    shown: Callable[[Words], bool] = _never
    # Whether it asks for a protection, to which READ_IMPLIES_EXEC adds execution: then what it got is read after it.
    implies_exec: bool = False
    # Whether /proc/PID/maps may read otherwise after it, and where, as far as that can be told.
    changes_map: bool = False
    changed: Callable[[Any, int, int], List[Range]] = _no_range
    # It can cut a mapping in two, and so be refused by vm.max_map_count.
    splits: bool = False
    effect: Optional[Callable[[AddressSpace, Any, int, EffectContext], List[Touched]]] = None

    # When it fails.
    aims: Callable[[Any, AddressSpace, int], Aim] = _own_range
    # What it may have changed all the same: to be read again, or known from the mappings of its range and its number.
    reread: Callable[[Any, int], List[Range]] = _no_ranges
    remains: Optional[Callable[[AddressSpace, Any, Sequence[Vma], int, int], None]] = None
    evidence: Sequence[Evidence] = ()
    # Where the rules look for mappings, given the end of the heap; [] for a call that names none.
    looks_at: Callable[[Any, Optional[int]], List[Range]] = _nowhere
    # The kernel's order of checks; imported when a call was refused.
    checks: Callable[[], Order] = _no_checks


def unsigned32(value: int) -> int:
    """An argument that the kernel takes as unsigned int."""
    return value & 0xFFFFFFFF


def signed32(value: int) -> int:
    """An argument that the kernel takes as int."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value
