"""`wxtrace runs`: the journals that were kept, newest first."""

from __future__ import annotations

import sys
from typing import List

from wxtrace.commands.arguments import Parser
from wxtrace.commands.output import write_out
from wxtrace.errors import RecordError
from wxtrace.model.causes.evidence import size_text
from wxtrace.model.facts import RunStarted
from wxtrace.printable import printable
from wxtrace.record import store
from wxtrace.record.journal import JournalReader
from wxtrace.record.journalbytes import JournalBytes

__all__ = ["run"]


def run(arguments: List[str]) -> int:
    """One line a run: when it started, how large its journal is, the command."""
    Parser(
        prog="wxtrace runs",
        description="List the kept runs, newest first. `export`, `report` and `view` take the first by default.",
    ).parse_args(arguments)
    kept = store.journals()
    if not kept:
        sys.stderr.write("wxtrace: %s\n" % store.NOTHING_KEPT)
    for path in kept:
        write_out("%s\n" % _line(path))
    return 0


def _line(path: str) -> str:
    started = command = size = "?"
    try:
        journal = JournalBytes(path)
        size = size_text(journal.size)
        first = next(iter(JournalReader(journal.cursor(), journal.name).available()), None)
        journal.close()
        if isinstance(first, RunStarted):
            started = first.started
            command = " ".join(first.argv) if first.attached is None else "(attached to %d)" % first.attached
    except RecordError as error:
        command = str(error)
    return "%-24s  %9s  %s\n    %s" % (printable(started, 24), size, printable(command, 100), printable(path, 4096))
