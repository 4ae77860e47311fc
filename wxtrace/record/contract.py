"""What each record of a timeline has to look like, and the record of the model that it becomes.

The contract is timeline-1.schema.json. Members stand in the order in which the function takes them that makes the
record; what the schema allows to be left out is `optional`.
"""

from __future__ import annotations

import errno
import re
import signal
from typing import Any, Dict, List, Optional, Tuple

from wxtrace.model import facts
from wxtrace.model.enumerations import Abi, Aftermath, Confidence, Outcome
from wxtrace.model.event import Attempt, Diagnosis, Ending, Event, Evidence, Fix, Partial, Touched
from wxtrace.model.facts import Host, Image
from wxtrace.model.flags import prot_of_letters
from wxtrace.model.frames import Frame
from wxtrace.model.processes import Process, SpaceState
from wxtrace.model.region import Backing, Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls.table import NUMBERS
from wxtrace.printable import printable
from wxtrace.record.validators import (
    Fault,
    boolean,
    count,
    each,
    hexadecimal,
    mapping,
    maybe,
    member,
    number,
    one_of,
    optional,
    record,
    scalar,
    text,
)

__all__ = [
    "COMMAND",
    "EVENT",
    "HOST",
    "NOTE",
    "PROCESS",
    "REGION",
    "SPACE",
    "SUMMARY",
    "TOOL",
    "VERIFY",
    "Learnt",
]

_SHARED = frozenset({"anon-shared", "file-shared", "memfd", "shm"})
"""Always shared: all that a timeline tells which was written before regions had `shared`."""
_GROWING = "stack"
_is_errno = re.compile(r"E[A-Z0-9]{1,20}").fullmatch
_is_cause = re.compile(r"[a-z0-9.-]{1,60}").fullmatch


def _process(
    proc: int,
    pid: int,
    parent: Optional[int],
    spaces: List[int],
    images: List[Tuple[int, Image]],
    threads: List[int],
    exit: Optional[Tuple[Optional[int], Optional[int]]],
    mode: str,
    name: str,
) -> Tuple[int, Process]:
    process = Process(0, pid, parent)
    process.spaces, process.images, process.threads = spaces, images, threads
    process.mode, process.name = mode, name
    if exit is not None:
        process.ended = True
        process.exit_code, process.exit_signal = exit
    return proc, process


def _exit(code: Optional[int], name: Optional[str]) -> Tuple[Optional[int], Optional[int]]:
    if (code is None) == (name is None):
        raise Fault("either a code or a signal")
    return code, None if name is None else _signal_number(name)


def _signal_number(name: str) -> int:
    word, plus, offset = name.partition("+")
    if plus and word == "SIGRTMIN" and offset.isdigit() and len(offset) <= 2:
        return signal.SIGRTMIN + int(offset)
    known = signal.Signals.__members__.get(word) if not plus else None
    if known is None:
        raise Fault("the name of a signal")
    return int(known)


def _space(id: int, parent: Optional[int], forked_at: Optional[int]) -> SpaceState:
    return SpaceState(AddressSpace(id, Region), parent, forked_at)


def _region(
    id: int,
    space: int,
    start: int,
    end: int,
    provenance: str,
    backing: Optional[Backing],
    created_by: Optional[int],
    inferred: bool,
    shared: Optional[bool],
    found_prot: Optional[str],
    origin: Optional[str],
) -> Tuple[Region, Optional[str]]:
    if start >= end:
        raise Fault("an address above the start", ".end")
    region = Region(
        id=id,
        space=space,
        start=start,
        end=end,
        provenance=provenance,
        backing=backing,
        created_by=created_by,
        inferred=inferred,
        shared=provenance in _SHARED if shared is None else shared,
        grows_down=provenance == _GROWING,
        found_prot=None if found_prot is None else prot_of_letters(found_prot),
    )
    return region, origin


