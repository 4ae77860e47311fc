"""`wxtrace report`: a kept run as text for a bug tracker, in the order in which a maintainer reads."""

from __future__ import annotations

import argparse
from typing import Callable, Dict, List, Optional, Tuple, Union

from wxtrace.commands.arguments import Parser
from wxtrace.commands.executable import ExecutableMemory
from wxtrace.commands.markdown import code_block, inert
from wxtrace.commands.output import write_out
from wxtrace.commands.redaction import Redaction
from wxtrace.commands.wording import (
    by_whom,
    call_text,
    caller_texts,
    disturbed_text,
    ending_text,
    ladder_text,
    memory_text,
    plural,
    result_text,
)
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Amendment, CallStack, Event, Ladder, Touched
from wxtrace.model.region import Region
from wxtrace.model.story import Story, signal_name
from wxtrace.printable import printable
from wxtrace.record import store
from wxtrace.record.importing import Timeline
from wxtrace.record.opening import Record, open_record

__all__ = ["run"]

Told = Union[Story, Timeline]

_MOST = 20
"""Different refusals that are written out; more are counted."""
_MOST_CALLERS = 12
_MOST_PARTS = 4
_MOST_TEXT = 4000


def run(arguments: List[str]) -> int:
    """Write the report of the last run, or of a named journal or timeline, to standard output."""
    parser = Parser(
        prog="wxtrace report",
        description="Tell a kept run, or a timeline that somebody sent, for a bug tracker. Without FILE: the last run.",
    )
    parser.add_argument("--format", choices=("text", "markdown"), default="text", help="plain text or Markdown")
    parser.add_argument("--redact", action="store_true", help="hide users, home folders, hosts and secrets")
    parser.add_argument("file", metavar="FILE", nargs="?", help="a journal, or a timeline in JSON")
    options: argparse.Namespace = parser.parse_args(arguments)
    report = _Report(options.format == "markdown", options.redact)
    with open_record(options.file or store.last_journal(), report.became_executable) as record:
        text = report.tell(record)
    write_out(text)
    return 0


