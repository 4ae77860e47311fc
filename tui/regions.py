"""The region map: one address space as it was at one event, what that event did to it, and how a region came to be."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from wxtrace.errors import RecordError
from wxtrace.model import flags as f
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Event, Touched
from wxtrace.model.processes import SpaceState
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.trampolines import SHORT
from wxtrace.printable import printable
from wxtrace.tui.columns import ALARMS
from wxtrace.tui.compact_text import call_words, seconds_text, size_words, told_words
from wxtrace.tui.index import Index
from wxtrace.tui.lazy_lines import LazyLines
from wxtrace.tui.lines import Line, Span

__all__ = ["HistoryLines", "MapRow", "RegionMap", "map_at"]

_EVENTS_A_STEP = 64
_JOINED_UP_TO = 4096
"""Pieces; a larger map is shown piece by piece, as it is compacted already."""

_LETTERS = {
    "heap": "H",
    "stack": "S",
    "thread-stack": "S",
    "file": "F",
    "file-cow": "C",
    "file-shared": "F",
    "memfd": "M",
    "memfd-private": "M",
    "memfd-cow": "M",
    "anon-shared": "a",
    "anon": "A",
    "dev-zero": "Z",
}


OriginOf = Callable[[Optional[int]], Optional[str]]


def _nothing(_: Optional[int]) -> Optional[str]:
    return None


class MapRow(NamedTuple):
    """One line of the map. `mark`: + new, − gone, ~ changed, ! aimed at and refused, · looked at, or nothing.

    `origin`: the trick by which it became executable, in words; empty where there is none to tell.
    """

    start: int
    end: int
    perms: str
    provenance: str
    name: str
    mark: str
    sealed: bool
    origin: str
    piece: Optional[Piece]

    def line(self, wide: bool) -> Line:
        """`+ A 7f31a0000000-7f31a0001000    4K rw-p anon`; the letter stands for where it came from."""
        letter = _LETTERS.get(self.provenance, "·")
        role = {"+": "good", "−": "quiet", "~": "changed", "!": "refused"}.get(self.mark, "")
        memory = "exec" if self.perms[2:3] == "x" else "write" if self.perms[1:2] == "w" else "quiet"
        if self.perms[1:3] == "wx":
            memory = "both"
        where = "%012x-%012x" % (self.start, self.end) if wide else "%012x" % self.start
        spans = [
            Span(self.mark or " ", role),
            Span(" %s " % letter, "label"),
            Span("%s %6s " % (where, size_words(self.end - self.start)), role),
            Span(self.perms, memory),
            Span(("=" if self.sealed else " ") + " ", "label"),
            Span(self.provenance, role),
        ]
        if self.name:
            spans.append(Span(" " + (self.name if wide else self.name.rpartition("/")[2]), role or "quiet"))
        if self.origin:
            spans.append(Span(" (%s)" % self.origin, "warn"))
        return Line(spans)


class RegionMap:
    """The rows of a map, made when they are looked at: a map of 65,000 regions is there at once."""

    def __init__(
        self, title: str, pieces: Sequence[Piece] = (), event: Optional[Event] = None, origin_of: OriginOf = _nothing
    ) -> None:
        self.title = title
        self._origin_of = origin_of
        self.focus = 0
        """The first row that the event touched."""
        self._pieces = pieces
        self._marks: Dict[int, str] = {}
        # What the event took away stands before the piece that follows it.
        self._gone: List[MapRow] = []
        self._gone_at: List[int] = []
        if event is not None:
            self._mark(event)

    def __len__(self) -> int:
        return len(self._pieces) + len(self._gone)

    def __getitem__(self, row: int) -> MapRow:
        before = bisect_left(self._gone_at, row)
        if before < len(self._gone) and self._gone_at[before] == row:
            return self._gone[before]
        at = row - before
        piece = self._pieces[at]
        origin = self._origin_of(piece.region.id) if piece.prot & f.PROT_EXEC else None
        return _row(piece, self._marks.get(at, ""), SHORT.get(origin or "", ""))

    def _mark(self, event: Event) -> None:
        for part in sorted(event.touched, key=lambda part: part.start):
            mark = _mark(part, event)
            if mark == "−":
                self._gone_at.append(_first_after(self._pieces, part.start) + len(self._gone))
                self._gone.append(_gone(part))
                continue
            for at in _overlapping(self._pieces, part.start, part.end):
                self._marks[at] = mark
        marked = [at + bisect_right(self._gone_at, at) for at in list(self._marks)[:1]] + self._gone_at[:1]
        if marked:
            self.focus = min(marked)
        elif event.touched:
            self.focus = max(min(_first_after(self._pieces, event.touched[0].start), len(self) - 1), 0)


def map_at(event: Event, space: Optional[AddressSpace], origin_of: OriginOf = _nothing) -> RegionMap:
    """The map right after `event`, with what it took away still shown."""
    if space is None or not len(space):
        return RegionMap("space %d is gone: its last process has ended" % event.space)
    pieces = space.pieces()
    if len(pieces) <= _JOINED_UP_TO:
        pieces = _joined(pieces)
    return RegionMap(
        "space %d after event %d, %d regions" % (event.space, event.n, len(pieces)), pieces, event, origin_of
    )


def _first_after(pieces: Sequence[Piece], address: int) -> int:
    """The first piece that ends above this address."""
    low, high = 0, len(pieces)
    while low < high:
        middle = (low + high) // 2
        if pieces[middle].end <= address:
            low = middle + 1
        else:
            high = middle
    return low


def _overlapping(pieces: Sequence[Piece], start: int, end: int) -> Iterator[int]:
    at = _first_after(pieces, start)
    while at < len(pieces) and pieces[at].start < end:
        yield at
        at += 1


def _joined(pieces: Sequence[Piece]) -> List[Piece]:
    """Neighbours of one region that look alike are one row: a call may split a mapping and change nothing."""
    joined: List[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and last.end == piece.start and last[2:] == piece[2:]:
            joined[-1] = last._replace(end=piece.end)
        else:
            joined.append(piece)
    return joined


def _mark(part: Touched, event: Event) -> str:
    if part.after is None:
        return "−" if part.before is not None else "!"
    if part.before is None:
        return "+"
    if part.before != part.after:
        return "~"
    return "!" if event.outcome in ALARMS else "~" if event.name == "mseal" else "·"


def _row(piece: Piece, mark: str, origin: str) -> MapRow:
    region = piece.region
    name = printable(region.backing.path, 200) if region.backing is not None else ""
    perms = piece.perms if piece.prot >= 0 else "????"
    return MapRow(
        piece.start, piece.end, perms, region.provenance, name, mark, piece.sealed_by is not None, origin, piece
    )


def _gone(part: Touched) -> MapRow:
    return MapRow(part.start, part.end, part.before or "", part.provenance or "", "", "−", False, "", None)


# How a region came to be


class HistoryLines(LazyLines):
    """Every event up to `upto` that touched these pages, each a jump; the newest last."""

    def __init__(self, index: Index, row: MapRow, space: int, upto: int) -> None:
        super().__init__()
        self._index = index
        self._row = row
        self._space = space
        self._upto = upto
        self._found: List[int] = []
        self._head = [Line([Span("%x-%x %s %s" % (row.start, row.end, row.perms, row.provenance), "heading")])]
        self._since = 1
        if row.piece is not None:
            region = row.piece.region
            if region.created_by is None:
                found = "found in the map" if region.inferred else "there since the program was loaded"
                self._head.append(Line([Span("created  ", "label"), Span(found)]))
            else:
                self._since = max(region.created_by, 1)

    def steps(self) -> Iterator[None]:
        """Space by space of those that it was forked from, and event by event."""
        states: Dict[int, SpaceState] = {}
        for state in self._index.replay.spaces:
            states[state.space.id] = state
            yield
        space, upto = self._space, min(self._upto, len(self._index))
        for _ in range(len(states)):
            yield from self._touching(space, upto)
            known = states.get(space)
            if known is None or known.parent is None or known.forked_at is None:
                break
            space, upto = known.parent, min(upto, known.forked_at)
        self._found.sort()
        if len(self) == 1:
            self._head.append(Line([Span("No traced call touched it.", "quiet")]))

    def _touching(self, space: int, upto: int) -> Iterator[None]:
        columns = self._index.columns
        start, end = self._row.start, self._row.end
        for first in range(self._since - 1, upto, _EVENTS_A_STEP):
            part = slice(first, min(first + _EVENTS_A_STEP, upto))
            rows = zip(columns.space[part], columns.low[part], columns.high[part])
            self._found += [
                first + i for i, (s, low, high) in enumerate(rows, 1) if s == space and low < end and high > start
            ]
            yield

    def __len__(self) -> int:
        return len(self._head) + len(self._found)

    def line(self, row: int) -> Line:
        """One event, behind what is known beside events."""
        if row < len(self._head):
            return self._head[row]
        n, piece = self._found[row - len(self._head)], self._row.piece
        label = "created" if piece is not None and n == piece.region.created_by else ""
        if piece is not None and n == piece.sealed_by:
            label = "sealed"
        return _event_line(self._index, n, label)


def _event_line(index: Index, n: int, label: str) -> Line:
    kind = index.columns.kind_of(n)
    try:
        call = index.call(n)
        text = call_words(call) if call is not None else told_words(kind.name, index.details(n))
    except RecordError as error:
        text = str(error)
    became = " → %s" % kind.after if kind.after else " gone" if kind.before and not kind.alarm else ""
    spans = [
        Span("%-8s " % label, "label"),
        Span("event %d  %s  " % (n, seconds_text(index.columns.t_ns[n - 1])), "link"),
        Span(text + became, "refused" if kind.alarm else ""),
    ]
    if kind.outcome is not Outcome.OK:
        spans.append(Span("  %s %s" % (kind.outcome.upper() if kind.alarm else kind.outcome, kind.errno or "")))
    return Line(spans, jump=n)
