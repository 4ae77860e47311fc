"""The bytes of a record, wherever they lie: in a file, in the one it was moved to, and the rest in our memory.

A journal is one stream of bytes. Where its file cannot be written any more, the tracer goes on with a copy elsewhere,
or sends what follows to the front: a reader finds every byte at the same place as before.
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import Optional, Protocol

from wxtrace.errors import RecordError
from wxtrace.printable import printable

__all__ = ["Cursor", "JournalBytes", "Readable"]


class Readable(Protocol):
    """What readers of records need of a file."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, and go on behind them."""

    def seek(self, at: int, /) -> int:
        """Go there."""


class JournalBytes:
    """The file at `path`, opened for reading; without a path all comes by `extend`. Raises RecordError."""

    def __init__(self, path: Optional[str], spare: bool = False) -> None:
        self.path = path
        self.spare = spare
        """Whether it is elsewhere than in the state folder, which could not take it."""
        self.name = printable(path) if path is not None else "the record of this run"
        self._fd = _open(path) if path is not None else -1
        # What follows the file, and where that begins; None where all of it is in the file.
        self._tail: Optional[bytearray] = None if path is not None else bytearray()
        self._tail_at = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def in_file(self) -> bool:
        """Whether none of it is in our memory alone."""
        return self._tail is None

    @property
    def size(self) -> int:
        """Bytes that are there now."""
        if self._tail is not None:
            return self._tail_at + len(self._tail)
        return os.fstat(self._fd).st_size

    def read_at(self, size: int, at: int) -> bytes:
        """At most so many bytes from there on; none at the end. Raises RecordError."""
        if self._tail is not None:
            if at >= self._tail_at:
                at -= self._tail_at
                return bytes(self._tail[at : at + size])
            size = min(size, self._tail_at - at)
        try:
            return os.pread(self._fd, size, at)
        except OSError as error:
            raise RecordError("cannot read %s: %s" % (self.name, error.strerror)) from None

    def cursor(self) -> Cursor:
        """A position of its own, at the start."""
        return Cursor(self)

    def move(self, path: str) -> None:
        """The same bytes, and what follows, are in another file from now on. Raises RecordError."""
        fd = _open(path)
        self.close()
        self._fd, self.path, self.name, self.spare = fd, path, printable(path), True

    def extend(self, data: bytes, at: int) -> None:
        """What follows the file, which ends at `at`."""
        if self._tail is None:
            self._tail, self._tail_at = bytearray(), at
        self._tail += data

    @property
    def still_written(self) -> bool:
        """Whether a run still writes to the file: it holds a lock as long as it lasts."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False


class Cursor:
    """A `Readable` over them."""

    def __init__(self, source: JournalBytes) -> None:
        self._source = source
        self._at = 0

    def seek(self, at: int) -> int:
        """Go there."""
        self._at = at
        return at

    @property
    def source(self) -> JournalBytes:
        """What it reads."""
        return self._source

    @property
    def name(self) -> str:
        """Harmless on a terminal."""
        return self._source.name

    @property
    def size(self) -> int:
        """Bytes that are there now."""
        return self._source.size

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def read(self, size: int) -> bytes:
        """As `JournalBytes.read_at`, and go on behind it."""
        data = self._source.read_at(size, self._at)
        self._at += len(data)
        return data


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise RecordError("cannot read %s: %s" % (printable(path), error.strerror)) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise RecordError("%s is no regular file" % printable(path))
    return fd
