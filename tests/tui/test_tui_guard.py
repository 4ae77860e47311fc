"""The guard of a program's terminal: whoever looks, or does not, the program goes on."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from typing import Iterator, List

import pytest
from processes import until

from wxtrace.tui.guard import KEYS, OUTPUT, OVER, keep_terminal, resize_message


class Guarded:
    """A shell command under a guard, and the screen's end of it."""

    def __init__(self, command: str) -> None:
        self.screen, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self.screen.close()
            keep_terminal(theirs, (24, 80), lambda: os.execvp("sh", ["sh", "-c", command]))
        theirs.close()

    def messages(self) -> Iterator[bytes]:
        """Everything up to the end."""
        while True:
            assert select.select([self.screen], [], [], 20)[0]
            message = self.screen.recv(1 << 16)
            if not message:
                return
            yield message

    def output(self) -> str:
        """All that was written."""
        parts: List[bytes] = []
        for message in self.messages():
            if message == OVER:
                break
            assert message[:1] == OUTPUT
            parts.append(message[1:])
        return b"".join(parts).decode()

    def close(self) -> None:
        """It ends by itself."""
        self.screen.close()
        os.waitpid(self.pid, 0)


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("tty >/dev/null && echo terminal", "terminal"),
        ("stty size", "24 80"),
        ("exec 3</dev/tty && echo controlling", "controlling"),
    ],
)
def test_the_program_has_a_terminal(command: str, written: str) -> None:
    guarded = Guarded(command)

    assert guarded.output().strip() == written
    guarded.close()


def test_keys_and_sizes_reach_the_program() -> None:
    guarded = Guarded("echo ready; read line; stty size; echo got $line")
    next(guarded.messages())
    guarded.screen.send(resize_message(11, 33))
    guarded.screen.send(KEYS + b"hello\r")

    seen = guarded.output()

    assert "11 33" in seen
    assert "got hello" in seen
    guarded.close()


def test_ctrl_c_reaches_the_program_and_not_the_guard() -> None:
    guarded = Guarded("trap 'echo caught; exit 0' INT; echo ready; while :; do sleep 0.05; done")
    next(guarded.messages())
    guarded.screen.send(KEYS + b"\x03")

    assert "caught" in guarded.output()
    guarded.close()


def test_a_screen_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    guarded = Guarded("seq 1500000; touch %s" % (tmp_path / "done"))
    until((tmp_path / "done").exists, "the program waits for the screen")

    seen = guarded.output()

    assert "bytes of output were not shown: too fast" in seen
    assert seen.rstrip().endswith("1500000")
    guarded.close()


def test_without_a_screen_the_program_goes_on(tmp_path: Path) -> None:
    guarded = Guarded(
        "echo ready; until [ -e %s/go ]; do sleep 0.05; done; seq 100000; touch %s/done" % (tmp_path, tmp_path)
    )
    next(guarded.messages())
    guarded.screen.close()
    (tmp_path / "go").touch()

    until((tmp_path / "done").exists, "the program went with the screen")
    os.waitpid(guarded.pid, 0)
