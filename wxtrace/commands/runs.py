"""`wxtrace runs`: the journals that were kept, newest first."""

from __future__ import annotations

import os
import sys
from typing import List

from wxtrace.commands.arguments import Parser
from wxtrace.errors import RecordError
from wxtrace.model.causes.base import size_text
from wxtrace.model.facts import RunStarted
from wxtrace.printable import printable
from wxtrace.record import store
from wxtrace.record.journal import JournalReader

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
        sys.stdout.write("%s\n" % _line(path))
    return 0


def _line(path: str) -> str:
    started, command = "?", "?"
    try:
        with store.open_journal(path) as file:
            first = next(iter(JournalReader(file, printable(path)).available()), None)
        if isinstance(first, RunStarted):
            started = first.started
            command = " ".join(first.argv) if first.attached is None else "(attached to %d)" % first.attached
    except RecordError as error:
        command = str(error)
    size = size_text(os.stat(path).st_size)
    return "%-24s  %9s  %s\n    %s" % (printable(started, 24), size, printable(command, 100), printable(path, 4096))
