"""What views show: events with what they touched, their diagnosis, and what is learnt about them later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from wxtrace.model.facts import Call

__all__ = [
    "REFUSED",
    "Amendment",
    "Diagnosis",
    "Event",
    "Evidence",
    "Fix",
    "Partial",
    "Touched",
]

OK, REFUSED, FAILED, PROBE, FAKED, UNFINISHED = (
    "ok",
    "refused",
    "failed",
    "probe",
    "faked",
    "unfinished",
)


class Touched(NamedTuple):
    """What one event did to one part of one region. Protections as maps writes them; addresses in bytes."""

    region: Optional[int]
    start: int
    end: int
    before: Optional[str]
    asked: Optional[str]
    after: Optional[str]
    provenance: Optional[str]
    sealed_by: Optional[int] = None


class Evidence(NamedTuple):
    """One thing that was seen, and where it was read."""

    fact: str
    source: str


class Fix(NamedTuple):
    """What one person can do about it; `command` is ready to paste, or None."""

    audience: str
    text: str
    command: Optional[str] = None


class Partial(NamedTuple):
    """A failed call that changed pages all the same."""

    changed_pages: int
    pages: int


@dataclass(frozen=True)
class Diagnosis:
    """Why a call failed. `cause` is a stable id that other programs may match on."""

    cause: str
    refused_by: Optional[str]
    confidence: str
    summary: str
    evidence: Tuple[Evidence, ...] = ()
    fixes: Tuple[Fix, ...] = ()
    partial: Optional[Partial] = None


class Event(NamedTuple):
    """One thing that happened, in the order of the run. `t_ns` since the start of the run."""

    n: int
    t_ns: int
    proc: int
    pid: int
    tid: int
    space: int
    name: str
    outcome: str
    call: Optional[Call] = None
    details: Optional[Dict[str, Any]] = None
    result: Optional[int] = None
    errno: Optional[str] = None
    touched: List[Touched] = []
    diagnosis: Optional[Diagnosis] = None


@dataclass(frozen=True)
class Amendment:
    """What was learnt about event `n` after it was shown: how it ended for the program, and what it is related to."""

    n: int
    aftermath: str
    related: Tuple[int, ...] = field(default_factory=tuple)
    event: Optional[Event] = None


Shown = Union[Event, Amendment]
