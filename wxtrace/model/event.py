"""What views show: events with what they touched, their diagnosis, and what is learnt about them later."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from wxtrace.frozen import Frozen
from wxtrace.model.enumerations import Aftermath, Confidence, Outcome
from wxtrace.model.facts import Call
from wxtrace.model.frames import Frame

__all__ = [
    "Amendment",
    "Attempt",
    "CallStack",
    "Diagnosis",
    "Ending",
    "Event",
    "Evidence",
    "Fallback",
    "Fix",
    "Partial",
    "Touched",
]


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


class Diagnosis(Frozen):
    """Why a call failed. `cause` is a stable id that other programs may match on."""

    cause: str
    refused_by: Optional[str]
    confidence: Confidence
    summary: str
    evidence: Tuple[Evidence, ...] = ()
    fixes: Tuple[Fix, ...] = ()
    partial: Optional[Partial] = None


class Attempt(NamedTuple):
    """One way to get executable memory, tried at event `n`: refused for `cause`, or None for the one that worked."""

    n: int
    way: str
    cause: Optional[str]


class Fallback(NamedTuple):
    """Every way that was tried for one purpose, in order. `events`: every refused call, repeats included."""

    attempts: Tuple[Attempt, ...]
    events: Tuple[int, ...]

    @property
    def worked(self) -> Optional[Attempt]:
        """The way that worked in the end."""
        last = self.attempts[-1]
        return last if last.cause is None else None


class Event(NamedTuple):
    """One thing that happened, in the order of the run. `t_ns` since the start of the run.

    `stack_follows`: its stack was copied, and a CallStack is to come.
    """

    n: int
    t_ns: int
    proc: int
    pid: int
    tid: int
    space: int
    name: str
    outcome: Outcome
    call: Optional[Call] = None
    details: Optional[Dict[str, Any]] = None
    result: Optional[int] = None
    errno: Optional[str] = None
    touched: List[Touched] = []
    diagnosis: Optional[Diagnosis] = None
    stack_follows: bool = False


class CallStack(Frozen):
    """Who made the call of event `n`, innermost first; told after the event. Empty when it could not be found out."""

    n: int
    frames: Tuple[Frame, ...]


class Ending(NamedTuple):
    """How the process of a refused call ended, `later_calls` traced calls after it: exactly one of `code` and `signal`.

    `signal` by its name.
    """

    code: Optional[int]
    signal: Optional[str]
    later_calls: int


class Amendment(Frozen):
    """What was learnt about event `n` after it was shown: what the program did next, and what it is related to.

    `fallback`: every way the program tried for the same purpose, where it was more than one. `ending`: None while the
    process has not ended.
    """

    n: int
    aftermath: Aftermath
    related: Tuple[int, ...] = ()
    event: Optional[Event] = None
    fallback: Optional[Fallback] = None
    ending: Optional[Ending] = None


Shown = Union[Event, Amendment, CallStack]
