"""A file that is written for the user: whole or not at all, and never over what is being read."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Iterator, Optional, TextIO, Type

from wxtrace.errors import OutputError, UsageError
from wxtrace.printable import printable
from wxtrace.record.spool import open_spool

__all__ = ["OutputFile", "standard_output", "write_out"]

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
_MAY_NOT = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Standard output: what it does not take is an OutputError; a reader that has gone is not worth a word."""
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError("standard output takes no more: %s" % error.strerror) from None


def write_out(text: str) -> None:
    """To standard output. Raises OutputError."""
    with standard_output() as out:
        out.write(text)


class OutputFile:
    """Opened at once, so that what cannot be written is said before any work. Raises UsageError.

    As a context manager it gives the stream, and raises OutputError at its end. A regular file is written beside its
    place and renamed; a pipe or a device is written as it is.
    """

    def __init__(self, path: str) -> None:
        self.name = printable(path)
        self._is_new = not os.path.lexists(path)
        try:
            fd = os.open(path, _FLAGS, 0o666)
        except OSError as error:
            raise UsageError("cannot write %s: %s" % (self.name, error.strerror)) from None
        self._target = os.fdopen(fd, "wb")
        self._found = os.fstat(fd)
        self._place = os.path.realpath(path)
        self._beside: Optional[str] = None

    def __enter__(self) -> TextIO:
        self._stream: IO[bytes] = self._target
        if stat.S_ISREG(self._found.st_mode):
            import tempfile

            folder, name = os.path.split(self._place)
            try:
                fd, self._beside = tempfile.mkstemp(prefix=".%s." % name[:100], dir=folder)
            except OSError as error:
                if error.errno not in _MAY_NOT:
                    raise self._failed(error) from None
                # A file that may be written to, in a folder that may not.
                self._stream = open_spool()
            else:
                self._stream = os.fdopen(fd, "wb")
                os.fchmod(fd, stat.S_IMODE(self._found.st_mode))
                if self._found.st_uid != os.geteuid():
                    os.fchown(fd, self._found.st_uid, self._found.st_gid)
        self._text = io.TextIOWrapper(self._stream, "utf-8", newline="\n")
        return self._text

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        try:
            if kind is None:
                self._finish()
            elif isinstance(value, OSError):
                raise value
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failed(error) from None
        finally:
            if self._beside is not None:
                os.unlink(self._beside)
                if self._is_new:
                    os.unlink(self._place)

    def _finish(self) -> None:
        self._text.flush()
        if self._stream is not self._target and self._beside is None:
            import shutil

            self._stream.seek(0)
            self._target.truncate(0)
            shutil.copyfileobj(self._stream, self._target)
        self._stream.close()
        self._target.close()
        if self._beside is not None:
            os.replace(self._beside, self._place)
            self._beside = None

    def _failed(self, error: OSError) -> OutputError:
        return OutputError("cannot write %s: %s" % (self.name, error.strerror))