class _Report:
    def __init__(self, markdown: bool, redact: bool) -> None:
        self._markdown = markdown
        self._redaction = Redaction() if redact else None
        self._lines: List[Tuple[Callable[[str], List[str]], str]] = []
        self._first: Dict[Tuple[object, ...], Tuple[Event, List[str], str]] = {}
        self._counts: Dict[Tuple[object, ...], int] = {}
        self._endings: Dict[Tuple[object, ...], str] = {}
        self._ladders: Dict[Tuple[object, ...], Ladder] = {}
        self._faults: List[Tuple[Event, str]] = []
        self._stacks: Dict[int, CallStack] = {}
        self._disturbed: Dict[str, None] = {}
        self._events = 0
        self._executable = ExecutableMemory()

    def became_executable(self, region: Region, word: str) -> None:
        """Hear how a region became executable."""
        self._executable.take(region, word)

    def tell(self, record: Record) -> str:
        """The whole report."""
        told = record.told
        for shown in record.shown():
            self._take(shown, told)
        if isinstance(told, Timeline):
            self._look_up_memory(told)
        self._write(told)
        if self._redaction is None:
            lines = [line for render, text in self._lines for line in render(text)]
        else:
            for process in told.processes:
                for _, image in process.images:
                    self._redaction.learn_arguments(image.argv)
            lines = [line for render, text in self._lines for line in render(self._redaction.apply(text))]
            self._item("hidden", self._redaction.told())
            render, text = self._lines[-1]
            lines += render(text)
        return "\n".join(lines) + "\n"

    def _take(self, shown: object, story: Told) -> None:
        if isinstance(shown, Amendment) and shown.event is not None:
            key = _key(shown.event)
            if key in self._counts:
                self._endings[key] = ending_text(shown.aftermath, shown.ending)
                if shown.ladder is not None:
                    self._ladders[key] = shown.ladder
        if isinstance(shown, CallStack) and shown.frames:
            self._stacks[shown.n] = shown
        if not isinstance(shown, Event):
            return
        self._events += 1
        who = "%s[%d]" % (printable(story.processes[shown.proc - 1].title_at(shown.n) or "?", 40), shown.pid)
        self._executable.event(shown, who)
        if shown.outcome in (Outcome.REFUSED, Outcome.FAKED) and shown.diagnosis is not None:
            key = _key(shown)
            self._counts[key] = self._counts.get(key, 0) + 1
            if key not in self._first and len(self._first) < _MOST:
                self._first[key] = (shown, _memory(shown, story) if isinstance(story, Story) else [], who)
        elif shown.name == "fault":
            self._faults.append((shown, who))
        elif shown.diagnosis is not None and shown.diagnosis.cause == "tracer.interference":
            self._disturbed[who.rpartition("[")[0]] = None

    def _look_up_memory(self, timeline: Timeline) -> None:
        """In a timeline regions and events stand apart."""
        events = [event for event, _, _ in self._first.values()]
        wanted = {part.region for event in events for part in event.touched[:_MOST_PARTS]}
        found = {region.id: region for region, _ in timeline.regions() if region.id in wanted} if wanted else {}
        for key, (event, _, who) in self._first.items():
            parts = event.touched[:_MOST_PARTS]
            self._first[key] = (event, [_part(part, found.get(part.region or 0)) for part in parts], who)

    def _write(self, story: Told) -> None:
        run = story.run
        assert run is not None
        argv = run.argv
        if self._redaction is not None:
            self._redaction.learn_arguments(argv)
            argv = self._redaction.apply_arguments(argv)
        total = sum(self._counts.values())
        refused = "%s refused" % plural(total, "call")
        if not total and story.lost is not None:
            refused = "no refused call was recorded, and the record is incomplete"
        self._heading("%s: %s" % (printable(_command(argv, run.attached)), refused))
        for key, (event, memory, who) in self._first.items():
            self._refusal(event, memory, who, self._counts[key], self._endings.get(key, ""), self._ladders.get(key))
        for event, who in self._faults[:_MOST]:
            assert event.diagnosis is not None
            self._item("fault", "%s: %s" % (who, printable(event.diagnosis.summary)))
        if self._disturbed:
            self._item("traced", disturbed_text(self._disturbed))
        executable = self._executable.texts()
        if executable:
            self._heading("Memory that became executable")
            for text in executable:
                self._item("region", text)
            if self._executable.more:
                self._item("and", "%d more" % self._executable.more)
        self._heading("Where")
        host = run.host
        selinux = {None: "not running", True: "enforcing", False: "permissive"}[host.selinux_enforcing]
        self._item("command", printable(_command(argv, run.attached), 2000))
        self._item("started", "%s in %s" % (printable(run.started), printable(run.cwd)))
        self._item("kernel", "%s, %s" % (printable(host.kernel), printable(host.machine)))
        self._item("security", "SELinux %s; modules: %s" % (selinux, printable(", ".join(host.lsm)) or "unknown"))
        self._item("ended", _ending(story))
        self._item(
            "seen", "%s in %s" % (plural(self._events, "event"), plural(len(story.processes), "process", "processes"))
        )
        self._item("wxtrace", printable(run.tool_version))
        if story.lost is not None:
            self._item("incomplete", printable(story.lost))

    def _refusal(
        self, event: Event, memory: List[str], who: str, count: int, ending: str, ladder: Optional[Ladder]
    ) -> None:
        diagnosis = event.diagnosis
        assert diagnosis is not None
        result = result_text(event)
        self._code(call_text(event) + (" = " + result if result else ""))
        self._item("why", printable(diagnosis.summary, 1000))
        by = " by %s" % by_whom(diagnosis.refused_by) if diagnosis.refused_by else ""
        self._item("cause", "%s%s, %s" % (diagnosis.cause, by, diagnosis.confidence))
        self._item("who", who + (", %d times" % count if count > 1 else ""))
        stack = self._stacks.get(event.n)
        for text in caller_texts(stack.frames, _MOST_CALLERS) if stack is not None else ():
            self._item("caller", text)
        for text in memory:
            self._item("memory", text)
        for evidence in diagnosis.evidence:
            self._item("evidence", "%s (%s)" % (printable(evidence.fact), printable(evidence.source)))
        if diagnosis.partial is not None:
            changed = diagnosis.partial
            self._item(
                "half done", "%d of %s changed all the same" % (changed.changed_pages, plural(changed.pages, "page"))
            )
        if ladder is not None and event.n != ladder.rungs[0].n:
            self._item("then", "a further attempt of the search that began with event %d" % ladder.rungs[0].n)
        elif ladder is not None:
            self._item("then", ladder_text(ladder))
            for rung in ladder.rungs:
                self._item("tried", "event %d: %s: %s" % (rung.n, printable(rung.way, 200), rung.cause or "worked"))
        elif ending:
            self._item("then", ending)
        for fix in diagnosis.fixes:
            command = "  $ " + printable(fix.command) if fix.command else ""
            self._item("fix", "(%s) %s%s" % (fix.audience, printable(fix.text), command))

    def _heading(self, text: str) -> None:
        blank = [""] if self._lines else []

        def render(text: str) -> List[str]:
            return [*blank, "## " + inert(text)] if self._markdown else [*blank, text, "=" * len(text)]

        self._add(render, text)

    def _code(self, text: str) -> None:
        def render(text: str) -> List[str]:
            return ["", code_block(text), ""] if self._markdown else ["", text]

        self._add(render, text)

    def _item(self, label: str, text: str) -> None:
        def render(text: str) -> List[str]:
            return ["- **%s**: %s" % (label, inert(text)) if self._markdown else "  %-9s %s" % (label, text)]

        self._add(render, text)

    def _add(self, render: Callable[[str], List[str]], text: str) -> None:
        # Even a word like a cause is anybody's in a timeline that was sent.
        text = printable(text, _MOST_TEXT)
        if self._redaction is not None:
            # Who is meant by a name here may be told only further down.
            self._redaction.learn(text)
        self._lines.append((render, text))


def _command(argv: List[str], attached: int | None) -> str:
    return " ".join(argv) if attached is None else "process %d" % attached


def _key(event: Event) -> Tuple[object, ...]:
    """What makes two refusals the same one again."""
    asked = event.touched[0].asked if event.touched else None
    cause = event.diagnosis.cause if event.diagnosis is not None else None
    return (event.proc, event.name, cause, event.errno, asked)


def _memory(event: Event, story: Story) -> List[str]:
    space = story.space_of(event.tid)
    texts = []
    for part in event.touched[:_MOST_PARTS]:
        piece = space.at(part.start) if space is not None and part.region is not None else None
        texts.append(_part(part, piece.region if piece is not None else None))
    return texts


def _part(part: Touched, region: Optional[Region]) -> str:
    path = region.backing.path if region is not None and region.backing is not None else ""
    origin = "from event %d" % region.created_by if region is not None and region.created_by is not None else ""
    return memory_text(part, path, origin)


def _ending(story: Told) -> str:
    if not story.processes or not story.processes[0].ended:
        return "still running" if story.lost is None else "not known: the record ends before"
    main = story.processes[0]
    if main.let_go:
        return "let go, still running"
    return (
        "killed by %s" % signal_name(main.exit_signal)
        if main.exit_signal is not None
        else "exit status %s" % main.exit_code
    )
