"""Reading the socket pairs between our processes, to the last word of one that has ended."""

from __future__ import annotations

import socket
from typing import Optional

__all__ = ["JOURNAL_BYTES", "receive"]

JOURNAL_BYTES = b"\0"
"""What a message of the tracer begins with that is a part of the journal; all others are JSON."""


def receive(channel: socket.socket, limit: int = 1 << 16) -> Optional[bytes]:
    """The next message of at most `limit` bytes, without waiting: None when there is none yet, empty when the other
    end is gone.

    An end closed with messages unread resets the connection, which the kernel tells once and before what still lies
    to be read (net/unix/af_unix.c:unix_release_sock, net/core/datagram.c).
    """
    for _ in range(2):
        try:
            return channel.recv(limit, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            continue
        except OSError:
            break
    return b""
