"""`wxtrace view`: a kept run on a full screen."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, List, Optional, Tuple

from wxtrace.commands.arguments import Parser
from wxtrace.commands.run import MISMATCH_STATUS
from wxtrace.errors import UsageError
from wxtrace.record import store
from wxtrace.record.journalbytes import JournalBytes

if TYPE_CHECKING:
    from wxtrace.tui.live import Live

__all__ = ["needs_a_terminal", "needs_textual", "run", "show"]


def run(arguments: List[str]) -> int:
    """Show the last run, or a named journal or timeline."""
    parser = Parser(
        prog="wxtrace view",
        description="Open a kept run on a full screen. Without FILE: the last run.",
    )
    parser.add_argument("--follow", action="store_true", help="keep reading a run that is still being written")
    parser.add_argument("file", metavar="FILE", nargs="?", help="a journal, or a timeline")
    options = parser.parse_args(arguments)
    record = JournalBytes(options.file or store.last_journal())
    needs_a_terminal()
    needs_textual()
    return show(record, None, options.follow)[0]


def show(record: JournalBytes, live: Optional[Live], follow: bool = False) -> Tuple[int, bool]:
    """The screen until it is closed: the exit status, and whether the program was left running."""
    import gc

    from wxtrace.tui.app import TraceApp

    # What a long record holds is no garbage, and looking for it there stops the screen for a moment.
    gc.set_threshold(10_000, 5, 1_000_000)
    app = TraceApp(record, live, follow or record.still_written)
    status = app.run()
    if app.failure is not None:
        raise app.failure
    if live is not None and app.index.replay.mismatches:
        status = MISMATCH_STATUS
    return status or 0, app.headless


def needs_a_terminal() -> None:
    """Raises UsageError unless we have one."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the screen needs a terminal; wxtrace -- PROGRAM and wxtrace report work anywhere")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError("this terminal (TERM=dumb) can show no screen; wxtrace -- PROGRAM works anywhere")


def needs_textual() -> None:
    """Raises UsageError, with the way out, where the screen's library is missing."""
    if find_spec("textual") is None:
        raise UsageError("the screen needs textual: install wxtrace with pip install '.[tui]', as its README says")
