"""`wxtrace report`: a kept run as text for a bug tracker, in the order in which a maintainer reads."""

from __future__ import annotations

import argparse
import os
import pwd
import re
import socket
import sys
from typing import Dict, List, Tuple

from wxtrace.commands.arguments import Parser
from wxtrace.commands.wording import ENDINGS, call_text, memory_text, plural, result_text
from wxtrace.errors import RecordError
from wxtrace.model.event import FAKED, REFUSED, Amendment, Event
from wxtrace.model.story import Story, signal_name
from wxtrace.printable import printable
from wxtrace.record import store
from wxtrace.record.journal import JournalReader

__all__ = ["redacted", "run"]

_MOST = 20
"""Different refusals that are written out; more are counted."""


def run(arguments: List[str]) -> int:
    """Write the report of the last run, or of a named journal, to standard output."""
    parser = Parser(
        prog="wxtrace report",
        description="Tell a kept run for a bug tracker. Without JOURNAL: the last run.",
    )
    parser.add_argument("--format", choices=("text", "markdown"), default="text", help="plain text or Markdown")
    parser.add_argument("--redact", action="store_true", help="leave out user names, home folders and the host name")
    parser.add_argument("journal", metavar="JOURNAL", nargs="?", help="a journal file")
    options: argparse.Namespace = parser.parse_args(arguments)
    path = options.journal or store.last_journal()
    with store.open_journal(path) as file:
        report = _Report(options.format == "markdown", options.redact)
        text = report.tell(JournalReader(file, printable(path)))
    sys.stdout.write(text)
    return 0


def redacted(text: str) -> str:
    """Home folders become /home/USER; the user's and the host's name USER and HOST. For text that a target chose."""
    homes = {os.path.expanduser("~")} | {entry.pw_dir for entry in pwd.getpwall() if entry.pw_uid >= 1000}
    for home in sorted((home for home in homes if home.count("/") >= 1 and len(home) > 1), key=len, reverse=True):
        if home != "/nonexistent":
            text = re.sub(r"(?<![\w/])%s(?=[/\s,)'\"]|$)" % re.escape(home), "/home/USER", text)
    text = re.sub(r"(?<![\w/])/home/[^/\s,)'\"]+", "/home/USER", text)
    names = {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid >= 1000 and entry.pw_name != "nobody"}
    for name in names:
        text = re.sub(r"\b%s\b" % re.escape(name), "USER", text)
    host = socket.gethostname()
    return re.sub(r"(?<![\w./-])%s(?![\w./-])" % re.escape(host), "HOST", text) if host else text


