"""The front between a tracer that writes faster than it can show, and a user who has seen enough."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
from pathlib import Path
from typing import Iterator

import pytest

from wxtrace.commands.console import Console
from wxtrace.commands.front import Front
from wxtrace.model.facts import Note
from wxtrace.model.replay import Replay, Shown
from wxtrace.record.journal import JournalWriter
from wxtrace.record.journalbytes import JournalBytes

PATIENCE = 200_000
"""Facts; seconds of work for the console."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A front takes signals, and the standard streams, for its process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    streams = [os.dup(number) for number in (0, 1)]
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in zip(numbers, before):
        signal.signal(number, handler)
    for number, kept in enumerate(streams):
        os.dup2(kept, number)
        os.close(kept)


class Flood(Console):
    """While one fact is shown, two more come. At the fifth the user presses Ctrl-C."""

    def __init__(self, stream: io.StringIO, journal: JournalWriter) -> None:
        super().__init__(stream, everything=True)
        self._journal = journal
        self.shown = 0

    def show(self, shown: Shown, replay: Replay) -> None:
        super().show(shown, replay)
        self.shown += 1
        assert self.shown < PATIENCE, "Ctrl-C was not noticed"
        if self.shown == 5:
            os.kill(os.getpid(), signal.SIGINT)
        self.more()

    def more(self) -> None:
        for _ in range(2):
            self._journal.fact(Note("flood", "more"))
        self._journal.flush()


def say(tracer: socket.socket, what: str, **more: int) -> None:
    """What a tracer says at its end of the channel."""
    tracer.send(json.dumps({"is": what, **more}).encode("ascii"))


def test_ctrl_c_is_noticed_while_more_is_recorded_than_can_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flood.wxj"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    stream = io.StringIO()
    console = Flood(stream, JournalWriter(fd))
    console.more()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    say(theirs, "started", pid=1)
    front = Front(ours, 0, JournalBytes(str(path)), console, attached=True)
    asked = front.ask_to_detach

    def answered() -> None:
        asked()
        say(theirs, "detaching")
        say(theirs, "over")

    monkeypatch.setattr(front, "ask_to_detach", answered)
    monkeypatch.setattr("wxtrace.commands.front._LAST_LINES", 0.0)
    front.listen(())

    assert front.run() == 0
    assert "the timeline has them" in stream.getvalue()
    ours.close()
    theirs.close()
    os.close(fd)
