"""The front: stays with the terminal and the shell while another process traces. It never ptraces.

It reads the journal as any other reader does; killed, it harms nobody. It stops when the program stops, so that
job control works, and ends when the program ends, even if daemons live on under the quiet tracer.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from typing import Any, Dict, List, Optional, Sequence

from wxtrace.commands.console import Console
from wxtrace.commands.wording import plural
from wxtrace.descriptors import let_go_of_inherited
from wxtrace.errors import CommandNotRunnable, WxtraceError
from wxtrace.model.story import Story, signal_name
from wxtrace.printable import printable
from wxtrace.record.journal import JournalReader
from wxtrace.record.store import open_journal

__all__ = ["Front", "TracerFailed"]

_OVER_PATIENCE = 5.0
"""Seconds to wait for the tracer's last words once nothing is traced any more."""


class Front:
    """One run, as its user sees it."""

    def __init__(
        self,
        channel: socket.socket,
        tracer: int,
        journal: str,
        console: Console,
        attached: bool,
        wait_for_daemons: bool = False,
    ) -> None:
        self.story = Story()
        self.ending: Optional[str] = None
        self.started = False
        self._channel = channel
        self._tracer = tracer
        self._console = console
        self._reader = JournalReader(open_journal(journal), journal)
        self._attached = attached
        self._wait_for_daemons = wait_for_daemons
        self._target: Optional[int] = None
        self._interrupted = False
        self._wake = -1
        # Signals that came before there was a program to pass them on to.
        self._early: List[int] = []
        self._code: Optional[int] = None
        self._signal: Optional[int] = None
        self._left: List[int] = []
        self._ended = self._over = self._detached = False
        self._deadline = 0.0
        self._start = time.monotonic()

    def listen(self, forwarded: Sequence[int]) -> None:
        """Take signals from here on: to pass them on, or, when attached, to detach."""
        self._wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if self._attached else forwarded
        for number in numbers:
            signal.signal(number, self._on_signal)

    def run(self) -> int:
        """Until the program has ended: its exit status. Raises WxtraceError when it never started."""
        # The program's readers must see the end of its output when it ends, not when we do.
        _let_go_of_the_programs_streams()
        while not self._finished():
            timeout = 0.1 if self._interrupted or self._ended else self._console.patience()
            select.select([self._channel.fileno(), self._wake], [], [], timeout)
            try:
                os.read(self._wake, 4096)
            except OSError:
                pass
            if self._interrupted and self._attached and not self._detached:
                self._ask_to_detach()
            self._hear()
            self._read_journal()
            if not self._ended:
                self._console.still_running()
        self._read_journal()
        self._show(self.story.finish())
        if not self._left:
            self._reap()
        return self._status()

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return time.monotonic() - self._start

    def _finished(self) -> bool:
        if self._over:
            return True
        if not self._ended:
            return False
        if self._left:
            # They keep the tracer, which stays on quietly.
            return not self._wait_for_daemons or self._interrupted
        return time.monotonic() > self._deadline

    def _on_signal(self, number: int, frame: object) -> None:
        if self._attached or self._ended:
            self._interrupted = True
        elif self._target is None:
            self._early.append(number)
        else:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        assert self._target is not None
        try:
            os.kill(self._target, number)
        except OSError:
            pass

    def _ask_to_detach(self) -> None:
        self._send({"do": "detach"})
        if not self.started:
            # It listens soon; until then the signal would kill it.
            return
        try:
            # Breaks the tracer's wait; sent again until it answers.
            os.kill(self._tracer, signal.SIGUSR1)
        except OSError:
            pass

    def _send(self, message: Dict[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(message).encode("ascii"), socket.MSG_DONTWAIT)
        except OSError:
            pass

    def _hear(self) -> None:
        while True:
            try:
                data = self._channel.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._tracer_gone()
                return
            self._message(json.loads(data))

    def _message(self, message: Dict[str, Any]) -> None:
        what = message["is"]
        if what == "started":
            self._target = message["pid"]
            self.started = True
            for number in self._early:
                self._pass_on(number)
        elif what == "ended":
            self._ended = True
            self._code, self._signal, self._left = message["code"], message["signal"], message["left"]
            self._deadline = time.monotonic() + _OVER_PATIENCE
            if self._left and self._wait_for_daemons:
                signal.signal(signal.SIGINT, self._on_signal)
                self._console.say(
                    "the program has ended; waiting for %s (Ctrl-C stops waiting)"
                    % plural(len(self._left), "process that goes on", "processes that go on")
                )
        elif what == "over":
            self._over = self._ended = True
            self._left = []
        elif what == "detaching":
            self._detached = True
        elif what == "not-started":
            self._over = True
            self.started = False
            raise _not_started(message["errno"], message["filter"])
        elif what == "failed":
            self._over = True
            raise TracerFailed(message["why"], message["traceback"])
        elif what == "journal-failed":
            self._console.say(
                "the journal cannot be written any more (%s); the program goes on, unrecorded" % message["why"]
            )

    def _tracer_gone(self) -> None:
        if self._ended:
            self._over = True
            return
        fate = "while the program goes on" if self._attached else "and the program with it"
        raise WxtraceError("the tracer died, %s; what was recorded until then is kept" % fate)

    def _read_journal(self) -> None:
        for fact in self._reader.available():
            self._show(self.story.feed(fact))

    def _show(self, shown: Any) -> None:
        for item in shown:
            self._console.show(item, self.story)

    def _name_of(self, pid: int) -> str:
        process = next((p for p in reversed(self.story.processes) if p.pid == pid), None)
        return "%s[%d]" % (printable(process.title, 40) if process is not None else "?", pid)

    def _reap(self) -> None:
        try:
            os.waitpid(self._tracer, 0)
        except OSError:
            pass

    def _status(self) -> int:
        if self._attached and self._detached:
            self.ending = "detached, the program goes on"
            return 0
        if self._signal is not None:
            self.ending = "killed by %s" % signal_name(self._signal)
        elif self._code is not None:
            self.ending = "exit status %d" % self._code
        if self._left:
            self.ending = "%s; %s on, traced quietly until they end: %s" % (
                self.ending,
                plural(len(self._left), "process goes", "processes go"),
                ", ".join(self._name_of(pid) for pid in self._left[:5]) + (", …" if len(self._left) > 5 else ""),
            )
        if self._signal is not None:
            return 128 + self._signal
        return self._code or 0


class TracerFailed(WxtraceError):
    """The tracer said what went wrong."""

    def __init__(self, why: str, traceback: str) -> None:
        super().__init__(why)
        self.traceback = traceback


def _let_go_of_the_programs_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    let_go_of_inherited()


def _not_started(number: int, in_filter: bool) -> WxtraceError:
    words = os.strerror(number)
    if in_filter:
        return WxtraceError("the seccomp filter could not be installed (%s); try --mode full" % words)
    if number == 2:
        return CommandNotRunnable("the program's interpreter (its #! line, or its loader) is missing")
    if number == 8:
        return CommandNotRunnable("not an executable format; for a script without a #! line: wxtrace -- sh FILE")
    return CommandNotRunnable("cannot be executed: %s" % printable(words))
