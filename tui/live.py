"""A run that is going on: its tracer, and the terminal that its guard keeps."""

from __future__ import annotations

import signal
import socket
import time
from typing import List, Optional, Tuple

from wxtrace.channel import receive
from wxtrace.commands.tracer_client import TracerLink
from wxtrace.errors import WxtraceError
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.tui.guard import KEYS, OUTPUT, OVER, resize_message

__all__ = ["Live"]

_MOST_AT_ONCE = 256 << 10
"""Bytes of output that are taken in between two looks at the keyboard."""


class Live(TracerLink):
    """What the screen needs of a run that it started, or attached to: then it has no `terminal` to show."""

    def __init__(
        self,
        channel: socket.socket,
        tracer: int,
        attached: bool,
        journal: JournalBytes,
        terminal: Optional[socket.socket] = None,
        size: Tuple[int, int] = (24, 80),
    ) -> None:
        super().__init__(channel, tracer, attached, journal)
        self.size = size
        """Rows and columns of the program's terminal."""
        self.terminal_over = False
        """Whether nobody will write to it any more."""
        self.start = time.monotonic()
        self.failure: Optional[WxtraceError] = None
        self.said: List[str] = []
        self._terminal = terminal
        self._asked_to_end = False
        if terminal is not None:
            terminal.setblocking(False)

    @property
    def running(self) -> bool:
        """Whether the program still runs under our eyes."""
        return not (self.ended or self.over or self.detached or self.failure is not None)

    @property
    def has_terminal(self) -> bool:
        """Whether the program's terminal is ours to show."""
        return self._terminal is not None

    def say(self, text: str) -> None:
        """Kept for the screen."""
        self.said.append(text)

    @property
    def terminal_fd(self) -> int:
        """To wait for output on."""
        return self._terminal.fileno() if self._terminal is not None else -1

    def poll(self) -> None:
        """Hear the tracer. Its failure is kept, not raised."""
        if not self.over and self.failure is None:
            try:
                self.hear()
            except WxtraceError as error:
                self.failure = error

    def output(self) -> List[bytes]:
        """What the program wrote since; not all of it at once, where it is much."""
        output: List[bytes] = []
        taken = 0
        while self._terminal is not None and not self.terminal_over and taken < _MOST_AT_ONCE:
            message = receive(self._terminal)
            if message is None:
                break
            if not message or message[:1] == OVER:
                self.terminal_over = True
                break
            if message[:1] == OUTPUT:
                output.append(message[1:])
                taken += len(message)
        return output

    def type(self, data: bytes) -> None:
        """Keys for the program."""
        for at in range(0, len(data), 4096):
            self._tell(KEYS + data[at : at + 4096])

    def resize(self, rows: int, columns: int) -> None:
        """The pane has another size."""
        self.size = rows, columns
        self._tell(resize_message(rows, columns))

    def _tell(self, message: bytes) -> None:
        if self._terminal is None:
            return
        try:
            self._terminal.send(message)
        except OSError:
            pass

    def end_program(self) -> str:
        """Ask the program to end; asked again, end it. What was done, in words."""
        number = signal.SIGKILL if self._asked_to_end else signal.SIGTERM
        self.pass_on(number)
        again = self._asked_to_end
        self._asked_to_end = True
        return "killed" if again else "asked to end (SIGTERM); once more kills it"
