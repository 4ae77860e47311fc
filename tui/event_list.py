"""The event list: one row an event, or a row for many that are alike."""

from __future__ import annotations

import time
from typing import Optional, Tuple

from textual.geometry import Size

from wxtrace.errors import RecordError
from wxtrace.model.enumerations import Outcome
from wxtrace.printable import printable
from wxtrace.tui.columns import Kind
from wxtrace.tui.compact_text import call_words, memory_words, result_words, seconds_text, told_words
from wxtrace.tui.filters import ALL, Filter
from wxtrace.tui.index import Index
from wxtrace.tui.lines import Line, Span, cut, padded
from wxtrace.tui.listing import Listing, RowSpan
from wxtrace.tui.pane import Pane

__all__ = ["EventList", "row_line"]

_MARKS = {
    Outcome.REFUSED: "✗",
    Outcome.FAKED: "✗",
    Outcome.FAILED: "-",
    Outcome.PROBE: "·",
    Outcome.UNFINISHED: "?",
}
_NARROW, _WIDE = 90, 110
_STORY = ("exec", "attach", "fork", "exit", "clone")
_MOST_NAME = 200


def row_line(index: Index, span: RowSpan, width: int, several: bool) -> Line:
    """One row in `width` cells; `several`: there is more than one process to tell apart."""
    n = span.first
    kind, who = index.columns.kind_of(n), index.columns.who_of(n)
    try:
        call = index.call(n)
        text = call_words(call) if call is not None else told_words(kind.name, index.details(n))
        result = result_words(kind.name, index.result(n), kind.errno, call is not None)
    except RecordError as error:
        call, text, result = None, str(error), ""
    wide = width >= _WIDE
    role = _role(kind)
    name = printable(who.title or "?", _MOST_NAME)
    times, names, results, memory = _columns(width)
    columns = [
        Span(padded(_mark(kind), 2), role),
        Span(padded(_time(index.columns.t_ns[n - 1], wide), times), role or "quiet"),
        Span(padded(_who(name, who.tid if several or wide else None, names - 1), names), role),
    ]
    left = width - 2 - times - names - results - memory
    count = " ×%d" % span.times if span.times > 1 else ""
    columns.append(Span(padded(text, left - len(count)), role))
    columns.append(Span(count, "warn" if not kind.alarm else role))
    columns.append(Span(" " + padded(result, results - 1), role))
    columns.append(Span(" " + padded(memory_words(kind), memory - 1), role or "quiet"))
    return Line(columns, jump=n)


def _who(name: str, tid: Optional[int], width: int) -> str:
    """Where it has to be cut, the number stays."""
    number = "" if tid is None else "[%d]" % tid
    return cut(name, width - len(number)) + number


def _columns(width: int) -> Tuple[int, int, int, int]:
    """Cells for time, process, result and memory; the call has the rest."""
    if width < _NARROW:
        return 8, 12, 13, 15
    return (8, 17, 13, 21) if width < _WIDE else (11, 22, 14, min(40, width // 4))


def _time(t_ns: int, wide: bool) -> str:
    return seconds_text(t_ns) if wide else "%.4f" % (t_ns / 1e9)


def _mark(kind: Kind) -> str:
    if kind.outcome in _MARKS:
        return _MARKS[kind.outcome] if kind.name != "fault" else "!"
    if kind.gains_exec:
        return "x"
    return "▸" if kind.name in ("exec", "attach") else ""


def _role(kind: Kind) -> str:
    if kind.alarm:
        return "refused"
    if kind.name == "fault":
        return "warn"
    if kind.outcome is not Outcome.OK:
        return "quiet"
    if kind.gains_exec:
        return "exec"
    return "heading" if kind.name in _STORY else ""


class EventList(Pane):
    """Rows over a listing. The cursor stands on an event: rows may come and go around it."""

    def __init__(self, index: Index, id: Optional[str] = None) -> None:
        super().__init__(id=id)
        self.index = index
        self.listing = Listing(index.columns)
        self.follow = False
        self._chosen: Optional[int] = None
        self._next_layout = 0.0
        self._return_to: Optional[int] = None
        """The event that the cursor stood on before another filter, until its row is listed again."""

    @property
    def selected(self) -> Optional[int]:
        """The number of the event under the cursor: of a folded row the first, or the one that was jumped to."""
        if not 0 <= self.cursor < len(self.listing):
            return None
        if self._chosen is not None and self.listing.row_of(self._chosen) == self.cursor:
            return self._chosen
        return self.listing[self.cursor].first

    @property
    def last_selected(self) -> int:
        """The last event that the row of the cursor stands for; 0 without one."""
        if not 0 <= self.cursor < len(self.listing):
            return 0
        return self.listing.members(self.cursor)[-1]

    def line_count(self) -> int:
        """Rows."""
        return len(self.listing)

    def line_at(self, row: int, width: int) -> Line:
        """One of them."""
        span = self.listing[row]
        if row == self.cursor and span.times > 1:
            span = span._replace(first=self.selected or span.first)
        return row_line(self.index, span, width, len(self.index.replay.processes) > 1)

    def go_to(self, row: int, tell: bool = True) -> None:
        """A row, whatever was jumped to in it."""
        self._chosen = self._return_to = None
        super().go_to(row, tell)

    def extend(self, seconds: float) -> bool:
        """Take in what the index has read; whether anything is left to take in."""
        before = len(self.listing)
        changed = self.listing.extend(seconds)
        if self._return_to is not None:
            self._come_back()
        if changed:
            if self.follow:
                self._grown(draw=True)
                self.go_to(len(self.listing) - 1)
            else:
                # Rows below the screen are nobody's business; folding reaches four rows back.
                self._grown(draw=before - 4 <= self.scroll_offset.y + self.size.height)
        return self.listing.seen < len(self.index)

    def _come_back(self) -> None:
        wanted = self._return_to
        if wanted is None or (self.listing.seen < wanted and self.listing.seen < len(self.index)):
            return
        self._return_to = None
        self._chosen = wanted if self.listing.shows(wanted) else None
        self.cursor = max(self.listing.row_of(wanted), 0) if len(self.listing) else -1
        self.lines_changed()
        self.show_row(self.cursor, context=2)
        self.post_message(self.Moved(self))

    def _grown(self, draw: bool) -> None:
        now = time.monotonic()
        if draw:
            self.lines_changed()
        elif now > self._next_layout:
            # The scrollbar costs a layout of the screen.
            self._next_layout = now + 0.5
            self.virtual_size = Size(0, len(self.listing))

    def select(self, n: int) -> bool:
        """Put the cursor on event n; whether it is listed."""
        while self.listing.seen < n <= len(self.index):
            self.listing.extend()
            self.lines_changed()
        row = self.listing.row_of(n)
        if row < 0 or not self.listing.shows(n):
            return False
        self._chosen, self._return_to = n, None
        self.cursor, before = row, self.cursor
        self.show_row(row, context=max(self.size.height // 3, 0))
        self.refresh_rows(before, row)
        self.post_message(self.Moved(self))
        return True

    def relist(self, wanted: Filter = ALL, fold: bool = True) -> None:
        """Another filter; the cursor stays at its event, or the next one that is listed."""
        self._return_to = self._return_to or self.selected or 1
        self.listing = Listing(self.index.columns, wanted, fold)
        self.cursor = -1
        self.listing.extend(0.04)
        self.lines_changed()
        self._come_back()

    def unfold(self) -> bool:
        """Give the events of a folded row their own rows; whether it was one."""
        if self.cursor < 0 or self.listing[self.cursor].times == 1:
            return False
        self.listing.unfold(self.cursor)
        self.lines_changed()
        return True
