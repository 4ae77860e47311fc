"""The tracer's own processes: no children of it, and gone when they are let go."""

from __future__ import annotations

import os
import select
import socket

import pytest

from wxtrace.live.grandchild import start_grandchild


def _echo(channel: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            while data := channel.recv(16):
                channel.send(data)
        finally:
            os._exit(0)
    return pid


def _none(channel: socket.socket) -> int:
    raise BlockingIOError("no more processes")


def test_it_answers_and_is_no_child() -> None:
    grandchild = start_grandchild(*socket.socketpair(), _echo)
    try:
        grandchild.channel.sendall(b"ping")
        assert grandchild.channel.recv(16) == b"ping"
        with pytest.raises(ChildProcessError):
            os.waitpid(grandchild.pid, os.WNOHANG)
    finally:
        grandchild.kill()


def test_killed_it_ends() -> None:
    grandchild = start_grandchild(*socket.socketpair(), _echo)
    end = os.pidfd_open(grandchild.pid)
    grandchild.kill()
    # Readable when the process has ended (pidfd_open(2)).
    assert select.select([end], [], []) == ([end], [], [])
    os.close(end)
    assert grandchild.channel.fileno() == -1


def test_where_none_starts_both_ends_are_closed() -> None:
    ours, theirs = socket.socketpair()
    with pytest.raises(ChildProcessError, match="could not be started"):
        start_grandchild(ours, theirs, _none)
    assert (ours.fileno(), theirs.fileno()) == (-1, -1)
