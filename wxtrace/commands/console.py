"""The running commentary on stderr: each refused call as it happens, and the summary at the end."""

from __future__ import annotations

import time
from collections import Counter
from typing import Dict, Iterable, List, Optional, Set, TextIO, Tuple

from wxtrace.commands.executable import Searches, counts_text
from wxtrace.commands.terminal_writer import Page
from wxtrace.explain.build import Context, explain, name_text, regions_in, since_of
from wxtrace.explain.document import Document
from wxtrace.explain.palette import palette_for
from wxtrace.explain.terminal import TerminalText
from wxtrace.explain.wording import Endings, call_text, disturbed_text, ordinal, plural, result_text
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Amendment, CallStack, Event
from wxtrace.model.facts import Lost, Mismatch, Note
from wxtrace.model.replay import Replay, Shown
from wxtrace.printable import printable

__all__ = ["Console"]

_SHOWN_IN_FULL = 1
_SHOWN_SHORT = 5
_MOST_PARTS = 4
_MOST_SAID = 8192
"""Characters; two paths of the longest kind."""
_SILENCE = 10.0
"""Seconds after a refusal in which a program shows how it takes it."""


class Console:
    """Writes to one stream. `everything` adds a line for every event, `quiet` leaves the summary alone.

    `only` is the name or pid of the one program that is shown, `log` the name of the file that the stream writes.
    """

    def __init__(
        self,
        stream: TextIO,
        everything: bool = False,
        quiet: bool = False,
        only: Optional[str] = None,
        log: Optional[str] = None,
    ) -> None:
        self._page = Page(stream, log)
        # Calls that were shown with room for their caller, by event.
        self._without_caller: Dict[int, str] = {}
        self._everything = everything
        self._quiet = quiet
        self._only = only
        # The latest alarm, and when it was shown; None once the user was told that the program goes on.
        self._last_refused: Optional[Tuple[str, float]] = None
        self._colour = palette_for(stream)
        self._text = TerminalText(self._colour, self._page.wrapped, one_line=not self._page.on_terminal)
        self._outcomes: Counter[str] = Counter()
        self._repeats: Counter[Tuple[object, ...]] = Counter()
        self._by_cause: Dict[Tuple[str, str, str], Counter[str]] = {}
        self._endings: Dict[Tuple[str, str, str], Endings] = {}
        self._keys: Dict[int, Tuple[str, str, str]] = {}
        self._searches = Searches()
        self._faults: List[Event] = []
        # Processes with a refused call.
        self._alarmed: Set[int] = set()
        self._notes: Counter[str] = Counter()
        # Programs that were refused something because they are traced.
        self._disturbed: Counter[str] = Counter()

    def show(self, shown: Shown, replay: Replay) -> None:
        """One thing the story tells, written in one piece: the program writes to the same terminal."""
        self._tell(shown, replay)
        self._write()

    def _tell(self, shown: Shown, replay: Replay) -> None:
        if isinstance(shown, Event):
            self._event(shown, replay)
        elif isinstance(shown, Amendment):
            self._amendment(shown)
        elif isinstance(shown, CallStack):
            self._caller(shown)
        elif isinstance(shown, Note):
            self._note(shown)
        elif isinstance(shown, Mismatch):
            self._mismatch(shown)
        elif isinstance(shown, Lost):
            self._own_line("the record is incomplete: " + printable(shown.why))

    def be_brief(self) -> None:
        """No more lines for ordinary events."""
        if self._everything:
            self._everything = False
            self.say("the other calls that were recorded are not shown; the timeline has them")

    def say(self, text: str) -> None:
        """One line of ours, from whoever; nothing in it reaches the terminal raw."""
        self._own_line(printable(text, _MOST_SAID))
        self._write()

    def _own_line(self, text: str) -> None:
        self._lines(self._text.headed("wxtrace: ", self._colour.quiet, text))

    def _line(self, text: str) -> None:
        self._page.line(text)

    def _write(self) -> None:
        self._page.write()

    # As it happens

    def _event(self, event: Event, replay: Replay) -> None:
        self._outcomes["fault" if event.name == "fault" else event.outcome] += 1
        if self._only is not None and not self._wanted(event, replay):
            return
        if self._everything:
            self._one_line(event, replay)
        if event.name == "attach" and not self._quiet:
            # Silence would look like a hang.
            self._own_line("attached to %s; Ctrl-C detaches and leaves it running" % self._who(event, replay))
        if event.outcome in (Outcome.REFUSED, Outcome.FAKED):
            self._refused(event, replay)
        elif event.diagnosis is not None and event.diagnosis.cause == "tracer.interference":
            self._interference(event, replay)
        elif event.name == "fault" and event.diagnosis is not None:
            self._faults.append(event)
            # A signal that says nothing about memory is told only where it may be what came of an alarm.
            if not self._quiet and (event.diagnosis.cause != "fault.other" or event.proc in self._alarmed):
                self._fault(event, replay)

    def _wanted(self, event: Event, replay: Replay) -> bool:
        process = replay.processes[event.proc - 1]
        names = {process.title, str(process.pid)}
        if process.images:
            image = process.images[-1][1]
            names |= {image.comm, image.exe.rpartition("/")[2]}
        return self._only in names

    @property
    def holds(self) -> bool:
        """Whether something waits for the caller of a refused call to be found out, for a second at most."""
        return bool(self._page.held_for)

    def patience(self) -> Optional[float]:
        """Seconds until `still_running` has something to say; None for never."""
        held = self._page.held_for
        if held is not None:
            return max(held, 0.01)
        if self._last_refused is None or self._quiet:
            return None
        return max(self._last_refused[1] + _SILENCE - time.monotonic(), 0.01)

    def still_running(self) -> None:
        """A program that neither ends nor moves on after a refusal: say what stands behind the silence, once."""
        self._write()
        if self._last_refused is None or self._quiet or self.patience() != 0.01:
            return
        self.say("still running; last refused: %s" % self._last_refused[0])
        self._last_refused = None

    def _one_line(self, event: Event, replay: Replay) -> None:
        result = result_text(event)
        where = self._region_text(event, replay)
        mark = "" if event.outcome is Outcome.OK else "  <%s>" % event.outcome
        # A refused call and a fault have a block of their own.
        if event.outcome in (Outcome.FAILED, Outcome.PROBE) and event.diagnosis is not None and event.name != "fault":
            mark = "  <%s: %s>" % (event.outcome, event.diagnosis.cause)
        self._line("[%d] %s%s%s%s" % (event.tid, call_text(event), " = " + result if result else "", where, mark))

    def _region_text(self, event: Event, replay: Replay) -> str:
        """The part that the call leaves behind; `+2` for more parts it touched."""
        if not event.touched:
            return ""
        part = next((part for part in event.touched if part.after is not None), event.touched[0])
        words = [part.provenance or "", part.after or part.before or ""]
        space = replay.space_of(event.tid)
        piece = space.at(part.start) if space is not None else None
        if piece is not None and piece.region.id == part.region and piece.region.backing is not None:
            words.append(printable(piece.region.backing.path, 60))
        if len(event.touched) > 1:
            words.append("+%d" % (len(event.touched) - 1))
        return "  [%s]" % " ".join(word for word in words if word)

    def _who(self, event: Event, replay: Replay) -> str:
        return name_text(replay.processes[event.proc - 1].title_at(event.n), event.pid)

    def _refused(self, event: Event, replay: Replay) -> None:
        diagnosis = event.diagnosis
        cause = diagnosis.cause if diagnosis is not None else "unknown"
        key = (self._who(event, replay), event.name, cause)
        self._last_refused = ("%s in %s (%s)" % (call_text(event), key[0], cause), time.monotonic())
        self._keys[event.n] = key
        self._alarmed.add(event.proc)
        self._by_cause.setdefault(key, Counter())[event.errno or event.outcome] += 1
        # Of another process of the same program the reader learns nothing new either.
        program = replay.processes[event.proc - 1].title
        repeat = (program, *key[1:], event.errno, event.touched[0].asked if event.touched else None)
        self._repeats[repeat] += 1
        count = self._repeats[repeat]
        if self._quiet or count > _SHOWN_SHORT + 1:
            return
        text = self._text
        document = self._explained(event, replay)
        self._lines(text.head(document))
        if count > _SHOWN_IN_FULL:
            more = " (more like this are counted only)" if count == _SHOWN_SHORT + 1 else ""
            self._item("why", "as before: %s, in %s%s" % (cause, key[0], more))
            return
        if document.attempts is not None and document.cause is not None:
            self._lines(text.further_attempt(document))
            return
        self._lines(text.reason(document), text.memory(document), text.who(document))
        if event.stack_follows:
            late = list(text.item("caller", "not known yet: `wxtrace report` has it later"))
            self._page.gap(event.n, late)
            self._without_caller[event.n] = call_text(event)
        self._lines(text.proof(document), text.fixes(document))

    def _explained(self, event: Event, replay: Replay) -> Document:
        regions = regions_in(replay.space_of(event.tid))
        context = Context(
            self._who(event, replay),
            regions,
            fallback=replay.fallback_of(event),
            most_parts=_MOST_PARTS,
            since=since_of(replay.run),
        )
        return explain(event, context)

    def _fault(self, event: Event, replay: Replay) -> None:
        assert event.diagnosis is not None and event.details is not None
        c, text = self._colour, self._text
        head = "SIGNAL" if event.diagnosis.cause == "fault.other" else "FAULT"
        address = event.details["si_addr"]
        where = " at %s" % address if address is not None else ""
        document = self._explained(event, replay)
        self._line("%s%-6s%s   %s in %s%s" % (c.warn, head, c.end, event.details["signal"], document.who.name, where))
        self._lines(text.reason(document), text.memory(document), text.fixes(document))

    def _caller(self, stack: CallStack) -> None:
        """Into its block; where that was not held back so long, under a heading of its own."""
        call = self._without_caller.pop(stack.n, None)
        if call is not None and not self._page.fill(stack.n, self._text.caller(stack.frames)):
            self._lines(self._text.caller(stack.frames, call))

    def _item(self, label: str, text: str) -> None:
        self._lines(self._text.item(label, text))

    def _lines(self, *parts: Iterable[str]) -> None:
        for part in parts:
            for line in part:
                self._line(line)

    def _amendment(self, amendment: Amendment) -> None:
        key = self._keys.get(amendment.n)
        if key is None:
            return
        self._endings.setdefault(key, Endings()).take(amendment)
        fallback = amendment.fallback
        if fallback is not None and self._searches.take(fallback) and fallback.worked is not None:
            self._last_refused = None
            self._repeats[("got by", *key)] += 1
            if not self._quiet and self._repeats[("got by", *key)] <= _SHOWN_SHORT:
                c = self._colour
                which = ordinal(len(fallback.attempts)), fallback.worked.n
                text = "the %s way to get executable memory worked (event %d)" % which
                self._line("%sINSTEAD%s  %s" % (c.fix, c.end, text))
                self._item("who", key[0])
                self._item("way", printable(fallback.worked.way, 200))

    def _interference(self, event: Event, replay: Replay) -> None:
        """Our own doing is owned up to, once a program."""
        assert event.diagnosis is not None
        kind = self._who(event, replay).rpartition("[")[0]
        self._disturbed[kind] += 1
        if self._disturbed[kind] == 1:
            c = self._colour
            document = self._explained(event, replay)
            self._line("%sIN THE WAY%s  %s" % (c.warn, c.end, document.head))
            self._item("who", document.who.name)
            self._item("why", document.why)
            self._lines(self._text.fixes(document))

    def _note(self, note: Note) -> None:
        self._notes[note.kind] += 1
        if not self._quiet and self._notes[note.kind] == 1:
            self._own_line(printable(note.text))

    def _mismatch(self, mismatch: Mismatch) -> None:
        self._own_line(
            "MISMATCH after %s in thread %d: our map and /proc/PID/maps differ" % (mismatch.call, mismatch.tid)
        )
        for line in mismatch.expected:
            self._item("ours", printable(line))
        for line in mismatch.found:
            self._item("maps", printable(line))

    # At the end

    def summary(self, replay: Replay, seconds: float, ending: Optional[str], lost: Optional[str] = None) -> None:
        """What was refused, by whom, and what came of it; how many calls and processes.

        `lost` is why not everything came to us.
        """
        lost = lost or replay.lost
        c = self._colour
        total = sum(self._outcomes.values())
        for key, errnos in self._by_cause.items():
            who, call, cause = key
            refused = " ".join("%d× %s" % (count, name) for name, count in errnos.items())
            endings = self._endings.get(key, Endings())
            words = self._searches.endings(self._keys, key) or endings.words()
            self._own_line(
                "%s%s %s%s in %s: %s%s"
                % (c.refused, call, refused, c.end, who, cause, " — " + ", ".join(words) if words else "")
            )
        for event in self._faults:
            assert event.diagnosis is not None
            if event.diagnosis.cause == "fault.nx" and not self._by_cause:
                self._own_line("%s: %s" % (event.diagnosis.cause, printable(event.diagnosis.summary)))
        if self._disturbed:
            self._own_line(disturbed_text(self._disturbed))
        if not self._by_cause:
            elsewhere = self._outcomes[Outcome.REFUSED] + self._outcomes[Outcome.FAKED]
            if self._only is not None and elsewhere:
                text = "nothing was refused in %s; %s elsewhere (leave --only out to see them)"
                self._own_line(text % (printable(self._only), plural(elsewhere, "refused call")))
            elif lost is not None:
                self._own_line("no refused call was recorded, but the record is incomplete: %s" % printable(lost))
            else:
                self._own_line("no other call was refused" if self._disturbed else "nothing was refused")
        executable = counts_text(replay.origins.counts)
        if self._by_cause and executable is not None:
            self._own_line(executable)
        if replay.checked or replay.mismatches:
            self._own_line(
                "the map was compared with /proc/PID/maps %s: %s"
                % (plural(replay.checked, "time"), plural(replay.mismatches, "mismatch", "mismatches"))
            )
        if replay.dropped:
            self._own_line(
                "%s were not kept: the journal had reached its limit" % plural(replay.dropped, "ordinary call")
            )
        quiet = (Outcome.FAILED, Outcome.PROBE, Outcome.UNFINISHED)
        counted = [
            plural(count, outcome, "probes" if outcome is Outcome.PROBE else outcome)
            for outcome in quiet
            if (count := self._outcomes[outcome])
        ]
        processes = plural(len(replay.processes), "process", "processes")
        self._own_line(
            "%s in %s, %.2f s%s%s"
            % (
                plural(total, "event"),
                processes,
                seconds,
                " (%s)" % ", ".join(counted) if counted else "",
                "; " + ending if ending else "",
            )
        )
        self._page.write(everything=True)
