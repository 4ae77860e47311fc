"""`wxtrace tui -- PROGRAM`: run a program, and watch it on a full screen.

The tracer, and the guard of the program's terminal, are forked before anything of the screen is imported.
"""

from __future__ import annotations

import argparse
import gc
import os
import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, List, NoReturn

from wxtrace.commands.run import attachable, check_machine, check_proc, find_program, trace
from wxtrace.commands.view import needs_a_terminal, needs_textual, show
from wxtrace.descriptors import let_go_of_inherited
from wxtrace.errors import UsageError
from wxtrace.printable import printable
from wxtrace.record import store
from wxtrace.record.journalbytes import JournalBytes

if TYPE_CHECKING:
    from wxtrace.tui.live import Live

__all__ = ["run"]

_NICE = 5


def run(options: argparse.Namespace, command: List[str]) -> int:
    """Until the screen is closed: the program's exit status, or 0 when it goes on without us."""
    _check_options(options)
    needs_a_terminal()
    needs_textual()
    check_machine()
    check_proc()
    path = find_program(command[0]) if command else None
    if options.pid is not None:
        options.pid = attachable(options.pid)
    window = os.get_terminal_size()
    size = (max(window.lines // 3, 2), window.columns)
    # What the emulator takes; without it the output is shown as lines.
    options.terminal = b"linux" if find_spec("pyte") is not None else b"dumb"
    journal = store.create()
    record = JournalBytes(journal.path, journal.spare)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    screen, guard_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()

    def traced() -> NoReturn:
        trace(options, command, path, journal, theirs)

    child = os.fork()
    if child == 0:
        ours.close()
        screen.close()
        if not command:
            traced()
        from wxtrace.tui.guard import keep_terminal

        keep_terminal(guard_end, size, traced)
    theirs.close()
    guard_end.close()
    let_go_of_inherited()
    # Program and tracer go first: a screen that is late harms nobody.
    os.nice(_NICE)
    if journal.fd >= 0:
        # Its lock is the tracer's.
        os.close(journal.fd)
    if not command:
        screen.close()
    store.make_room()
    from wxtrace.tui.live import Live

    gc.enable()
    live = Live(ours, 0 if command else child, not command, record, screen if command else None, size)
    name = printable(command[0]) if command else "process %s" % options.pid
    status, headless = show(record, live)
    if live.failure is not None:
        live.failure.args = ("%s: %s" % (name, live.failure),)
        if not live.started:
            store.discard(record)
        raise live.failure
    _last_words(live, headless)
    return status


def _check_options(options: argparse.Namespace) -> None:
    """Raises UsageError for options that are about the messages of the other front."""
    for name in ("output", "all", "quiet", "only", "wait_daemons", "log"):
        if getattr(options, name):
            word = "-o" if name == "output" else "--" + name.replace("_", "-")
            raise UsageError("%s does not go with the screen: e exports there, f filters" % word)


def _last_words(live: Live, headless: bool) -> None:
    if headless:
        sys.stderr.write("wxtrace: the program goes on, and is recorded; `wxtrace view --follow` looks at it again\n")
    elif live.ending is not None:
        sys.stderr.write("wxtrace: %s\n" % live.ending)
    if live.unkept is not None or live.journal.spare:
        sys.stderr.write("wxtrace: %s\n" % live.kept_text(False))
    elif not headless:
        sys.stderr.write("wxtrace: `wxtrace view` shows this run again, `wxtrace report` tells it as text\n")
