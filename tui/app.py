"""What the keys do."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right
from typing import ClassVar, Iterable, List, Optional

from textual import on, work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from wxtrace.errors import RecordError
from wxtrace.explain.document import Document
from wxtrace.tui.detail_panes import document_of
from wxtrace.tui.dialogs import Choice, ChoiceDialog, FilterDialog, LinesDialog, PromptDialog
from wxtrace.tui.exporting import export
from wxtrace.tui.filters import ALL, Filter, search_matcher
from wxtrace.tui.help import KEYS, help_lines
from wxtrace.tui.issue_text import issue_text
from wxtrace.tui.lazy_lines import LazyLines
from wxtrace.tui.output_pane import LEAVE_KEY
from wxtrace.tui.pane import Pane
from wxtrace.tui.processes import ProcessLines, nothing_refused
from wxtrace.tui.regions import HistoryLines
from wxtrace.tui.run_app import RunApp

__all__ = ["TraceApp"]

_WORKING = 0.010
"""Seconds between two looks at the keyboard."""
_LIGHT, _DARK = "textual-light", "textual-dark"


class TraceApp(RunApp):
    """One run on the screen."""

    BINDINGS: ClassVar[List[BindingType]] = [
        *(
            Binding(key.keys, key.action, key.footer or key.text, show=bool(key.footer), key_display=key.shown)
            for key in KEYS
        ),
        Binding("ctrl+q,ctrl+c", "leave", "quit", show=False),
        Binding("escape", "list_all", "list all", show=False),
        Binding(LEAVE_KEY, "to_events", "leave the program's terminal", show=False),
    ]

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every key's command by name, and Textual's own."""
        for key in KEYS:
            if not key.action.startswith("app."):
                yield SystemCommand("%s (%s)" % (key.text, key.shown), "", getattr(self, "action_" + key.action))
        yield SystemCommand("theme", "choose the colours", self.action_change_theme)

    # Moving

    def on_key(self) -> None:
        """From the first key on, nobody else moves the cursor."""
        self.touched = True
        self._last_key = time.monotonic()

    def _select(self, n: int) -> None:
        self.touched = True
        self.events.follow = False
        if not 1 <= n <= len(self.index):
            self.say("Event %d is not in this record%s." % (n, "" if self.index.complete else " so far"))
        elif not self.events.select(n):
            self.events.relist(ALL, self.events.listing.fold)
            self.events.select(n)
            self.say("The filter hid that event: all are listed again.")

    def _jump(self, n: int) -> None:
        if self.events.selected is not None:
            self._jumped_from.append(self.events.selected)
        self._select(n)

    def action_next_refused(self) -> None:
        """The next alarm after the cursor."""
        alarms = self.index.columns.alarms
        i = bisect_right(alarms, self.events.last_selected)
        self._waits_at = None
        if i < len(alarms):
            self._select(alarms[i])
        elif self.live is None and not self.growing and not self.index.complete:
            self._waits_at = self.events.selected or 1
            self.say("Reading on to the next refused call … (moving the cursor stops it)")
        elif not alarms:
            self.say(nothing_refused(self.index))
        else:
            self.say("That was the last refused call%s." % ("" if self.index.complete else " so far"))

    def look_on(self) -> None:
        """Whoever waits for the next refused call, and has not moved since, is taken there as soon as it is read."""
        if self._waits_at is None:
            return
        if self._waits_at != (self.events.selected or 1):
            self._waits_at = None
        elif self.index.complete or max(self.index.columns.alarms[-1:], default=0) > self.events.last_selected:
            self.action_next_refused()

    def action_previous_refused(self) -> None:
        """The alarm before the cursor."""
        alarms = self.index.columns.alarms
        i = bisect_left(alarms, self.events.selected or 0)
        if i > 0:
            self._select(alarms[i - 1])
        else:
            self.say("Nothing was refused before." if alarms else nothing_refused(self.index))

    def action_follow(self) -> None:
        """The newest event, and every newer one."""
        self.events.follow = not self.events.follow
        if self.events.follow:
            self.events.action_go_last()

    def action_jump_back(self) -> None:
        """Where the last jump came from."""
        if self._jumped_from:
            self._select(self._jumped_from.pop())

    @on(Pane.Moved)
    def _stop_following(self, event: Pane.Moved) -> None:
        if event.pane is self.events and self.events.cursor < len(self.events.listing) - 1:
            self.events.follow = False

    # Enter

    @on(Pane.Chosen)
    def _chosen(self, event: Pane.Chosen) -> None:
        if event.pane is self.events:
            if not self.events.unfold():
                self.action_why()
        elif event.pane is self.why:
            line = self.why.line
            if line is not None and line.jump is not None:
                self._jump(line.jump)
            elif line is not None and line.copy is not None:
                self._copy(line.copy)
        elif event.pane is self.map:
            self._show_history()

    @work
    async def _show_history(self) -> None:
        row, n = self.map.row, self.map.n
        if row is None or n is None:
            return
        lines = HistoryLines(self.index, row, self.map.space, n)
        await self._work_on(lines)
        line = await self.push_screen_wait(
            LinesDialog("What became of these pages (Enter: go there)", lines, len(lines) - 1)
        )
        if line is not None and line.jump is not None:
            self._jump(line.jump)

    async def _work_on(self, lines: LazyLines) -> None:
        """In slices: a key that comes meanwhile is answered first."""
        while not lines.work(_WORKING):
            await asyncio.sleep(0)

    # Panes

    def _bring(self, name: str) -> None:
        """In a narrow window one pane has the lower part; again, and it is the why pane's."""
        screen = self.screen
        narrow = screen.has_class("-narrow")
        there = screen.has_class("-" + name)
        for other in ("map", "output"):
            screen.set_class(other == name and not (narrow and there), "-" + other)
        back = narrow and there
        self.query_one("#events" if back else "#" + name, Pane).focus()
        self.show_soon()

    def action_map(self) -> None:
        """The region map."""
        self._bring("map")

    def action_output(self) -> None:
        """The program's terminal."""
        if self.live is None or not self.live.has_terminal:
            self.say("Output is only shown while a program runs: wxtrace tui -- PROGRAM")
            return
        self._bring("output")

    def action_why(self) -> None:
        """The why pane."""
        self.screen.remove_class("-map", "-output")
        self.why.focus()
        self.show_soon()

    def action_to_events(self) -> None:
        """Back to the list."""
        self.events.focus()

    @work
    async def action_processes(self) -> None:
        """The tree; Enter lists one process."""
        lines = ProcessLines(self.index)
        await self._work_on(lines)
        line = await self.push_screen_wait(LinesDialog("Processes (Enter: list only its events)", lines))
        if line is not None and line.copy is not None:
            self._filter(ALL._replace(process=line.copy))

    @work
    async def action_help(self) -> None:
        """Every key."""
        await self.push_screen_wait(LinesDialog("Keys", help_lines()))

    def action_theme(self) -> None:
        """Dark or light."""
        self.theme = _LIGHT if self.current_theme.dark else _DARK

    # Lists

    def _filter(self, wanted: Filter) -> None:
        self.touched = True
        self.events.relist(wanted, self.events.listing.fold)

    @work
    async def action_filter(self) -> None:
        """Ask for the conditions."""
        wanted = await self.push_screen_wait(FilterDialog(self.events.listing.wanted))
        if wanted is not None:
            self._filter(wanted)
            self.events.focus()

    def action_only_refused(self) -> None:
        """On or off."""
        wanted = self.events.listing.wanted
        self._filter(wanted._replace(refused=not wanted.refused))

    def action_only_exec(self) -> None:
        """On or off."""
        wanted = self.events.listing.wanted
        self._filter(wanted._replace(gains_exec=not wanted.gains_exec))

    def action_list_all(self) -> None:
        """Escape: no filter; in a narrow window the why pane again."""
        if self.events.listing.wanted != ALL:
            self._filter(ALL)
        self.screen.remove_class("-map", "-output")
        self.events.focus()
        self.show_soon()

    def action_toggle_fold(self) -> None:
        """Repetitions in one row, or each in its own."""
        self.events.relist(self.events.listing.wanted, not self.events.listing.fold)

    @work
    async def action_search(self) -> None:
        """Ask what for, and go to the next."""
        text = await self.push_screen_wait(
            PromptDialog("Search from here on (call, process, file, cause, address)", self._searched)
        )
        if text:
            self._searched = text
            self.action_search_again()

    def action_search_again(self) -> None:
        """The next one; from the start where there is none."""
        if not self._searched:
            self.action_search()
            return
        matches = search_matcher(self._searched, self.index.columns)
        here = self.events.last_selected
        listing = self.events.listing
        order = [*range(here + 1, len(self.index) + 1), *range(1, here + 1)]
        found = next((n for n in order if matches(n) and listing.shows(n)), None)
        if found is None:
            so_far = "" if self.index.complete else " in what was read so far"
            self.say("Nothing matches “%s”%s." % (self._searched, so_far))
            return
        if found <= here:
            self.say("From the start again.")
        self._jump(found)

    # Out of here

    @work
    async def action_export(self) -> None:
        """The timeline, or a report."""
        what = await self.push_screen_wait(
            ChoiceDialog(
                "Export this run",
                [Choice("j", "timeline as JSON", "json"), Choice("r", "report as Markdown, for a bug tracker", "md")],
            )
        )
        if what is None:
            return
        name = await self.push_screen_wait(PromptDialog("Write to which file?", "wxtrace-run.%s" % what))
        if name:
            self.say("Writing %s …" % name)
            failure = await export(self.record, what, name)
            self.say(failure or "Written: %s" % name, "refused" if failure else "heading")

    @work
    async def action_copy(self) -> None:
        """What may be copied of the selected event."""
        selected = self.events.selected
        if selected is None:
            self.say("No event is selected.")
            return
        try:
            document = document_of(self.index, selected)
        except RecordError as error:
            self.say("The record cannot be read any more: %s" % error, "warn")
            return
        choices = [
            Choice("c", "the call", document.head),
            Choice("d", "the diagnosis, as text for an issue", self._issue(document)),
        ]
        commands = [fix.command for fix in document.fixes if fix.command]
        if commands:
            choices.append(Choice("f", "the fix: %s" % commands[0], commands[0]))
        text = await self.push_screen_wait(ChoiceDialog("Copy to the clipboard", choices))
        if text is not None:
            self._copy(text)

    def _issue(self, document: Document) -> str:
        run = self.index.replay.run
        return issue_text(
            document, " ".join(run.argv) if run is not None else "", run.tool_version if run is not None else ""
        )

    def _copy(self, text: str) -> None:
        self.copy_to_clipboard(text.encode("utf-8", "backslashreplace").decode("utf-8"))
        self.say("Copied, if your terminal lets programs copy (OSC 52).")

    @work
    async def action_leave(self) -> None:
        """Quit; what becomes of a running program is asked."""
        live = self.live
        if live is None or not live.running:
            self.exit(live.status() if live is not None else 0)
            return
        # What was attached to is let go when nobody looks; what was started needs its tracer to the end.
        if live.attached:
            first = Choice("d", "detach: it runs on, and is recorded no more", "detach")
        else:
            first = Choice("g", "go on without the screen: it runs on and is recorded", "go")
        choices = [first, Choice("e", "end the program", "end"), Choice("s", "stay here", "stay")]
        answer = await self.push_screen_wait(ChoiceDialog("The program still runs", choices))
        if answer in ("go", "detach", "end") and not live.running:
            # It ended while the question stood there.
            self.exit(live.status())
        elif answer == "go":
            self.headless = True
            self.exit(0)
        elif answer == "detach":
            live.ask_to_detach()
            self.set_interval(0.05, self._leave_when_detached)
        elif answer == "end":
            self.say("The program is " + live.end_program())

    def _leave_when_detached(self) -> None:
        assert self.live is not None
        if self.live.detached or not self.live.running:
            self.exit(0)
        else:
            self.live.ask_to_detach()

    headless = False
    """Whether the program was left running on purpose."""
    _searched = ""
    _waits_at: Optional[int] = None
    """The event from which the next refused one is waited for, while a journal is read."""

    def on_mount(self) -> None:
        """Nothing was jumped from yet."""
        self._jumped_from: List[int] = []
        super().on_mount()
