"""What a fatal signal says about memory (arch/x86/mm/fault.c, siginfo of sigaction(2))."""

from __future__ import annotations

import signal
from typing import Dict, Optional, Tuple

from wxtrace.frozen import Frozen
from wxtrace.model import flags as f
from wxtrace.model.causes.entry import Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.fault.place import NOWHERE, FaultPlace
from wxtrace.model.enumerations import Confidence, Outcome
from wxtrace.model.event import Diagnosis, Fix
from wxtrace.model.facts import SignalStop
from wxtrace.model.region import Piece

__all__ = ["FAULTS", "FAULT_SIGNALS", "Fault", "explain", "signal_name"]

FAULT_SIGNALS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS})
_MAPERR, _ACCERR, _PKUERR, _CPERR, _SI_KERNEL = 1, 2, 4, 10, 0x80
_ADRALN, _ADRERR, _MCEERR_AR, _MCEERR_AO = 1, 2, 4, 5
_SI_USER, _SYS_USER_DISPATCH = 0, 2
"""Codes of zero and below come from kill, tgkill or sigqueue, never from the processor (sigaction(2))."""
_SIGINFO = (Need.SIGINFO,)
_X86 = "arch/x86/mm/fault.c"

_NX = Cause(
    "fault.nx",
    None,
    "The program jumped into memory that is mapped and not executable.",
    {"fault": ("SIGSEGV",)},
    _SIGINFO,
    "the program jumped into {memory} ({where}), which is not executable",
    (
        developer(
            "Allocate the code with mmap, write it, then make it executable with mprotect(PROT_READ|PROT_EXEC), "
            "and check both results."
        ),
    ),
    _X86 + ":access_error",
    example="jit_malloc",
    outcome=Outcome.FAILED,
)
_WRITE = Cause(
    "fault.write",
    None,
    "The program read or wrote memory whose protection does not allow it.",
    {"fault": ("SIGSEGV",)},
    _SIGINFO,
    "the access to {memory} at {where} is not allowed ({perms})",
    (),
    _X86 + ":access_error",
    outcome=Outcome.FAILED,
)
_UNMAPPED = Cause(
    "fault.unmapped",
    None,
    "The program touched an address where nothing is mapped.",
    {"fault": ("SIGSEGV",)},
    _SIGINFO,
    "nothing is mapped at {where}",
    (),
    _X86 + ":bad_area_nosemaphore",
    outcome=Outcome.FAILED,
)
_PKEY = Cause(
    "fault.pkey",
    None,
    "A protection key forbids the access (on x86 keys never stop execution).",
    {"fault": ("SIGSEGV",)},
    _SIGINFO,
    "a protection key forbids the access to {where}",
    (),
    _X86 + ":bad_area_access_error",
    outcome=Outcome.FAILED,
)
_GUARD = Cause(
    "fault.guard",
    None,
    "A guard page was touched: memory is mapped there, and marked to catch overflows (MADV_GUARD_INSTALL).",
    {"fault": ("SIGSEGV",)},
    (Need.SIGINFO, Need.MAPPINGS),
    "a guard page was touched at {where}",
    (),
    "mm/memory.c:handle_pte_marker",
    outcome=Outcome.FAILED,
)
_BUS = Cause(
    "fault.bus",
    None,
    "The file behind the mapping has no page there: it was cut, or its disk failed.",
    {"fault": ("SIGBUS",)},
    _SIGINFO,
    "the file behind the mapping has no page at {where}",
    (),
    "mm/filemap.c:filemap_fault",
    outcome=Outcome.FAILED,
)
_OTHER = Cause(
    "fault.other",
    None,
    "Another fatal signal of the processor or the kernel.",
    {"fault": ("SIGSEGV", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS", "SIGBUS")},
    _SIGINFO,
    "{signal} at {where}",
    (),
    "sigaction(2)",
    {
        "nowhere": Case("{signal}, which names no address"),
        "no-address": Case(
            "the program used an address that no memory can have, or an instruction that only the kernel may (hlt, "
            "with which some libraries abort)"
        ),
        "shadow-stack": Case("a return address was changed on the stack: the shadow stack holds another one"),
        "sent": Case("{sender} sent {signal} with kill or the like: no access to memory stands behind it"),
        "raised": Case("the program sent {signal} to itself (raise, abort or the like)"),
        "breakpoint": Case("the program stopped itself with int3, a breakpoint in its own code"),
        "instruction": Case(
            "the processor does not know the instruction at {where}, or may not run it; a program that stops itself "
            "with ud2 (__builtin_trap, a failed assertion) ends like this, too"
        ),
        "arithmetic": Case("the instruction at {where} cannot be computed: a division by zero, for instance"),
        "alignment": Case("the access at {where} is not aligned, and the program asked for that to be checked"),
        "poisoned": Case("the machine reports that the memory at {where} is damaged"),
        "huge": Case("no huge page was free for the memory at {where}"),
        "dispatch": Case("the program had its own system calls turned into SIGSYS (syscall user dispatch)"),
    },
    outcome=Outcome.FAILED,
)
FAULTS = (_NX, _WRITE, _UNMAPPED, _PKEY, _GUARD, _BUS, _OTHER)
_CERTAIN = (_NX, _UNMAPPED, _PKEY, _BUS)

_WHAT = {
    "heap": "heap memory",
    "anon": "anonymous memory",
    "stack": "the stack",
    "thread-stack": "a thread stack",
    "dev-zero": "memory mapped from /dev/zero",
}


class Fault(Frozen):
    """One fatal signal of process `pid`, with the memory at its address and what the map knows about it.

    `refused`: the event whose refusal stands behind it, for this very memory (`asked_there`) or right before; `faked`:
    a filter had told the program that this call had worked.
    """

    stop: SignalStop
    pid: int
    piece: Optional[Piece] = None
    place: FaultPlace = NOWHERE
    refused: Optional[int] = None
    asked_there: bool = True
    faked: bool = False


def signal_name(number: int) -> str:
    """SIGSEGV for 11; SIGRTMIN+3 for 37."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "SIGRTMIN+%d" % (number - 34) if number > 34 else "SIG%d" % number


def explain(fault: Fault) -> Diagnosis:
    """Why the program stopped here."""
    stop, piece, place = fault.stop, fault.piece, fault.place
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
    cause, case = _cause(fault)
    words: Dict[str, object] = {
        "signal": name,
        "where": where,
        "memory": _memory(piece),
        "perms": piece.perms if piece is not None else "unmapped",
        "sender": "process %d" % stop.sender if stop.sender else "a process that cannot be named from here",
    }
    summary, fixes = cause.in_words(case, **words)
    summary += place.words
    if fault.refused is not None:
        there, before = "; event %d had asked for it and did not get it", "; event %d was refused right before"
        summary += (there if fault.asked_there else before) % fault.refused
        fixes = _fixes(fault, cause)
    elif cause is _NX and place.was_executable:
        fixes = (developer("Jump there only while it is executable: another thread may be writing to it meanwhile."),)
    elif cause is _NX:
        summary += "; nothing was refused, because no call ever asked for PROT_EXEC there"
    confidence = Confidence.PROVED if cause in _CERTAIN else Confidence.CONSISTENT
    return Diagnosis(cause.id, None, confidence, summary, tuple(evidence), fixes)


def _fixes(fault: Fault, cause: Cause) -> Tuple[Fix, ...]:
    """Where a refused call stands behind it: only memory that was used can be that call's."""
    if cause is _OTHER:
        return ()
    if fault.faked:
        text = "The call reported success, so the program could not know: what has to change is the filter (event %d)."
        return (developer(text % fault.refused),)
    if fault.asked_there or fault.place.result_used:
        return (developer("Check the result of that call, and do not use the memory as if it had worked."),)
    # It may have looked at the result, and crash on purpose.
    return (developer("If the program went on as if that call had worked, check its result."),)


def _memory(piece: Optional[Piece]) -> str:
    if piece is None:
        return "memory that is not in the region map"
    provenance = piece.region.provenance
    return _WHAT.get(provenance, "%s memory" % provenance)


def _cause(fault: Fault) -> Tuple[Cause, str]:
    """The entry and which of its cases."""
    stop, piece = fault.stop, fault.piece
    if stop.code <= _SI_USER:
        return _OTHER, "raised" if stop.sender == fault.pid else "sent"
    if stop.signo == signal.SIGBUS:
        return _bus(stop, piece)
    if stop.signo != signal.SIGSEGV:
        return _OTHER, _no_access(stop)
    if stop.code == _PKUERR:
        return _PKEY, ""
    if stop.code == _MAPERR:
        return (_UNMAPPED if piece is None else _GUARD), ""
    if stop.code == _ACCERR:
        if stop.addr is not None and stop.addr == stop.ip and not _executable(piece):
            return _NX, ""
        return (_GUARD if fault.place.guard else _WRITE), ""
    return _OTHER, {_CPERR: "shadow-stack", _SI_KERNEL: "no-address"}.get(stop.code, _somewhere(stop))


def _bus(stop: SignalStop, piece: Optional[Piece]) -> Tuple[Cause, str]:
    if stop.code == _ADRERR and piece is not None and piece.region.provenance == "hugetlb":
        return _OTHER, "huge"
    if stop.code == _ADRERR and piece is not None and piece.region.backing is not None:
        return _BUS, ""
    cases = {_ADRALN: "alignment", _MCEERR_AR: "poisoned", _MCEERR_AO: "poisoned", _SI_KERNEL: "no-address"}
    return _OTHER, cases.get(stop.code, _somewhere(stop))


def _no_access(stop: SignalStop) -> str:
    """Which case of `fault.other` a signal is that no access to memory has caused."""
    if stop.signo == signal.SIGTRAP and stop.code == _SI_KERNEL:
        return "breakpoint"
    if stop.signo == signal.SIGSYS and stop.code == _SYS_USER_DISPATCH:
        return "dispatch"
    cases: Dict[int, str] = {signal.SIGILL: "instruction", signal.SIGFPE: "arithmetic"}
    return cases.get(stop.signo, _somewhere(stop))


def _somewhere(stop: SignalStop) -> str:
    return "nowhere" if stop.addr is None else ""


def _executable(piece: Optional[Piece]) -> bool:
    return piece is not None and bool(piece.prot & f.PROT_EXEC)
