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
from typing import List, NoReturn, Optional

from wxtrace.commands.run import attachable, check_proc, find_program, trace
from wxtrace.commands.view import needs_a_terminal, needs_textual, show
from wxtrace.descriptors import let_go_of_inherited
from wxtrace.errors import UsageError
from wxtrace.printable import printable
from wxtrace.record import store

__all__ = ["run"]

_NICE = 5


def run(options: argparse.Namespace, command: List[str]) -> int:
    """Until the screen is closed: the program's exit status, or 0 when it goes on without us."""
    _check_options(options)
    needs_a_terminal()
    needs_textual()
    check_proc()
    path = find_program(command[0]) if command else None
    if options.pid is not None:
        options.pid = attachable(options.pid)
    window = os.get_terminal_size()
    size = (max(window.lines // 3, 2), window.columns)
    # What the emulator takes; without it the output is shown as lines.
    options.terminal = b"linux" if find_spec("pyte") is not None else b"dumb"
    journal = store.create()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    screen, guard_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()

    def traced() -> NoReturn:
        trace(options, command, path, journal.fd, theirs)

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
    if command:
        os.close(journal.fd)
    else:
        screen.close()
    if journal.kept:
        store.make_room()
    from wxtrace.tui.live import Live

    gc.enable()
    live = Live(ours, 0 if command else child, not command, screen if command else None, size)
    name = printable(command[0]) if command else "process %s" % options.pid
    status, headless = show(journal.path, live)
    if live.failure is not None:
        live.failure.args = ("%s: %s" % (name, live.failure),)
        if not live.started:
            os.unlink(journal.path)
        raise live.failure
    _last_words(live.ending, journal, headless)
    return status


def _check_options(options: argparse.Namespace) -> None:
    """Raises UsageError for options that are about the messages of the other front."""
    for name in ("output", "all", "quiet", "only", "wait_daemons", "log"):
        if getattr(options, name):
            word = "-o" if name == "output" else "--" + name.replace("_", "-")
            raise UsageError("%s does not go with the screen: e exports there, f filters" % word)


def _last_words(ending: Optional[str], journal: store.NewJournal, headless: bool) -> None:
    if headless:
        sys.stderr.write("wxtrace: the program goes on, and is recorded; `wxtrace view --follow` looks at it again\n")
    elif ending is not None:
        sys.stderr.write("wxtrace: %s\n" % ending)
    if not journal.kept:
        sys.stderr.write("wxtrace: this run was not kept: no state folder of yours can be written\n")
        os.unlink(journal.path)
    elif not headless:
        sys.stderr.write("wxtrace: `wxtrace view` shows this run again, `wxtrace report` tells it as text\n")
