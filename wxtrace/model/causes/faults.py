"""What a fatal signal says about memory (arch/x86/mm/fault.c, siginfo of sigaction(2))."""

from __future__ import annotations

import signal
from typing import Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, PROVED, developer, seen
from wxtrace.model.event import Diagnosis, Fix
from wxtrace.model.facts import SignalStop
from wxtrace.model.region import Piece

__all__ = ["FAULT_SIGNALS", "describe_fault"]

FAULT_SIGNALS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS})
_MAPERR, _ACCERR, _PKUERR = 1, 2, 4

_WHAT = {
    "heap": "heap memory",
    "anon": "anonymous memory",
    "stack": "the stack",
    "thread-stack": "a thread stack",
    "dev-zero": "memory mapped from /dev/zero",
}


def _memory(piece: Optional[Piece]) -> str:
    if piece is None:
        return "memory that is not mapped"
    provenance = piece.region.provenance
    return _WHAT.get(provenance, "%s memory" % provenance)


def describe_fault(
    stop: SignalStop, piece: Optional[Piece], refused: Optional[int], asked_there: bool = True
) -> Diagnosis:
    """Why the program stopped here; `refused` is the event whose refusal stands behind it: for this very memory
    (`asked_there`), or right before."""
    name = signal.Signals(stop.signo).name
    where = "%#x" % stop.addr if stop.addr is not None else "an unknown address"
    evidence = [
        seen("%s, si_code %d, si_addr %s, instruction pointer %#x" % (name, stop.code, where, stop.ip), "siginfo")
    ]
    if piece is not None:
        evidence.append(
            seen("%#x-%#x %s, %s" % (piece.start, piece.end, piece.perms, piece.region.provenance), "the region map")
        )
    fetch = stop.addr is not None and stop.addr == stop.ip
    cause, summary = "fault.other", "%s at %s" % (name, where)
    if stop.signo == signal.SIGBUS:
        cause, summary = "fault.bus", "the file behind the mapping has no page at %s" % where
    elif stop.signo == signal.SIGSEGV and stop.code == _PKUERR:
        cause, summary = "fault.pkey", "a protection key forbids the access to %s" % where
    elif stop.signo == signal.SIGSEGV and stop.code == _MAPERR:
        cause, summary = "fault.unmapped", "nothing is mapped at %s" % where
        if piece is not None:
            cause, summary = "fault.guard", "a guard page was touched at %s" % where
    elif stop.signo == signal.SIGSEGV and stop.code == _ACCERR and fetch and not _executable(piece):
        cause = "fault.nx"
        summary = "the program jumped into %s (%s), which is not executable" % (_memory(piece), where)
    elif stop.signo == signal.SIGSEGV and stop.code == _ACCERR:
        cause, summary = (
            "fault.write",
            "the access to %s at %s is not allowed (%s)"
            % (
                _memory(piece),
                where,
                piece.perms if piece is not None else "unmapped",
            ),
        )
    fixes: Tuple[Fix, ...] = ()
    if refused is not None:
        said = (
            "; event %d had asked for it and did not get it" if asked_there else "; event %d was refused right before"
        )
        summary += said % refused
        if stop.signo != signal.SIGSYS:
            # SIGSYS is the filter's own answer to the call, told with it.
            fixes = (developer("Check the result of that call, and do not use the memory as if it had worked."),)
    elif cause == "fault.nx":
        summary += "; nothing was refused, because no call ever asked for PROT_EXEC there"
        fixes = (
            developer(
                "Allocate the code with mmap, write it, then make it executable with mprotect(PROT_READ|PROT_EXEC), "
                "and check both results."
            ),
        )
    certain = cause in ("fault.nx", "fault.unmapped", "fault.pkey", "fault.bus")
    return Diagnosis(cause, None, PROVED if certain else CONSISTENT, summary, tuple(evidence), fixes)


def _executable(piece: Optional[Piece]) -> bool:
    return piece is not None and bool(piece.prot & f.PROT_EXEC)
