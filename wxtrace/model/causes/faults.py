"""What a fatal signal says about memory (arch/x86/mm/fault.c, siginfo of sigaction(2))."""

from __future__ import annotations

import signal
from typing import Dict, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, PROVED, developer, in_words, seen
from wxtrace.model.causes.fault_place import NOWHERE, FaultPlace
from wxtrace.model.event import Diagnosis
from wxtrace.model.facts import SignalStop
from wxtrace.model.region import Piece

__all__ = ["FAULT_SIGNALS", "describe_fault", "signal_name"]

FAULT_SIGNALS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS})
_MAPERR, _ACCERR, _PKUERR, _CPERR, _SI_KERNEL = 1, 2, 4, 10, 0x80
_SI_USER, _SYS_USER_DISPATCH = 0, 2
"""Codes of zero and below come from kill, tgkill or sigqueue, never from the processor (sigaction(2))."""
_OTHER_SIGNALS: Dict[int, str] = {signal.SIGILL: "instruction", signal.SIGFPE: "arithmetic"}
_CERTAIN = frozenset({"fault.nx", "fault.unmapped", "fault.pkey", "fault.bus"})

_WHAT = {
    "heap": "heap memory",
    "anon": "anonymous memory",
    "stack": "the stack",
    "thread-stack": "a thread stack",
    "dev-zero": "memory mapped from /dev/zero",
}


def signal_name(number: int) -> str:
    """SIGSEGV for 11; SIGRTMIN+3 for 37."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "SIGRTMIN+%d" % (number - 34) if number > 34 else "SIG%d" % number


def _memory(piece: Optional[Piece]) -> str:
    if piece is None:
        return "memory that is not mapped"
    provenance = piece.region.provenance
    return _WHAT.get(provenance, "%s memory" % provenance)


def describe_fault(
    stop: SignalStop,
    piece: Optional[Piece],
    refused: Optional[int],
    asked_there: bool = True,
    place: FaultPlace = NOWHERE,
    faked: bool = False,
) -> Diagnosis:
    """Why the program stopped here; `refused` is the event whose refusal stands behind it: for this very memory
    (`asked_there`), or right before. `faked`: a filter told the program that the call had worked. `place` is what
    the map knows about the address."""
    name = signal_name(stop.signo)
    where = "%#x" % stop.addr if stop.addr is not None else "an unknown address"
    evidence = [
        seen("%s, si_code %d, si_addr %s, instruction pointer %#x" % (name, stop.code, where, stop.ip), "siginfo")
    ]
    if piece is not None:
        evidence.append(
            seen("%#x-%#x %s, %s" % (piece.start, piece.end, piece.perms, piece.region.provenance), "the region map")
        )
    evidence += place.evidence
    cause, case = _cause(stop, piece)
    if cause == "fault.write" and place.guard:
        cause = "fault.guard"
    words: Dict[str, object] = {
        "signal": name,
        "where": where,
        "memory": _memory(piece),
        "perms": piece.perms if piece is not None else "unmapped",
        "sender": "process %d" % stop.sender if stop.sender else "a process that cannot be named from here",
    }
    summary, fixes = in_words(cause, case, **words)
    summary += place.words
    if refused is not None:
        said = (
            "; event %d had asked for it and did not get it" if asked_there else "; event %d was refused right before"
        )
        summary += said % refused
        fixes = ()
        if faked:
            text = (
                "The call reported success, so the program could not know: what has to change is the filter (event %d)."
            )
            fixes = (developer(text % refused),)
        elif stop.signo != signal.SIGSYS:
            # SIGSYS is the filter's own answer to the call, told with it.
            fixes = (developer("Check the result of that call, and do not use the memory as if it had worked."),)
    elif cause == "fault.nx" and place.was_executable:
        fixes = (developer("Jump there only while it is executable: another thread may be writing to it meanwhile."),)
    elif cause == "fault.nx":
        summary += "; nothing was refused, because no call ever asked for PROT_EXEC there"
    return Diagnosis(cause, None, PROVED if cause in _CERTAIN else CONSISTENT, summary, tuple(evidence), fixes)


def _cause(stop: SignalStop, piece: Optional[Piece]) -> Tuple[str, str]:
    """The id and which of its cases."""
    if stop.code <= _SI_USER:
        return "fault.other", "sent"
    if stop.signo == signal.SIGBUS:
        return "fault.bus", ""
    if stop.signo != signal.SIGSEGV:
        dispatched = stop.signo == signal.SIGSYS and stop.code == _SYS_USER_DISPATCH
        return "fault.other", "dispatch" if dispatched else _OTHER_SIGNALS.get(stop.signo, "")
    if stop.code == _PKUERR:
        return "fault.pkey", ""
    if stop.code == _MAPERR:
        return ("fault.unmapped", "") if piece is None else ("fault.guard", "")
    if stop.code == _ACCERR:
        fetch = stop.addr is not None and stop.addr == stop.ip
        return ("fault.nx", "") if fetch and not _executable(piece) else ("fault.write", "")
    return "fault.other", {_CPERR: "shadow-stack", _SI_KERNEL: "no-address"}.get(stop.code, "")


def _executable(piece: Optional[Piece]) -> bool:
    return piece is not None and bool(piece.prot & f.PROT_EXEC)
