"""`wxtrace export`: a journal becomes a timeline JSON."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import BinaryIO, List, Optional, TextIO

from wxtrace.commands.arguments import Parser
from wxtrace.commands.wording import plural
from wxtrace.errors import UsageError, WxtraceError
from wxtrace.printable import printable
from wxtrace.record import store
from wxtrace.record.journal import JournalReader
from wxtrace.record.opening import open_record
from wxtrace.record.timeline import write_timeline

__all__ = ["run", "write_file"]

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
    parser.add_argument("journal", metavar="JOURNAL", nargs="?", help="a journal file")
    options = parser.parse_args(arguments)
    path = options.journal or store.last_journal()
    with open_record(path) as record:
        if record.is_timeline:
            raise UsageError("%s is a timeline already; export writes the timeline of a journal" % printable(path))
    if options.output is None or options.output == "-":
        write_file(path, sys.stdout.buffer, "standard output", sys.stderr)
        return 0
    try:
        output = open(options.output, "wb")
    except OSError as error:
        raise UsageError("cannot write %s: %s" % (printable(options.output), error.strerror)) from None
    write_file(path, output, options.output, sys.stderr)
    return 0


def write_file(journal: str, output: BinaryIO, name: str, talk: TextIO) -> None:
    """The timeline of `journal` into `output`. Raises WxtraceError when it cannot be read or written."""
    progress = _Progress(talk)
    try:
        with store.open_journal(journal) as raw, io.TextIOWrapper(output, encoding="ascii", newline="\n") as out:
            if out.seekable() and os.path.isfile(name):
                out.truncate(0)
            progress.follow(raw)
            story = write_timeline(JournalReader(raw, printable(journal)).all(), out, progress.events)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WxtraceError("the timeline could not be written to %s: %s" % (printable(name), error.strerror)) from None
    finally:
        progress.clear()
    if story.lost is not None:
        lost = printable(story.lost)
        talk.write("wxtrace: the record is incomplete: %s; the timeline holds what came before\n" % lost)


class _Progress:
    """A bar on a terminal, once it takes longer than a second; nothing anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._start = time.monotonic()
        self._shown = False
        self._journal: Optional[BinaryIO] = None

    def follow(self, journal: BinaryIO) -> None:
        """How far this file is read is how far we are."""
        self._journal = journal

    def events(self, count: int) -> None:
        """So many events are written."""
        if self._journal is None or time.monotonic() - self._start < _SILENT_SECONDS or not self._stream.isatty():
            return
        self._shown = True
        part = min(self._journal.tell() / max(os.fstat(self._journal.fileno()).st_size, 1), 1.0)
        bar = "#" * int(part * _BAR)
        text = "writing the timeline [%-*s] %3d %%, %s" % (_BAR, bar, part * 100, plural(count, "event"))
        self._stream.write("\rwxtrace: %s\033[K" % text)
        self._stream.flush()

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
