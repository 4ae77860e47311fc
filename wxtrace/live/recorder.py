"""Where the tracer's facts go: into the journal, in batches, with a nudge to whoever reads it.

A journal that cannot grow any more goes on in another folder, and in the end through the channel: the front keeps and
tells what no file holds.

Ordinary facts wait at most `BATCH_SECONDS`; refused calls are written at once. A timer signal breaks the
tracer's wait when a batch is due, so an idle tracer never wakes up.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional

from wxtrace.channel import JOURNAL_BYTES, receive
from wxtrace.model.facts import Call, Dropped
from wxtrace.record.journal import JournalWriter, Write
from wxtrace.record.store import NewJournal, create_copy

__all__ = ["BATCH_SECONDS", "Recorder"]

BATCH_SECONDS = 0.04
IN_MEMORY = 256 << 20
"""Bytes that no file takes, from which on ordinary calls are only counted."""
_PIECE = 32 << 10


class Recorder:
    """Journal, clock, timer and the channel to the front."""

    def __init__(self, journal: NewJournal, channel: socket.socket) -> None:
        self.ticked = False
        self.watch: Optional[Callable[[Any], None]] = None
        self._channel = channel
        self.start_ns = time.monotonic_ns()
        self._armed = False
        self._told_full = self._moved = False
        # What the front, slow or stopped, has no room for yet.
        self._unsaid: Deque[bytes] = deque()
        channel.setblocking(False)
        # What a program that we start has to find again.
        self.former_handlers = {
            number: signal.signal(number, self._on_timer) for number in (signal.SIGALRM, signal.SIGUSR1)
        }
        self._file = journal
        self.journal = JournalWriter(journal.fd, elsewhere=self._elsewhere)

    def now(self) -> int:
        """Nanoseconds since the start of the run."""
        return time.monotonic_ns() - self.start_ns

    def call(self, call: Call, keep: bool = False) -> None:
        """One traced call."""
        self.journal.call(call, keep)
        if not self._armed:
            self.arm()
        if self.watch is not None:
            self.watch(call)

    def plain_call(self, tid: int, t_ns: int, head: bytes, info: tuple[int, ...], result: int) -> None:
        """One ordinary call, `info` as PTRACE_GET_SYSCALL_INFO gave it; only without a watcher."""
        self.journal.plain_call(tid, t_ns, head, info, result)
        if not self._armed:
            self.arm()

    def fact(self, fact: Any) -> None:
        """Anything else."""
        dropped = self.journal.take_dropped()
        if dropped:
            self.journal.fact(Dropped(dropped))
        self.journal.fact(fact)
        if not self._armed:
            self.arm()
        if self.watch is not None:
            self.watch(fact)

    def arm(self) -> None:
        """Have the wait broken every `BATCH_SECONDS`, until `disarm`. Set anew each time it might never be due."""
        if self._armed:
            return
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, BATCH_SECONDS, BATCH_SECONDS)

    def disarm(self) -> None:
        """Nothing is due any more."""
        if self._unsaid:
            return
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def flush(self) -> None:
        """Write the batch, and tell the front that there is something to read."""
        if self.journal.pending:
            self.journal.flush()
            if not self._unsaid:
                # Else what waits makes the front look as well.
                self.say({"is": "written"})
        self._send()
        if self.journal.full and not self._told_full:
            self._told_full = True
            self.say({"is": "journal-full", "limit": self.journal.limit})

    def _elsewhere(self, writer: JournalWriter, error: OSError) -> Write:
        """Where the journal goes on: a copy of it, or the front's memory."""
        why = os.strerror(error.errno or 0)
        if error.errno == errno.EFBIG:
            # RLIMIT_FSIZE holds for every file.
            why += ", by RLIMIT_FSIZE (ulimit -f)"
        elif self._file.path is not None and not self._moved:
            # Once: a front that stands still has to find the file that it is told of.
            self._moved = True
            copy = create_copy(self._file, writer.written)
            if copy is not None:
                os.close(self._file.fd)
                self._file = copy
                self.say({"is": "journal-moved", "why": why, "path": copy.path})
                return lambda data: os.write(copy.fd, data)
        writer.limit = min(writer.limit, writer.written + IN_MEMORY)
        self.say({"is": "journal-unkept", "why": why, "at": writer.written, "kept": writer.holds_anything})
        return self._write_to_front

    def _write_to_front(self, data: memoryview) -> int:
        self._unsaid.append(JOURNAL_BYTES + data[:_PIECE])
        self._send()
        return len(data[:_PIECE])

    def say(self, message: Dict[str, Any]) -> None:
        """One message to the front, in order. A front that is gone or slow never stops the tracer."""
        self._unsaid.append(json.dumps(message).encode("ascii"))
        self._send()

    def last_words(self) -> None:
        """Nothing is traced any more: wait until the front has taken every message, or is gone."""
        self._channel.setblocking(True)
        self._send()

    def _send(self) -> None:
        try:
            while self._unsaid:
                self._channel.send(self._unsaid[0])
                self._unsaid.popleft()
        except BlockingIOError:
            self.arm()
        except OSError:
            self._unsaid.clear()

    def heard(self) -> List[Dict[str, Any]]:
        """What the front said since last asked."""
        messages: List[Dict[str, Any]] = []
        while True:
            data = receive(self._channel)
            if data is None:
                return messages
            if not data:
                return [*messages, {"is": "gone"}]
            messages.append(json.loads(data))

    def _on_timer(self, signum: int, frame: object) -> None:
        self.ticked = True
