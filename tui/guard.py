"""The guard: keeps the terminal of a program that runs under the screen.

It leads the program's session, so that the program has a terminal of its own with job control. It reads what the
program writes whether or not anybody looks: killed or gone, the screen harms nobody. It interprets nothing.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import struct
import termios
from collections import deque
from typing import Callable, Deque, NoReturn, Optional, Tuple

from wxtrace.channel import receive
from wxtrace.descriptors import let_go_of_inherited

__all__ = ["KEYS", "OUTPUT", "OVER", "RESIZE", "keep_terminal", "resize_message"]

OUTPUT, OVER = b"o", b"e"
"""To the screen: what the program wrote; that nobody will write any more."""
KEYS, RESIZE = b"k", b"w"
"""From the screen: what was typed; the new size."""

_CHUNK = 16 << 10
_MOST_WAITING = 4 << 20
"""Bytes kept for a screen that does not keep up; older ones go, and the screen is told how many."""
_SIZE = struct.Struct("<HH")


def resize_message(rows: int, columns: int) -> bytes:
    """What tells the guard of a new size."""
    return RESIZE + _SIZE.pack(rows, columns)


def keep_terminal(screen: socket.socket, size: Tuple[int, int], trace: Callable[[], NoReturn]) -> NoReturn:
    """Fork `trace` onto a fresh terminal of this size (rows, columns), and keep it until `trace` has ended."""
    status = 125
    try:
        os.setsid()
        master, slave = os.openpty()
        _resize(master, *size)
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        tracer = os.fork()
        if tracer == 0:
            os.close(master)
            screen.close()
            for fd in (0, 1, 2):
                os.dup2(slave, fd)
            os.close(slave)
            trace()
        _Guard(master, screen, tracer, {master, slave, screen.fileno()}).run()
        status = 0
    finally:
        os._exit(status)


class _Guard:
    def __init__(self, master: int, screen: socket.socket, tracer: int, keep: set[int]) -> None:
        self._master = master
        self._screen: Optional[socket.socket] = screen
        self._tracer = tracer
        self._waiting: Deque[bytes] = deque()
        self._waiting_bytes = self._lost_bytes = 0
        self._typed = b""
        # The program's own keys and hang-ups must not end its terminal.
        for number in ("INT", "QUIT", "TSTP", "TTIN", "TTOU", "HUP", "PIPE", "TERM"):
            signal.signal(getattr(signal, "SIG" + number), signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        # Whoever waits for the end of a pipe, or of the tracer's channel, must not wait for us.
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in keep:
                try:
                    os.close(int(name))
                except OSError:
                    pass
        let_go_of_inherited()
        os.set_blocking(master, False)
        screen.setblocking(False)

    def run(self) -> None:
        """Until the tracer, and with it everything it traces, has ended."""
        tracer = os.pidfd_open(self._tracer)
        while True:
            reading = [self._master, tracer] + ([self._screen.fileno()] if self._screen is not None else [])
            writing = [self._screen.fileno()] if self._screen is not None and self._waiting else []
            if self._typed:
                writing.append(self._master)
            readable, writable, _ = select.select(reading, writing, [])
            if self._master in readable:
                self._read_program()
            if self._master in writable:
                self._write_program()
            if self._screen is not None and self._screen.fileno() in readable:
                self._read_screen()
            self._write_screen()
            if tracer in readable and not self._read_program():
                break
        os.waitpid(self._tracer, 0)
        self._keep(OVER)
        if self._screen is not None:
            self._screen.setblocking(True)
            self._write_screen()

    def _read_program(self) -> bool:
        try:
            data = os.read(self._master, _CHUNK)
        except OSError:
            return False
        if data:
            self._keep(OUTPUT + data)
        return bool(data)

    def _keep(self, message: bytes) -> None:
        if self._screen is None:
            return
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        while self._waiting_bytes > _MOST_WAITING:
            dropped = self._waiting.popleft()
            self._waiting_bytes -= len(dropped)
            self._lost_bytes += len(dropped) - 1

    def _write_screen(self) -> None:
        try:
            while self._waiting and self._screen is not None:
                if self._lost_bytes:
                    text = "\r\n[%d bytes of output were not shown: too fast]\r\n" % self._lost_bytes
                    self._screen.send(OUTPUT + text.encode("ascii"))
                    self._lost_bytes = 0
                self._screen.send(self._waiting[0])
                self._waiting_bytes -= len(self._waiting.popleft())
        except BlockingIOError:
            pass
        except OSError:
            self._forget_screen()

    def _read_screen(self) -> None:
        assert self._screen is not None
        message = receive(self._screen)
        if message is None:
            return
        if not message:
            self._forget_screen()
        elif message[:1] == KEYS:
            self._typed = (self._typed + message[1:])[: 1 << 20]
            self._write_program()
        elif message[:1] == RESIZE and len(message) == 1 + _SIZE.size:
            _resize(self._master, *_SIZE.unpack(message[1:]))

    def _write_program(self) -> None:
        try:
            written = os.write(self._master, self._typed)
        except OSError:
            return
        self._typed = self._typed[written:]

    def _forget_screen(self) -> None:
        if self._screen is not None:
            self._screen.close()
        self._screen = None
        self._waiting.clear()
        self._waiting_bytes = self._lost_bytes = 0


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
