"""The screen over one index: reading on, showing what is selected, announcing what is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Optional

from textual import on
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Footer

from wxtrace.errors import RecordError
from wxtrace.printable import printable
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.record.opening import begins_as_json
from wxtrace.tui.compact_text import call_words
from wxtrace.tui.detail_panes import RegionPane, WhyPane
from wxtrace.tui.event_list import EventList
from wxtrace.tui.header import Header, Notice
from wxtrace.tui.imported import ImportedIndex
from wxtrace.tui.index import Index
from wxtrace.tui.live import Live
from wxtrace.tui.output_pane import OutputPane
from wxtrace.tui.pane import Pane
from wxtrace.tui.processes import State, header_line

__all__ = ["RunApp"]

_TICK = 0.05
_READING, _LISTING = 0.010, 0.004
"""Seconds between two looks at the keyboard."""
_DETAILS_AFTER = 0.03
"""Seconds without another key until what takes its time is shown."""
_LOCK_EVERY = 1.0
_NOTICE = 8.0
_IDLE = 0.5
_HUNG_UP = 3
"""Seconds for our own end once the terminal is gone."""
_HEADER_EVERY = 0.2


class RunApp(App[int]):
    """`live` for a run of our own; `growing`: whether somebody may still write to the record."""

    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    ALLOW_SELECT = False
    TITLE = "wxtrace"

    def __init__(self, record: JournalBytes, live: Optional[Live] = None, growing: bool = False) -> None:
        self._no_colour = bool(os.environ.get("NO_COLOR"))
        super().__init__(ansi_color=self._no_colour or None)
        self.record = record
        self.live = live
        self.growing = growing or live is not None
        self.index: Index = ImportedIndex(record) if begins_as_json(record) else Index(record, follow=self.growing)
        self.failure: Optional[RecordError] = None
        self.touched = False
        """Whether somebody has moved the cursor: from then on nothing else does."""
        self._announced = 0
        self._shown: Optional[int] = None
        self._details: Optional[Timer] = None
        self._next_lock_look = self._next_header = self._last_key = 0.0
        self._ended_said = False

    def compose(self) -> ComposeResult:
        """Header, panes, footer."""
        yield Header()
        with Horizontal(id="main"):
            with Vertical(id="left"):
                yield EventList(self.index, id="events")
                yield OutputPane(self.live, id="output")
            with Vertical(id="right"):
                yield WhyPane(self.index, id="why")
                yield RegionPane(self.index, id="map")
        yield Notice()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """The first look comes at once."""
        if self._no_colour or self.console.color_system == "standard":
            # Sixteen colours, or none: the terminal's own, which its user can read.
            self.theme = "ansi-dark"
        self.events = self.query_one("#events", EventList)
        self.why = self.query_one("#why", WhyPane)
        self.map = self.query_one("#map", RegionPane)
        self.output = self.query_one("#output", OutputPane)
        self.header = self.query_one(Header)
        self.screen.set_class(self.live is None or not self.live.has_terminal, "-saved")
        self.events.focus()
        self.events.follow = self.live is not None
        if self.live is not None:
            self._loop_of_signals = asyncio.get_running_loop()
            self._loop_of_signals.add_signal_handler(signal.SIGTERM, self._told_to_end, signal.SIGTERM)
            signal.signal(signal.SIGHUP, self._hung_up)
        self.call_after_refresh(self._tick)

    def _hung_up(self, number: int, frame: object) -> None:
        """Our terminal was closed. Textual's writer dies of writing to it, and whoever writes then waits without end.

        At once, not in the loop: SIGCONT comes along with SIGHUP, and makes Textual start another writer.
        """
        with open(os.devnull, "r+b", buffering=0) as nowhere:
            for fd in (0, 1, 2):
                os.dup2(nowhere.fileno(), fd)
        # By then the loop may wait for the writer already.
        signal.alarm(_HUNG_UP)
        self._loop_of_signals.call_soon_threadsafe(self._told_to_end, number)

    def _told_to_end(self, number: int) -> None:
        """Somebody ends us, or closes our terminal: a program that we started is told as well, as ever."""
        assert self.live is not None
        if not self.live.attached:
            self.live.pass_on(number)
        self.exit(128 + number)

    @property
    def state(self) -> State:
        """How the run stands."""
        if self.live is None:
            return State(live=self.growing and not self.index.complete)
        if self.live.failure is not None:
            return State(what="the tracer is gone")
        if self.live.detached:
            return State(what="detached")
        running = self.live.running
        return State(live=running, elapsed=time.monotonic() - self.live.start if running else None)

    # Reading on

    def _tick(self) -> None:
        if self.live is not None:
            self._hear(self.live)
        elif self.growing and not self.index.complete and time.monotonic() > self._next_lock_look:
            self._next_lock_look = time.monotonic() + _LOCK_EVERY
            if not self.record.still_written:
                self.index.no_more()
        # Where nobody types, longer slices read faster.
        idle = time.monotonic() - self._last_key > _IDLE and self.live is None
        try:
            more = self.index.advance(_READING * (4 if idle else 1))
        except RecordError as error:
            self.failure = error
            self.exit(error.exit_status)
            return
        more = self.events.extend(_LISTING * (4 if idle else 1)) or more
        self._announce()
        self.look_on()
        now = time.monotonic()
        if now > self._next_header or not more:
            self._next_header = now + _HEADER_EVERY
            self._titles()
            self.header.show(header_line(self.index, self.state, self.size.width))
        if self._shown is None or (self._shown == len(self.index) and more):
            self.show_details()
        self.set_timer(0.001 if more and not (self.growing and self.live is None) else _TICK, self._tick)

    def _hear(self, live: Live) -> None:
        live.poll()
        for text in live.said:
            self.say(text, "warn")
        live.said.clear()
        if (live.over or live.failure is not None) and not self.index.complete:
            self.index.no_more()
        if live.failure is not None and not live.started:
            self.exit(live.failure.exit_status)
        elif live.failure is not None and not self._ended_said:
            self._ended_said = True
            self.say(str(live.failure), "refused")
        if live.ended and not self._ended_said and self.index.complete:
            self._ended_said = True
            live.status()
            self.events.follow = False
            if live.has_terminal:
                self.output.ended()
            self.say("Ended: %s. The record is kept: e exports, q quits." % live.ending)
            self.why.show(self.events.selected, self.state)

    def _titles(self) -> None:
        listing = self.events.listing
        words = listing.wanted.words()
        title = "Events"
        if words:
            title += " (%s: %d of %d; Esc lists all)" % (words, listing.matched, listing.seen)
        elif not listing.fold:
            title += " (unfolded)"
        self.events.set_title(title, "following" if self.events.follow else "")

    def _announce(self) -> None:
        """The first refused call, to whoever looks elsewhere; whoever has not touched a key yet is taken there."""
        alarms = self.index.columns.alarms
        if not alarms or self._announced:
            return
        if not self.touched and self.events.listing.row_of(alarms[0]) < 0:
            return
        self._announced = alarms[0]
        if not self.touched and self.events.listing.seen >= alarms[0]:
            self.events.follow = False
            self.events.select(alarms[0])
        else:
            kind = self.index.columns.kind_of(alarms[0])
            call = self.index.call(alarms[0])
            words = call_words(call) if call is not None else kind.name
            self.say("Refused: %s, %s (%s). n goes there." % (words, kind.errno or kind.outcome, kind.cause), "refused")

    def look_on(self) -> None:
        """More was read: what somebody waits for may be there."""

    def say(self, text: str, role: str = "heading") -> None:
        """A sentence at the bottom, for some seconds."""
        self.query_one(Notice).say(printable(text), role, _NOTICE)

    # What is selected

    @on(Pane.Moved)
    def _moved(self, event: Pane.Moved) -> None:
        if event.pane is self.events:
            self.show_soon()

    @property
    def busy(self) -> bool:
        """Whether details of the selected event are still to be shown."""
        return self._details is not None or self._shown != self.events.selected

    def show_soon(self) -> None:
        """Show the details of what is selected when no further key comes at once."""
        if self._details is not None:
            self._details.stop()
        self._details = self.set_timer(_DETAILS_AFTER, self._work_on_details)

    def _work_on_details(self) -> None:
        """In slices: a key that comes meanwhile is answered first."""
        n = self.events.selected
        if n is None or self.index.prepare(n, _READING):
            self.show_details()
        else:
            self._details = self.set_timer(0.001, self._work_on_details)

    def show_details(self) -> None:
        """Of the selected event, now."""
        self._details = None
        n = self.events.selected
        self._shown = n
        self.why.show(n, self.state)
        if self.map.display:
            self.map.show(n)

    def on_resize(self) -> None:
        """Text is wrapped anew, and another pane may be there now."""
        self.show_soon()