def _touched(
    region: Optional[int],
    start: int,
    end: int,
    before: Optional[str],
    asked: Optional[str],
    after: Optional[str],
    provenance: Optional[str],
    sealed_by: Optional[int],
) -> Touched:
    if start > end:
        raise Fault("an address that is not below the start", ".end")
    return Touched(region, start, end, before, asked, after, provenance, sealed_by)


Learnt = Tuple[Aftermath, List[int], Optional[List[Attempt]], Optional[Ending]]


def _event(
    n: int,
    t_ns: int,
    proc: int,
    pid: int,
    tid: int,
    space: int,
    name: str,
    abi: int,
    details: Dict[str, Any],
    raw: List[int],
    result: Optional[int],
    errno_name: Optional[str],
    outcome: Outcome,
    touched: List[Touched],
    diagnosed: Optional[Tuple[Diagnosis, Learnt]],
    stack: Optional[List[Frame]],
) -> Tuple[Event, Optional[List[Frame]], Optional[Learnt]]:
    call = None
    if raw:
        if len(raw) != 6:
            raise Fault("six arguments, or none", ".raw")
        words: Any = tuple(raw)
        call = facts.Call(tid, t_ns, abi, _call_number(abi, name), words, _answer(result, errno_name))
    diagnosis, learnt = diagnosed if diagnosed is not None else (None, None)
    event = Event(
        n,
        t_ns,
        proc,
        pid,
        tid,
        space,
        name,
        outcome,
        call,
        None if call is not None else details,
        result,
        errno_name,
        touched,
        diagnosis,
        stack is not None,
    )
    return event, stack, learnt


def _call_number(abi: int, name: str) -> int:
    known = NUMBERS[abi].get(name)
    if known is not None:
        return known
    digits = name.partition("syscall_")[2]
    if digits.isdigit() and len(digits) <= 5:
        return int(digits)
    from wxtrace.model.syscalls.untraced import number_of

    number = number_of(abi, name)
    if number is not None:
        return number
    raise Fault("a call that wxtrace knows, not %s" % printable(name, 40), ".call")


def _answer(result: Optional[int], errno_name: Optional[str]) -> Optional[int]:
    """What the call came back with; None where that is not known."""
    code = getattr(errno, errno_name, None) if errno_name is not None else None
    return -code if isinstance(code, int) else result


def _result(value: Any) -> Optional[int]:
    return hexadecimal(value) if type(value) is str else maybe(number)(value)


def _errno(value: Any) -> str:
    if type(value) is not str or not _is_errno(value):
        raise Fault("the name of an error, such as EACCES")
    return value


def _cause(value: Any) -> str:
    if type(value) is not str or not _is_cause(value):
        raise Fault("the id of a cause, such as fd.write-mode")
    return value


def _diagnosed(
    cause: str,
    refused_by: Optional[str],
    confidence: Confidence,
    summary: str,
    evidence: List[Evidence],
    fixes: List[Fix],
    partial: Optional[Partial],
    aftermath: Aftermath,
    related: List[int],
    ladder: Optional[List[Attempt]],
    ending: Optional[Ending],
) -> Tuple[Diagnosis, Learnt]:
    diagnosis = Diagnosis(cause, refused_by, confidence, summary, tuple(evidence), tuple(fixes), partial)
    return diagnosis, (aftermath, related, ladder, ending)


def _ending(code: Optional[int], signal: Optional[str], later_calls: int) -> Ending:
    if (code is None) == (signal is None):
        raise Fault("either a code or a signal")
    return Ending(code, signal, later_calls)


def _tuple(*values: Any) -> Any:
    return values if len(values) > 1 else values[0]


_WAYS = frozenset(r + w + x for r in "r-" for w in "w-" for x in "x-")
_perms = maybe(one_of(frozenset(way + kind for way in _WAYS for kind in "ps")))

_SELINUX = record(_tuple, enforcing=boolean, booleans=mapping(boolean))


