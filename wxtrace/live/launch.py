"""Starting the target: a child that waits to be seized, installs the filter and executes the program.

It keeps everything it inherits as it was (descriptors, terminal, process group, limits, umask, the very bytes of
the environment), so that the program runs as if we were not there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
from typing import Any, List, Mapping, NamedTuple, NoReturn, Optional, Set, Tuple

from wxtrace.descriptors import restore_limit
from wxtrace.live import seccomp

__all__ = ["Launched", "failure_of", "launch"]

_FAILURE = struct.Struct("<iB")
_IN_EXEC, _IN_FILTER = 0, 1


class Launched(NamedTuple):
    """A child that stands before exec. `channel` takes a byte that lets it run, and ends without data after exec."""

    pid: int
    channel: socket.socket


def launch(
    path: bytes,
    argv: List[bytes],
    use_filter: bool,
    handlers: Mapping[signal.Signals, Any],
    terminal: Optional[bytes] = None,
    descriptors: Optional[Tuple[int, int]] = None,
) -> Launched:
    """Fork the child. It does nothing until it is told to go. `handlers` are the signals' own ones.

    `terminal` is its TERM where its terminal is not ours; `descriptors` its RLIMIT_NOFILE where ours was changed.
    """
    environment = _original_environment()
    if terminal is not None:
        environment = [entry for entry in environment if not entry.startswith((b"TERM=", b"COLORTERM="))]
        environment.append(b"TERM=" + terminal)
    # One pair, not two pipes: there may be hardly any descriptors.
    ours, theirs = socket.socketpair()
    # Ctrl-C is kept for the program: the child is still ours, and may be sent it already.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    pid = os.fork()
    if pid == 0:
        ours.close()
        if descriptors is not None:
            restore_limit(descriptors)
        _become(path, argv, environment, use_filter, handlers, mask, theirs)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    theirs.close()
    return Launched(pid, ours)


def failure_of(launched: Launched) -> Optional[tuple[int, bool]]:
    """(errno, whether the filter was the culprit) when the program could not be started; None when it was."""
    data = launched.channel.recv(_FAILURE.size)
    if len(data) < _FAILURE.size:
        return None
    number, where = _FAILURE.unpack(data)
    return number, where == _IN_FILTER


def _become(
    path: bytes,
    argv: List[bytes],
    environment: List[bytes],
    use_filter: bool,
    handlers: Mapping[signal.Signals, Any],
    mask: Set[int],
    channel: socket.socket,
) -> NoReturn:
    stage = _IN_FILTER
    try:
        if not channel.recv(1):
            os._exit(125)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if callable(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # Python ignores these two at its start; whether they had been ignored before, it does not tell.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if use_filter:
            seccomp.install()
        stage = _IN_EXEC
        _execve(path, argv, environment)
    except OSError as error:
        channel.send(_FAILURE.pack(error.errno or 0, stage))
    finally:
        os._exit(127)


def _execve(path: bytes, argv: List[bytes], environment: List[bytes]) -> NoReturn:
    """execve with the environment as a list: os.execve would lose entries without `=` and doubled names."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = (ctypes.c_char_p * (len(argv) + 1))(*argv)
    pairs = (ctypes.c_char_p * (len(environment) + 1))(*environment)
    libc.execve(ctypes.c_char_p(path), words, pairs)
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def _original_environment() -> List[bytes]:
    """What we were started with; os.environ may hold more (PEP 538 sets LC_CTYPE in a C locale)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            data = file.read()
    except OSError:
        return [b"%s=%s" % pair for pair in os.environb.items()]
    return data[:-1].split(b"\0") if data else []
