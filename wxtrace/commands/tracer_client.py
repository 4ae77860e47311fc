"""What the tracer says, and what may be asked of it: the one end of the socket pair, for every kind of front."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any, Dict, List, Optional

from wxtrace.channel import JOURNAL_BYTES, receive
from wxtrace.errors import CommandNotRunnable, WxtraceError
from wxtrace.model.causes.evidence import size_text
from wxtrace.model.replay import signal_name
from wxtrace.printable import printable
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.record.store import discard

__all__ = ["TracerFailed", "TracerLink"]

_AT_ONCE = 64
"""Messages that are heard before anything else is looked at again."""


class TracerLink:
    """The state of a run as its tracer tells it. `tracer` is its pid; 0 where it is not our child."""

    def __init__(self, channel: socket.socket, tracer: int, attached: bool, journal: JournalBytes) -> None:
        self.journal = journal
        """The record, wherever it goes on."""
        self.unkept: Optional[str] = None
        """Why not all of it is in a file; None where it is."""
        self.ending: Optional[str] = None
        self.started = False
        self.ended = False
        """Whether the program has; what it left behind may go on."""
        self.over = False
        """Whether nothing is traced any more."""
        self.left: List[int] = []
        self.target: Optional[int] = None
        self.detached = False
        self.attached = attached
        self.channel = channel
        self.tracer = tracer
        # Signals that came before there was a program to pass them on to.
        self._early: List[int] = []
        self._code: Optional[int] = None
        self._signal: Optional[int] = None
        self._file_ends_at = 0
        if journal.path is None:
            self.unkept = "neither your state folder nor TMPDIR can be written"

    def say(self, text: str) -> None:
        """One sentence for the user."""

    def on_ended(self) -> None:
        """The program has ended."""

    def name_of(self, pid: int) -> str:
        """What a process that was left behind is called."""
        return str(pid)

    def pass_on(self, number: int) -> None:
        """Send the program a signal, now or when it has started."""
        if self.target is None:
            self._early.append(number)
            return
        try:
            os.kill(self.target, number)
        except OSError:
            pass

    def ask_to_detach(self) -> None:
        """To be asked again until `detached`."""
        self._send({"do": "detach"})
        if not self.started or not self.tracer:
            # It listens soon; until then the signal would kill it.
            return
        try:
            # Breaks the tracer's wait.
            os.kill(self.tracer, signal.SIGUSR1)
        except OSError:
            pass

    def _send(self, message: Dict[str, Any]) -> None:
        try:
            self.channel.send(json.dumps(message).encode("ascii"), socket.MSG_DONTWAIT)
        except OSError:
            pass

    def hear(self) -> None:
        """Take in what the tracer has said. Raises WxtraceError when the run could not start, or its tracer is gone."""
        for _ in range(_AT_ONCE):
            data = receive(self.channel)
            if data is None:
                return
            if not data:
                self._tracer_gone()
                return
            if data[:1] == JOURNAL_BYTES:
                self.journal.extend(data[1:], self._file_ends_at)
            else:
                self._message(json.loads(data))

    def _message(self, message: Dict[str, Any]) -> None:
        what = message["is"]
        if what == "started":
            self.target = message["pid"]
            self.started = True
            for number in self._early:
                self.pass_on(number)
        elif what == "ended":
            self.ended = True
            self._code, self._signal, self.left = message["code"], message["signal"], message["left"]
            self.on_ended()
        elif what == "over":
            self.over = self.ended = True
            self.left = []
        elif what == "detaching":
            self.detached = True
        elif what == "not-started":
            self.over = True
            self.started = False
            raise _not_started(message["errno"], message["filter"])
        elif what == "failed":
            self.over = True
            raise TracerFailed(message["why"], message["traceback"])
        elif what == "journal-full":
            self.say(
                "the journal has reached %s: from here on ordinary calls are only counted, refused ones are kept"
                % size_text(message["limit"])
            )
        elif what == "journal-moved":
            former = self.journal.name
            self.journal.move(message["path"])
            text = "%s takes no more (%s): the record of this run goes on in %s"
            self.say(text % (former, message["why"], self.journal.name))
        elif what == "journal-unkept":
            self._file_ends_at = message["at"]
            if self.journal.path is not None:
                self.unkept = message["why"]
                text = "%s takes no more (%s): what follows is told here, and kept nowhere"
                self.say(text % (self.journal.name, self.unkept))
                if not message["kept"]:
                    discard(self.journal)

    def _tracer_gone(self) -> None:
        if self.ended:
            self.over = True
            return
        fate = "while the program goes on" if self.attached else "and the program with it"
        raise WxtraceError("the tracer died, %s; what was recorded until then is kept" % fate)

    def kept_text(self, written: bool) -> Optional[str]:
        """What is to be known of the record; None for nothing. `written`: its timeline is in a file of the user's."""
        instead = "" if written else "; -o FILE writes its timeline all the same"
        if self.unkept is not None and self.journal.path is None:
            return "this run was not kept: %s" % self.unkept + instead
        if self.unkept is not None:
            text = "the record of this run is lost from some point on (%s): %s holds only what came before"
            return text % (self.unkept, self.journal.name) + instead
        if self.journal.spare:
            return "your state folder cannot be written: the record of this run is in %s" % self.journal.name
        return None if written else "`wxtrace export -o FILE` writes the timeline of this run"

    def status(self) -> int:
        """The exit status for us; `ending` says it in words."""
        if self.attached and self.detached:
            self.ending = "detached, the program goes on"
            return 0
        if self._signal is not None:
            self.ending = "killed by %s" % signal_name(self._signal)
        elif self._code is not None:
            self.ending = "exit status %d" % self._code
        if self.left:
            self.ending = "%s; %s: %s" % (
                self.ending,
                "1 process goes on, traced quietly until it ends"
                if len(self.left) == 1
                else "%d processes go on, traced quietly until they end" % len(self.left),
                ", ".join(self.name_of(pid) for pid in self.left[:5]) + (", …" if len(self.left) > 5 else ""),
            )
        if self._signal is not None:
            return 128 + self._signal
        return self._code or 0


class TracerFailed(WxtraceError):
    """The tracer said what went wrong."""

    def __init__(self, why: str, traceback: str) -> None:
        super().__init__(why)
        self.traceback = traceback


def _not_started(number: int, in_filter: bool) -> WxtraceError:
    words = os.strerror(number)
    if in_filter:
        return WxtraceError("the seccomp filter could not be installed (%s); try --mode full" % words)
    if number == 2:
        return CommandNotRunnable("the program's interpreter (its #! line, or its loader) is missing")
    if number == 8:
        return CommandNotRunnable("not an executable format; for a script without a #! line: wxtrace -- sh FILE")
    return CommandNotRunnable("cannot be executed: %s" % printable(words))
