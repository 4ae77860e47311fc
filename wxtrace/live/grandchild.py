"""A process of the tracer's own at the other end of a socket, and no child of it.

`waitpid(-1)` has to end with ECHILD when the last tracee is gone.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import Callable, NamedTuple

__all__ = ["Grandchild", "start_grandchild"]


class Grandchild(NamedTuple):
    """A running process. `channel`: our end of its socket. `pidfd`: -1 where the kernel or a filter gives none."""

    channel: socket.socket
    pid: int
    pidfd: int

    def kill(self) -> None:
        """Close the socket, at which it ends by itself, and kill it."""
        self.channel.close()
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except OSError:
                pass
            os.close(self.pidfd)


def start_grandchild(ours: socket.socket, theirs: socket.socket, start: Callable[[socket.socket], int]) -> Grandchild:
    """`start` is called in a child that ends at once, with the grandchild's end of the socket, and gives its pid.

    Both ends are taken over. Raises OSError when there is no grandchild.
    """
    try:
        pid = _pid_of(start, theirs)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        return Grandchild(ours, pid, os.pidfd_open(pid))
    except OSError:
        # Some containers' filters do not know the call.
        return Grandchild(ours, pid, -1)


def _pid_of(start: Callable[[socket.socket], int], channel: socket.socket) -> int:
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(tell, b"%d" % start(channel))
        finally:
            os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    text = os.read(told, 32)
    os.close(told)
    if not text:
        raise ChildProcessError("the process could not be started")
    return int(text)
