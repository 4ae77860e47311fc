"""What a fault refers to: the memory at the address, who made it, what it was allowed earlier, and famous addresses."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.evidence import seen, size_text
from wxtrace.model.event import Evidence
from wxtrace.model.facts import SignalStop
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls.table import call_name

__all__ = ["NOWHERE", "FaultPlace", "place_of_fault"]

_MAP = "the region map"
_CALLS = "the calls since it was made"
_NULL_PAGES = 1 << 16
"""vm.mmap_min_addr as distributions set it: a null pointer, or a field of a structure at one."""
_CRASHES = frozenset({0xBBADBEEF, 0xFBADBEEF})
"""WTF's CRASH() (WebKit Source/WTF/wtf/Assertions.h)."""
_MAP_FAILED = (1 << 64) - 1
_ERROR_NUMBERS = (1 << 64) - 4095
"""System calls answer -4095 to -1 for an error (include/linux/err.h:IS_ERR_VALUE); glibc's mmap turns that into -1."""
_NEAR = 1 << 16
_MAPERR = 1
_STACK_GAP = 1 << 20
"""stack_guard_gap, 256 pages: as close to the next mapping no stack may grow (mm/mmap.c)."""


class FaultPlace(NamedTuple):
    """`words` end the sentence about the fault. `guard`: the address is behind the end of a thread's stack.

    `result_used`: the address is what a refused call returned.
    """

    words: str = ""
    evidence: Tuple[Evidence, ...] = ()
    guard: bool = False
    was_executable: bool = False
    result_used: bool = False


NOWHERE = FaultPlace()


def place_of_fault(stop: SignalStop, space: AddressSpace, piece: Optional[Piece]) -> FaultPlace:
    """Everything the map knows about the address of a fault."""
    if stop.addr is None:
        return FaultPlace()
    if piece is None:
        jumped = "; the program jumped there" if stop.addr == stop.ip else ""
        place = _unmapped(stop.addr, stop.sp, space)
        return place._replace(words=place.words + jumped)
    evidence = [seen("it " + _made(piece), _MAP), *_earlier(piece)]
    marked = stop.code == _MAPERR and piece.region.provenance == "thread-stack"
    if marked or (piece.prot == 0 and _ends_a_stack(space, piece)):
        words = ", behind the end of a thread's stack: it overflowed"
        return FaultPlace(words, tuple(evidence), guard=True)
    was_executable = bool(piece.earlier & f.PROT_EXEC) and not piece.prot & f.PROT_EXEC
    words = ""
    if was_executable and stop.addr == stop.ip:
        words = "; it was executable earlier, and that was taken away"
    elif piece.earlier & f.PROT_WRITE and not piece.prot & f.PROT_WRITE and stop.addr != stop.ip:
        words = "; it was writable earlier, and that was taken away"
    return FaultPlace(words, tuple(evidence), was_executable=was_executable)


def _made(piece: Piece) -> str:
    region = piece.region
    if region.created_by is None:
        how = "was found in the map" if region.inferred else "is there since the program was loaded"
    elif region.made_by is not None:
        how = "was made by event %d (%s)" % (region.created_by, call_name(region.made_by.abi, region.made_by.number))
    else:
        how = "was made by event %d" % region.created_by
    what = "%s of %s memory" % (size_text(region.end - region.start), region.provenance)
    path = " (%s)" % region.backing.path if region.backing is not None and region.backing.path else ""
    return "belongs to %s%s that %s" % (what, path, how)


def _earlier(piece: Piece) -> List[Evidence]:
    """What these pages were allowed before."""
    if piece.prot & f.PROT_EXEC:
        return []
    if piece.earlier & f.PROT_EXEC:
        return [seen("it had been executable before", _CALLS)]
    return [] if piece.region.inferred else [seen("it was never executable", _CALLS)]


def _ends_a_stack(space: AddressSpace, piece: Piece) -> bool:
    """The lowest pages of what became a thread's stack are kept PROT_NONE (glibc nptl/allocatestack.c, musl); from
    glibc 2.42 on they are marked by MADV_GUARD_INSTALL instead, and the kernel says that nothing is mapped there."""
    above = space.at(piece.end)
    return piece.region.provenance == "thread-stack" and above is not None and above.region.id == piece.region.id


def _unmapped(address: int, sp: int, space: AddressSpace) -> FaultPlace:
    if address == 0:
        return FaultPlace(": a null pointer, or a crash on purpose, for which some programs write to address 0")
    if address < _NULL_PAGES:
        return FaultPlace(": a pointer that was computed from a null pointer")
    if address in _CRASHES:
        return FaultPlace(": the address that WebKit and its relatives write to when they crash on purpose")
    if address == _MAP_FAILED:
        return FaultPlace(": that is MAP_FAILED, what a refused mmap returns", result_used=True)
    if address >= _ERROR_NUMBERS:
        words = ": an error number used as an address, or one computed from MAP_FAILED or a null pointer"
        return FaultPlace(words, result_used=True)
    below, above = space.neighbours(address, address)
    if above is not None and above.region.grows_down and abs(address - sp) <= _STACK_GAP:
        evidence = seen("the stack reaches down to %#x, the stack pointer is %#x" % (above.start, sp), _MAP)
        return FaultPlace(": the stack may not grow to there (RLIMIT_STACK, or another mapping)", (evidence,))
    if below is not None and address - below.end < _NEAR:
        fact = "%#x-%#x, which ends %s before it, %s"
        words = fact % (below.start, below.end, size_text(address - below.end), _made(below))
        return FaultPlace("", (seen(words, _MAP),))
    return FaultPlace()
