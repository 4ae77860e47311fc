"""`wxtrace export`: a journal becomes a timeline JSON."""

from __future__ import annotations

import io
import sys
import time
from typing import List, Optional, TextIO

from wxtrace.commands.arguments import Parser
from wxtrace.commands.output import OutputFile, standard_output
from wxtrace.errors import UsageError
from wxtrace.explain.wording import plural
from wxtrace.printable import printable
from wxtrace.record import store
from wxtrace.record.journalbytes import Cursor, JournalBytes
from wxtrace.record.opening import facts_of, open_record
from wxtrace.record.spool import open_spool
from wxtrace.record.timeline import write_timeline

__all__ = ["incomplete_text", "run", "write_timeline_of"]

_SILENT_SECONDS = 1.0
_BAR = 30
"""Columns."""


def run(arguments: List[str]) -> int:
    """Write the timeline of the last run, or of a named journal."""
    parser = Parser(
        prog="wxtrace export",
        description="Write the timeline of a kept run as JSON, for a bug report. Without JOURNAL: the last run.",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write; standard output when left out")
    parser.add_argument("--redact", action="store_true", help="hide users, home folders, hosts and secrets")
    parser.add_argument("journal", metavar="JOURNAL", nargs="?", help="a journal file; with --redact a timeline, too")
    options = parser.parse_args(arguments)
    path = options.journal or store.last_journal()
    with open_record(path) as record:
        if record.is_timeline and not options.redact:
            raise UsageError("%s is a timeline already; export writes the timeline of a journal" % printable(path))
        is_timeline = record.is_timeline
    journal = JournalBytes(path)
    write = _write_redacted if options.redact else _write_plain
    if options.output is None or options.output == "-":
        with standard_output() as out:
            said = write(journal, is_timeline, out)
    else:
        with OutputFile(options.output) as out:
            said = write(journal, is_timeline, out)
    for text in said:
        sys.stderr.write("wxtrace: %s\n" % text)
    return 0


def _write_plain(journal: JournalBytes, is_timeline: bool, out: TextIO) -> List[str]:
    lost = write_timeline_of(journal, out, sys.stderr)
    return [] if lost is None else [incomplete_text(lost)]


def _write_redacted(record: JournalBytes, is_timeline: bool, out: TextIO) -> List[str]:
    from wxtrace.commands.redacted_timeline import write_redacted

    if is_timeline:
        return ["hidden: " + write_redacted(record.cursor(), record.name, out)]
    with open_spool() as spool:
        text = io.TextIOWrapper(spool, encoding="ascii")
        said = _write_plain(record, False, text)
        text.flush()
        return [*said, "hidden: " + write_redacted(spool, record.name, out)]


def incomplete_text(lost: str) -> str:
    """What is said of a timeline whose record has no end."""
    return "the record is incomplete: %s; the timeline holds what came before" % printable(lost)


def write_timeline_of(journal: JournalBytes, out: TextIO, talk: TextIO) -> Optional[str]:
    """The timeline of `journal` into `out`: why it is incomplete, if it is. Raises RecordError and OSError."""
    cursor = journal.cursor()
    progress = _Progress(talk, cursor)
    try:
        return write_timeline(facts_of(cursor), out, progress.events).lost
    finally:
        progress.clear()


class _Progress:
    """A bar on a terminal, once it takes longer than a second; nothing anywhere else."""

    def __init__(self, stream: TextIO, journal: Cursor) -> None:
        self._stream = stream
        self._start = time.monotonic()
        self._shown = False
        self._journal = journal

    def events(self, count: int) -> None:
        """So many events are written. How far the journal is read is how far we are."""
        if time.monotonic() - self._start < _SILENT_SECONDS or not self._stream.isatty():
            return
        self._shown = True
        part = min(self._journal.tell() / max(self._journal.size, 1), 1.0)
        bar = "#" * int(part * _BAR)
        text = "writing the timeline [%-*s] %3d %%, %s" % (_BAR, bar, part * 100, plural(count, "event"))
        self._stream.write("\rwxtrace: %s\033[K" % text)
        self._stream.flush()

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