class _Report:
    def __init__(self, markdown: bool, redact: bool) -> None:
        self._markdown = markdown
        self._redact = redact
        self._lines: List[str] = []
        self._first: Dict[Tuple[object, ...], Tuple[Event, List[str], str]] = {}
        self._counts: Dict[Tuple[object, ...], int] = {}
        self._keys: Dict[int, Tuple[object, ...]] = {}
        self._endings: Dict[Tuple[object, ...], str] = {}
        self._faults: List[Tuple[Event, str]] = []
        self._events = 0

    def tell(self, reader: JournalReader) -> str:
        story = Story()
        for fact in reader.all():
            for shown in story.feed(fact):
                self._take(shown, story)
        for shown in story.finish():
            self._take(shown, story)
        if story.run is None:
            raise RecordError("the journal holds no run: it ends before the program was started")
        self._write(story)
        return "\n".join(self._lines) + "\n"

    def _take(self, shown: object, story: Story) -> None:
        if isinstance(shown, Amendment):
            key = self._keys.get(shown.n)
            if key is not None:
                self._endings[key] = shown.aftermath
        if not isinstance(shown, Event):
            return
        self._events += 1
        who = "%s[%d]" % (printable(story.processes[shown.proc - 1].title or "?", 40), shown.pid)
        if shown.outcome in (REFUSED, FAKED) and shown.diagnosis is not None:
            asked = shown.touched[0].asked if shown.touched else None
            key = (shown.proc, shown.name, shown.diagnosis.cause, shown.errno, asked)
            self._keys[shown.n] = key
            self._counts[key] = self._counts.get(key, 0) + 1
            if key not in self._first and len(self._first) < _MOST:
                self._first[key] = (shown, _memory(shown, story), who)
        elif shown.name == "fault":
            self._faults.append((shown, who))

    def _write(self, story: Story) -> None:
        run = story.run
        assert run is not None
        total = sum(self._counts.values())
        self._heading("%s: %s refused" % (printable(_command(run.argv, run.attached)), plural(total, "call")))
        for key, (event, memory, who) in self._first.items():
            self._refusal(event, memory, who, self._counts[key], self._endings.get(key, ""))
        for event, who in self._faults[:_MOST]:
            assert event.diagnosis is not None
            self._item("fault", "%s: %s" % (who, printable(event.diagnosis.summary)))
        self._heading("Where")
        host = run.host
        selinux = {None: "not running", True: "enforcing", False: "permissive"}[host.selinux_enforcing]
        self._item("command", printable(_command(run.argv, run.attached), 2000))
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

    def _refusal(self, event: Event, memory: List[str], who: str, count: int, ending: str) -> None:
        diagnosis = event.diagnosis
        assert diagnosis is not None
        self._code("%s = %s" % (call_text(event), result_text(event)))
        self._item("why", printable(diagnosis.summary, 1000))
        by = " by the %s" % diagnosis.refused_by if diagnosis.refused_by else ""
        self._item("cause", "%s%s, %s" % (diagnosis.cause, by, diagnosis.confidence))
        self._item("who", who + (", %d times" % count if count > 1 else ""))
        for text in memory:
            self._item("memory", text)
        for evidence in diagnosis.evidence:
            self._item("evidence", "%s (%s)" % (printable(evidence.fact), printable(evidence.source)))
        if diagnosis.partial is not None:
            changed = diagnosis.partial
            self._item(
                "half done", "%d of %s changed all the same" % (changed.changed_pages, plural(changed.pages, "page"))
            )
        if ENDINGS.get(ending):
            self._item("then", ENDINGS[ending])
        for fix in diagnosis.fixes:
            command = "  $ " + printable(fix.command) if fix.command else ""
            self._item("fix", "(%s) %s%s" % (fix.audience, printable(fix.text), command))

    def _heading(self, text: str) -> None:
        if self._lines:
            self._lines.append("")
        text = self._foreign(text)
        self._lines += ["## " + text] if self._markdown else [text, "=" * len(text)]

    def _code(self, text: str) -> None:
        self._lines += ["", "```", text, "```", ""] if self._markdown else ["", text]

    def _item(self, label: str, text: str) -> None:
        text = self._foreign(text)
        self._lines.append("- **%s**: %s" % (label, text) if self._markdown else "  %-9s %s" % (label, text))

    def _foreign(self, text: str) -> str:
        """A target's names may hold whatever Markdown, HTML or a curious reader makes of them."""
        if self._redact and "/proc/sys/" not in text and "vm." not in text:
            text = redacted(text)
        return re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", text) if self._markdown else text


def _command(argv: List[str], attached: int | None) -> str:
    return " ".join(argv) if attached is None else "process %d" % attached


def _memory(event: Event, story: Story) -> List[str]:
    space = story.space_of(event.tid)
    texts = []
    for part in event.touched[:4]:
        piece = space.at(part.start) if space is not None and part.region is not None else None
        backing = piece.region.backing if piece is not None else None
        origin = ""
        if piece is not None and piece.region.created_by is not None:
            origin = "from event %d" % piece.region.created_by
        texts.append(memory_text(part, backing.path if backing is not None else "", origin))
    return texts


def _ending(story: Story) -> str:
    if not story.processes or not story.processes[0].ended:
        return "still running"
    main = story.processes[0]
    if main.let_go:
        return "let go, still running"
    return (
        "killed by %s" % signal_name(main.exit_signal)
        if main.exit_signal is not None
        else "exit status %s" % main.exit_code
    )
