"""Where the tracer's facts go: into the journal, in batches, with a nudge to whoever reads it.

Ordinary facts wait at most `BATCH_SECONDS`; refused calls are written at once. A timer signal breaks the
tracer's wait when a batch is due, so an idle tracer never wakes up.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import Any, Callable, Dict, List, Optional

from wxtrace.model.facts import Call, Dropped
from wxtrace.record.journal import JournalWriter

__all__ = ["BATCH_SECONDS", "Recorder"]

BATCH_SECONDS = 0.04


class Recorder:
    """Journal, clock, timer and the channel to the front."""

    def __init__(self, journal_fd: int, channel: socket.socket) -> None:
        self.journal = JournalWriter(journal_fd)
        self.ticked = False
        self.watch: Optional[Callable[[Any], None]] = None
        self._channel = channel
        self._start = time.monotonic_ns()
        self._armed = False
        self._told_failure = False
        channel.setblocking(False)
        # What a program that we start has to find again.
        self.former_handlers = {
            number: signal.signal(number, self._on_timer) for number in (signal.SIGALRM, signal.SIGUSR1)
        }

    def now(self) -> int:
        """Nanoseconds since the start of the run."""
        return time.monotonic_ns() - self._start

    def call(self, call: Call, keep: bool = False) -> None:
        """One traced call."""
        self.journal.call(call, keep)
        if not self._armed:
            self.arm()
        if self.watch is not None:
            self.watch(call)

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
        """Have the wait broken every `BATCH_SECONDS`, until `disarm`."""
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, BATCH_SECONDS, BATCH_SECONDS)

    def disarm(self) -> None:
        """Nothing is due any more."""
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def flush(self) -> None:
        """Write the batch, and tell the front that there is something to read."""
        if self.journal.pending:
            self.journal.flush()
            self.say({"is": "written"})
        if self.journal.failure is not None and not self._told_failure:
            self._told_failure = True
            self.say({"is": "journal-failed", "why": os.strerror(self.journal.failure.errno or 0)})

    def say(self, message: Dict[str, Any]) -> None:
        """One message to the front. A front that is gone or slow loses it, and never stops the tracer."""
        try:
            self._channel.send(json.dumps(message).encode("ascii"))
        except OSError:
            pass

    def heard(self) -> List[Dict[str, Any]]:
        """What the front said since last asked."""
        messages: List[Dict[str, Any]] = []
        while True:
            try:
                data = self._channel.recv(65536)
            except OSError:
                return messages
            if not data:
                return messages
            messages.append(json.loads(data))

    def _on_timer(self, signum: int, frame: object) -> None:
        self.ticked = True
