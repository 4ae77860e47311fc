"""The front: stays with the terminal and the shell while another process traces. It never ptraces.

It reads the journal as any other reader does; killed, it harms nobody. It stops when the program stops, so that
job control works, and ends when the program ends, even if daemons live on under the quiet tracer.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from typing import Any, Sequence

from wxtrace.commands.console import Console
from wxtrace.commands.tracer_client import TracerLink
from wxtrace.descriptors import let_go_of_inherited
from wxtrace.explain.wording import plural
from wxtrace.model.replay import Replay
from wxtrace.printable import printable
from wxtrace.record.journal import JournalReader
from wxtrace.record.journalbytes import JournalBytes

__all__ = ["Front"]

_OVER_PATIENCE = 5.0
"""Seconds to wait for the tracer's last words once nothing is traced any more."""
_TURN = 0.05
"""Seconds of showing what was recorded before anything else is listened to again."""
_LAST_LINES = 1.0
"""Seconds for the lines that were not shown yet when the user detached."""


class Front(TracerLink):
    """One run, as its user sees it."""

    def __init__(
        self,
        channel: socket.socket,
        tracer: int,
        journal: JournalBytes,
        console: Console,
        attached: bool,
        wait_for_daemons: bool = False,
    ) -> None:
        super().__init__(channel, tracer, attached, journal)
        self.replay = Replay()
        self._console = console
        self._reader = JournalReader(journal.cursor(), journal.name)
        self._facts = self._reader.available()
        self._behind = False
        self._wait_for_daemons = wait_for_daemons
        self._interrupted = False
        self._wake = -1
        self._deadline = 0.0
        self._start = time.monotonic()

    def listen(self, forwarded: Sequence[int]) -> None:
        """Take signals from here on: to pass them on, or, when attached, to detach."""
        self._wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if self.attached else forwarded
        for number in numbers:
            signal.signal(number, self._on_signal)

    def run(self) -> int:
        """Until the program has ended: its exit status. Raises WxtraceError when it never started."""
        # The program's readers must see the end of its output when it ends, not when we do.
        _let_go_of_the_programs_streams()
        try:
            while not self._finished():
                self._take_a_turn()
        finally:
            if self.started:
                self._read_the_rest()
                self._show(self.replay.finish())
        if not self.left:
            self._reap()
        return self.status()

    def _take_a_turn(self) -> None:
        timeout = 0.1 if self._interrupted or self.ended else self._console.patience()
        select.select([self.channel.fileno(), self._wake], [], [], 0.0 if self._behind else timeout)
        try:
            os.read(self._wake, 4096)
        except OSError:
            pass
        if self._interrupted and self.attached and not self.detached:
            self.ask_to_detach()
        self.hear()
        self._read_journal()
        if not self.ended:
            self._console.still_running()

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return time.monotonic() - self._start

    def _finished(self) -> bool:
        if self.over:
            return True
        if not self.ended:
            return False
        if self.left:
            # They keep the tracer, which stays on quietly.
            return self._interrupted or not (self._wait_for_daemons or self._console.holds)
        return time.monotonic() > self._deadline

    def _on_signal(self, number: int, frame: object) -> None:
        if self.attached or self.ended:
            self._interrupted = True
        else:
            self.pass_on(number)

    def on_ended(self) -> None:
        """Wait for its daemons if that is wanted."""
        self._deadline = time.monotonic() + _OVER_PATIENCE
        if self.left and self._wait_for_daemons:
            signal.signal(signal.SIGINT, self._on_signal)
            self._console.say(
                "the program has ended; waiting for %s (Ctrl-C stops waiting)"
                % plural(len(self.left), "process that goes on", "processes that go on")
            )

    def say(self, text: str) -> None:
        """On the console."""
        self._console.say(text)

    def _read_journal(self) -> None:
        """What was recorded since. The program may go on faster than we can tell."""
        turn_ends = time.monotonic() + _TURN
        for fact in self._facts:
            self._show(self.replay.feed(fact))
            if time.monotonic() > turn_ends:
                self._behind = True
                return
        self._facts = self._reader.available()
        self._behind = False

    def _read_the_rest(self) -> None:
        """What is there now, with every line; whoever has pressed Ctrl-C does not wait long for lines."""
        patient_until = time.monotonic() + _LAST_LINES if self.detached else float("inf")
        self._interrupted = False
        signal.signal(signal.SIGINT, self._on_signal)
        end = self.journal.size
        self._behind = True
        # Processes that were left behind may write on for ever.
        while self._behind and self._reader.position <= end:
            self._read_journal()
            if self._behind and (self._interrupted or time.monotonic() > patient_until):
                self._console.be_brief()

    def _show(self, shown: Any) -> None:
        for item in shown:
            self._console.show(item, self.replay)

    def name_of(self, pid: int) -> str:
        """As the story knows it."""
        process = next((p for p in reversed(self.replay.processes) if p.pid == pid), None)
        return "%s[%d]" % (printable(process.title, 40) if process is not None else "?", pid)

    def _reap(self) -> None:
        try:
            os.waitpid(self.tracer, 0)
        except OSError:
            pass


def _let_go_of_the_programs_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    let_go_of_inherited()
