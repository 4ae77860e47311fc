"""What the event list needs of a million events, in columns: some forty bytes an event.

What many events have in common is stored once, as a Kind, and so is who made them.
"""

from __future__ import annotations

from array import array
from typing import Dict, List, NamedTuple, Optional, Tuple

from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Event
from wxtrace.model.region import Region
from wxtrace.model.run_view import RunView

__all__ = ["ALARMS", "Columns", "Kind", "Who"]

ALARMS = (Outcome.REFUSED, Outcome.FAKED)
_BORN_EXECUTABLE = ("file", "file-shared", "vdso", "special")
"""Programs and libraries are mapped executable as they are loaded; that is no gain."""


class Kind(NamedTuple):
    """What an event has in common with others of its kind; the protections are those of the part it is about."""

    name: str
    outcome: Outcome
    errno: Optional[str]
    cause: Optional[str]
    provenance: Optional[str]
    before: Optional[str]
    asked: Optional[str]
    after: Optional[str]
    path: str
    gains_exec: bool

    @property
    def alarm(self) -> bool:
        """Whether the call was refused, or only seemed to succeed."""
        return self.outcome in ALARMS

    def text(self) -> str:
        """Everything that a search looks at."""
        words = (self.name, self.outcome, self.errno, self.cause, self.provenance, self.asked, self.after, self.path)
        return " ".join(word for word in words if word).lower()


class Who(NamedTuple):
    """The thread that made an event, and what its process was called then."""

    proc: int
    pid: int
    tid: int
    title: str


class Columns:
    """One entry an event; event n stands at n-1."""

    def __init__(self) -> None:
        self.kinds: List[Kind] = []
        self.whos: List[Who] = []
        self.kind = array("I")
        self.who = array("I")
        self.space = array("Q")
        self.t_ns = array("Q")
        self.entry = array("q")
        """Where the call stands in the journal; -1 for an event that is no call, or one that came late."""
        self.low = array("Q")
        self.high = array("Q")
        """The range that the event touched; both 0 when none."""
        self.alarms = array("I")
        self.gains = array("I")
        """The numbers of the refused and faked events, and of those that made memory executable."""
        self._kind_ids: Dict[Tuple[object, ...], int] = {}
        self._who_ids: Dict[Tuple[object, ...], int] = {}
        self._paths: Dict[str, str] = {}
        self._path_of: Dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.kind)

    def region(self, region: Region) -> None:
        """Remember the file of a new region."""
        if region.backing is not None:
            path = region.backing.path
            self._path_of[region.id] = self._paths.setdefault(path, path)

    def add(self, event: Event, replay: RunView, entry: int) -> None:
        """The next event."""
        low = high = 0
        key: Tuple[object, ...]
        cause = event.diagnosis.cause if event.diagnosis is not None else None
        if event.touched:
            part = event.touched[0]
            low, high = part.start, part.end
            gains = part.after is not None and part.after[2] == "x" and _gains(part.before, part.provenance)
            for other in event.touched[1:]:
                if other.after is not None:
                    gains = gains or (other.after[2] == "x" and _gains(other.before, other.provenance))
                    if part.after is None:
                        part = other
                low, high = min(low, other.start), max(high, other.end)
            path = self._path_of.get(part.region, "") if part.region is not None else ""
            key = (event.name, event.outcome, event.errno, cause, part.provenance, *part[3:6], path, gains)
        else:
            key = (event.name, event.outcome, event.errno, cause, None, None, None, None, "", False)
        kind = self._kind_ids.get(key)
        if kind is None:
            kind = self._kind_ids[key] = len(self.kinds)
            self.kinds.append(Kind(*key))
        process = replay.processes[event.proc - 1]
        # What its title depends on.
        who = (event.tid, event.proc, process.name, process.images_at(event.n))
        who_id = self._who_ids.get(who)
        if who_id is None:
            who_id = self._who_ids[who] = len(self.whos)
            self.whos.append(Who(event.proc, event.pid, event.tid, process.title_at(event.n)))
        self.kind.append(kind)
        self.who.append(who_id)
        self.space.append(_of_64_bits(event.space))
        self.t_ns.append(_of_64_bits(event.t_ns))
        self.entry.append(entry)
        self.low.append(_of_64_bits(low))
        self.high.append(_of_64_bits(high))
        if event.outcome in ALARMS:
            self.alarms.append(event.n)
        if key[-1]:
            self.gains.append(event.n)

    def kind_of(self, n: int) -> Kind:
        """What event n is like."""
        return self.kinds[self.kind[n - 1]]

    def who_of(self, n: int) -> Who:
        """Who made event n."""
        return self.whos[self.who[n - 1]]


def _of_64_bits(value: int) -> int:
    """The end of all addresses is one more than they hold, and a file that was sent holds what it likes."""
    return min(max(value, 0), (1 << 64) - 1)


def _gains(before: Optional[str], provenance: Optional[str]) -> bool:
    if before is None:
        return provenance not in _BORN_EXECUTABLE
    return before[2] != "x"