def _host(kernel: str, machine: str, page_size: int, lsm: List[str], selinux: Any, sysctl: Dict[str, Any]) -> Host:
    enforcing, booleans = selinux if selinux is not None else (None, {})
    return Host(
        kernel=kernel,
        machine=machine,
        page_size=page_size or 4096,
        lsm=lsm,
        selinux_enforcing=enforcing,
        selinux_booleans=booleans,
        sysctl={key: str(value) for key, value in sysctl.items()},
    )


HOST = record(
    _host,
    kernel=text,
    machine=text,
    page_size=count,
    lsm=each(text),
    selinux=maybe(_SELINUX),
    sysctl=mapping(scalar),
)
TOOL = record(_tuple, version=text)
COMMAND = record(_tuple, argv=each(text), cwd=text, started=text, duration_ns=count)
NOTE = record(facts.Note, kind=text, text=text)
_EXIT = record(_exit, code=optional(count), signal=optional(text))
_IMAGE = record(
    lambda n, exe, argv, comm, abi: (n, Image(exe, argv, comm, abi)),
    n=count,
    exe=text,
    argv=each(text),
    comm=text,
    abi=one_of(frozenset(abi.label for abi in Abi)),
)
PROCESS = record(
    _process,
    proc=count,
    pid=count,
    parent=maybe(count),
    space=each(count),
    images=each(_IMAGE),
    threads=each(count),
    exit=maybe(_EXIT),
    mode=optional(text, "accelerated"),
    name=optional(text, ""),
)
SPACE = record(_space, id=count, parent=maybe(count), forked_at=maybe(count))
_BACKING = record(Backing, path=text, dev=text, inode=number, offset=number, deleted=boolean)
REGION = record(
    _region,
    id=count,
    space=count,
    start=hexadecimal,
    end=hexadecimal,
    provenance=text,
    backing=maybe(_BACKING),
    created_by=maybe(count),
    inferred=boolean,
    shared=optional(boolean),
    found_prot=optional(maybe(one_of(_WAYS))),
    exec_origin=optional(maybe(text)),
)
_TOUCHED = record(
    _touched,
    region=maybe(count),
    start=hexadecimal,
    end=hexadecimal,
    before=_perms,
    asked=maybe(one_of(_WAYS)),
    after=_perms,
    provenance=maybe(text),
    sealed_by=maybe(count),
)
_ATTEMPT = record(Attempt, n=count, way=text, cause=maybe(_cause))
_DIAGNOSIS = record(
    _diagnosed,
    cause=_cause,
    refused_by=maybe(text),
    confidence=member(Confidence),
    summary=text,
    evidence=each(record(Evidence, fact=text, source=text)),
    fixes=each(record(Fix, **{"for": text}, text=text, command=maybe(text))),
    partial=maybe(record(Partial, changed_pages=count, pages=count)),
    aftermath=member(Aftermath),
    related=each(count),
    ladder=optional(maybe(each(_ATTEMPT))),
    ending=optional(maybe(record(_ending, code=maybe(count), signal=maybe(text), later_calls=count))),
)
_ABI_NUMBER = {abi.label: int(abi) for abi in Abi}
_abi_name = one_of(frozenset(abi.label for abi in Abi))
EVENT = record(
    _event,
    n=count,
    t_ns=count,
    proc=count,
    pid=count,
    tid=count,
    space=count,
    call=text,
    abi=lambda value: _ABI_NUMBER[_abi_name(value)],
    args=mapping(scalar),
    raw=each(hexadecimal),
    result=_result,
    errno=maybe(_errno),
    outcome=member(Outcome),
    touched=each(_TOUCHED),
    diagnosis=maybe(_DIAGNOSIS),
    stack=optional(maybe(each(record(Frame, module=text, offset=count, symbol=maybe(text))))),
)
SUMMARY = mapping(lambda value: value)
VERIFY = record(_tuple, checked=count, mismatches=count)
