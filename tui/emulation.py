"""Our end of the emulator: starts it, feeds it, keeps the rows it tells of, and does without it when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from typing import Deque, Dict, List, Optional, Tuple

from wxtrace.printable import printable
from wxtrace.tui.emulator_wire import FEED, HEAD, SIZE, WINDOW

__all__ = ["Emulation"]

_MOST_WAITING = 1 << 20
"""Bytes that wait for an emulator that does not keep up; after that the oldest are lost to it."""
Runs = List[Tuple[str, str]]


class Emulation:
    """`failed` from the moment on in which there is no emulator any more."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows: Dict[int, Runs] = {}
        self.cursor: Tuple[int, int, bool] = (0, 0, True)
        self.failed = False
        self._waiting: Deque[bytes] = deque()
        self._waiting_bytes = 0
        self._heard = b""
        self._process: Optional[subprocess.Popen[bytes]] = None
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wxtrace.tui.emulator", str(rows), str(columns)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        except OSError:
            self.failed = True
            return
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    @property
    def output(self) -> int:
        """The descriptor on which it tells; -1 without one."""
        return self._process.stdout.fileno() if self._process is not None and self._process.stdout is not None else -1

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None

    def feed(self, data: bytes) -> None:
        """What the program wrote."""
        self._send(HEAD.pack(FEED, len(data)) + data)

    def resize(self, rows: int, columns: int) -> None:
        """The pane has another size."""
        self._send(HEAD.pack(WINDOW, SIZE.size) + SIZE.pack(rows, columns))
        self.rows = {row: runs for row, runs in self.rows.items() if row < rows}

    def poll(self) -> bool:
        """Take in what it told; whether any row changed."""
        self._flush()
        if self._process is None or self.failed:
            return False
        changed = False
        while True:
            try:
                data = os.read(self.output, 1 << 16)
            except BlockingIOError:
                return changed
            except OSError:
                data = b""
            if not data:
                self.failed = True
                return True
            *lines, self._heard = (self._heard + data).split(b"\n")
            for line in lines:
                changed = self._take(line) or changed

    def _take(self, line: bytes) -> bool:
        update = json.loads(line)
        for row, runs in update["rows"].items():
            # The emulator writes the cell behind a wide character as an empty one.
            self.rows[int(row)] = [(printable(text, 4096), colours) for text, colours in runs]
        row, column, shown = update["cursor"]
        self.cursor = row, column, shown
        return True

    def _send(self, message: bytes) -> None:
        if self._process is None or self.failed:
            return
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        # A message that was begun has to be ended: it stays.
        while self._waiting_bytes > _MOST_WAITING and len(self._waiting) > 2:
            dropped = self._waiting[1]
            del self._waiting[1]
            self._waiting_bytes -= len(dropped)
        self._flush()

    def _flush(self) -> None:
        while self._waiting and not self.failed and self._process is not None and self._process.stdin is not None:
            try:
                written = os.write(self._process.stdin.fileno(), self._waiting[0])
            except BlockingIOError:
                return
            except OSError:
                self.failed = True
                return
            self._waiting_bytes -= written
            if written == len(self._waiting[0]):
                self._waiting.popleft()
            else:
                self._waiting[0] = self._waiting[0][written:]
