"""`wxtrace report`: a kept run as text for a bug tracker, in the order in which a maintainer reads."""

from __future__ import annotations

import argparse
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from wxtrace.commands.arguments import Parser
from wxtrace.commands.executable import ExecutableMemory
from wxtrace.commands.output import write_out
from wxtrace.commands.redaction import Redaction
from wxtrace.explain.blocks import Block, Heading, Item, event_blocks, with_text
from wxtrace.explain.build import Context, explain, name_text, regions_in
from wxtrace.explain.markdown import markdown_lines
from wxtrace.explain.plain import plain_lines
from wxtrace.explain.wording import disturbed_text, plural
from wxtrace.frozen import replace
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Amendment, CallStack, Event, Touched
from wxtrace.model.region import Region
from wxtrace.model.replay import Replay, signal_name
from wxtrace.model.run_view import RunView
from wxtrace.printable import printable
from wxtrace.record import store
from wxtrace.record.importing import Timeline
from wxtrace.record.opening import Record, open_record

__all__ = ["run"]

_MOST = 20
"""Different refusals that are written out; more are counted."""
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


class _First(NamedTuple):
    """The first of some refusals that are alike, and the regions that it met."""

    event: Event
    who: str
    regions: Dict[Optional[int], Region]

    def region_of(self, part: Touched) -> Optional[Region]:
        """The region of a part of the event's range."""
        return self.regions.get(part.region)


class _Report:
    def __init__(self, markdown: bool, redact: bool) -> None:
        self._markdown = markdown
        self._redaction = Redaction() if redact else None
        self._first: Dict[Tuple[object, ...], _First] = {}
        self._counts: Dict[Tuple[object, ...], int] = {}
        self._amendments: Dict[Tuple[object, ...], Amendment] = {}
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
            self._look_up_regions(told)
        # Even a word like a cause is anybody's in a timeline that was sent.
        blocks = [with_text(block, _harmless) for block in self._blocks(told)]
        if self._redaction is not None:
            blocks = self._redacted(blocks, told, self._redaction)
        lines = markdown_lines(blocks) if self._markdown else plain_lines(blocks)
        return "".join(line + "\n" for line in lines)

    def _redacted(self, blocks: Iterable[Block], replay: RunView, redaction: Redaction) -> List[Block]:
        # Who is meant by a name here may be told only further down.
        for block in blocks:
            redaction.learn(block.text)
        for process in replay.processes:
            for _, image in process.images:
                redaction.learn_arguments(image.argv)
        hidden = [with_text(block, redaction.apply) for block in blocks]
        return [*hidden, Item("hidden", redaction.told())]

    def _take(self, shown: object, replay: RunView) -> None:
        if isinstance(shown, Amendment) and shown.event is not None:
            key = _key(shown.event)
            if key in self._counts:
                before = self._amendments.get(key)
                if shown.fallback is None and before is not None and before.fallback is not None:
                    shown = replace(shown, fallback=before.fallback)
                self._amendments[key] = shown
        if isinstance(shown, CallStack) and shown.frames:
            self._stacks[shown.n] = shown
        if not isinstance(shown, Event):
            return
        self._events += 1
        who = name_text(replay.processes[shown.proc - 1].title_at(shown.n), shown.pid)
        self._executable.event(shown, who)
        if shown.outcome in (Outcome.REFUSED, Outcome.FAKED) and shown.diagnosis is not None:
            key = _key(shown)
            self._counts[key] = self._counts.get(key, 0) + 1
            if key not in self._first and len(self._first) < _MOST:
                self._first[key] = _First(shown, who, _regions(shown, replay) if isinstance(replay, Replay) else {})
        elif shown.name == "fault":
            self._faults.append((shown, who))
        elif shown.diagnosis is not None and shown.diagnosis.cause == "tracer.interference":
            self._disturbed[who.rpartition("[")[0]] = None

    def _look_up_regions(self, timeline: Timeline) -> None:
        """In a timeline regions and events stand apart."""
        wanted: Dict[Optional[int], List[_First]] = {}
        for first in self._first.values():
            for part in first.event.touched[:_MOST_PARTS]:
                wanted.setdefault(part.region, []).append(first)
        for region, _ in timeline.regions() if wanted else ():
            for first in wanted.get(region.id, ()):
                first.regions[region.id] = region

    def _blocks(self, replay: RunView) -> Iterator[Block]:
        run = replay.run
        assert run is not None
        argv = run.argv
        if self._redaction is not None:
            self._redaction.learn_arguments(argv)
            argv = self._redaction.apply_arguments(argv)
        total = sum(self._counts.values())
        refused = "%s refused" % plural(total, "call")
        if not total and replay.lost is not None:
            refused = "no refused call was recorded, and the record is incomplete"
        yield Heading("%s: %s" % (printable(_command(argv, run.attached)), refused))
        for key, first in self._first.items():
            event = first.event
            context = Context(
                first.who,
                first.region_of,
                amendment=self._amendments.get(key),
                stack=self._stacks.get(event.n),
                most_parts=_MOST_PARTS,
            )
            yield from event_blocks(explain(event, context), self._counts[key])
        for event, who in self._faults[:_MOST]:
            assert event.diagnosis is not None
            yield Item("fault", "%s: %s" % (who, printable(event.diagnosis.summary)))
        if self._disturbed:
            yield Item("traced", disturbed_text(self._disturbed))
        executable = self._executable.texts()
        if executable:
            yield Heading("Memory that became executable")
            for text in executable:
                yield Item("region", text)
            if self._executable.more:
                yield Item("and", "%d more" % self._executable.more)
        yield Heading("Where")
        host = run.host
        selinux = {None: "not running", True: "enforcing", False: "permissive"}[host.selinux_enforcing]
        yield Item("command", printable(_command(argv, run.attached), 2000))
        yield Item("started", "%s in %s" % (printable(run.started), printable(run.cwd)))
        yield Item("kernel", "%s, %s" % (printable(host.kernel), printable(host.machine)))
        yield Item("security", "SELinux %s; modules: %s" % (selinux, printable(", ".join(host.lsm)) or "unknown"))
        yield Item("ended", _ending(replay))
        processes = plural(len(replay.processes), "process", "processes")
        yield Item("seen", "%s in %s" % (plural(self._events, "event"), processes))
        yield Item("wxtrace", printable(run.tool_version))
        if replay.lost is not None:
            yield Item("incomplete", printable(replay.lost))


def _harmless(text: str) -> str:
    return printable(text, _MOST_TEXT)


def _command(argv: List[str], attached: Optional[int]) -> str:
    return " ".join(argv) if attached is None else "process %d" % attached


def _key(event: Event) -> Tuple[object, ...]:
    """What makes two refusals the same one again."""
    asked = event.touched[0].asked if event.touched else None
    cause = event.diagnosis.cause if event.diagnosis is not None else None
    return (event.proc, event.name, cause, event.errno, asked)


def _regions(event: Event, replay: Replay) -> Dict[Optional[int], Region]:
    region_of = regions_in(replay.space_of(event.tid))
    found = [region_of(part) for part in event.touched[:_MOST_PARTS]]
    return {region.id: region for region in found if region is not None}


def _ending(replay: RunView) -> str:
    if not replay.processes or not replay.processes[0].ended:
        return "still running" if replay.lost is None else "not known: the record ends before"
    main = replay.processes[0]
    if main.let_go:
        return "let go, still running"
    return (
        "killed by %s" % signal_name(main.exit_signal)
        if main.exit_signal is not None
        else "exit status %s" % main.exit_code
    )
