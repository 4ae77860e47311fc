"""What is known of one event, in the order in which it helps. Renderers choose what they show, and how it looks.

Every text here is harmless: whatever a target or a file chose went through `printable`.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from wxtrace.frozen import Frozen
from wxtrace.model.enumerations import Aftermath, Confidence, Outcome
from wxtrace.model.event import Ending, Evidence, Fix
from wxtrace.model.frames import Frame

__all__ = ["Attempt", "Attempts", "Cause", "Document", "Memory", "Who"]


class Who(NamedTuple):
    """Whose event it is: `name` as `jit[4711]`; `t_ns` since the start of the run, or since attaching (`since`)."""

    name: str
    tid: int
    t_ns: int
    since: str


class Cause(NamedTuple):
    """The id of a cause, who refused (`the kernel`; empty where that is nobody), and how sure that is."""

    id: str
    by: str
    confidence: Confidence


class Memory(NamedTuple):
    """One part of the range. `text`: where it is, and what; `change`: what became of it, if anything.

    `made_at`: the event that made it, by the call `made_by`; without one, `found` tells when it was first seen.
    `executable`: how it came to be executable, in words. `sealed_at`: the event that sealed it.
    """

    text: str
    change: str = ""
    made_at: Optional[int] = None
    made_by: str = ""
    found: str = ""
    executable: str = ""
    sealed_at: Optional[int] = None


class Attempt(NamedTuple):
    """One way that the program tried at event `n`; `cause`: why it was refused, None for the one that worked."""

    n: int
    way: str
    cause: Optional[str]


class Attempts(NamedTuple):
    """Every way that was tried for one purpose, in order, and how that went in a sentence."""

    text: str
    attempts: Tuple[Attempt, ...]


class Document(Frozen):
    """One event explained. Without a diagnosis, `why` is empty and `cause` None.

    `head`: the call with its result. `half_done`: pages that changed all the same, and all pages of the call.
    `details`: what an event without a diagnosis tells beside. `unlisted`: how many parts `memory` leaves out.
    """

    n: int
    outcome: Outcome
    head: str
    who: Who
    why: str = ""
    cause: Optional[Cause] = None
    memory: Tuple[Memory, ...] = ()
    unlisted: int = 0
    caller: Tuple[Frame, ...] = ()
    evidence: Tuple[Evidence, ...] = ()
    half_done: Optional[Tuple[int, int]] = None
    attempts: Optional[Attempts] = None
    aftermath: Optional[Aftermath] = None
    ending: Optional[Ending] = None
    related: Tuple[int, ...] = ()
    fixes: Tuple[Fix, ...] = ()
    details: Tuple[Tuple[str, str], ...] = ()

    @property
    def evidence_label(self) -> str:
        """`proof`, or `seen` where something else could have said the same."""
        proved = self.cause is not None and self.cause.confidence is Confidence.PROVED
        return "proof" if proved else "seen"
