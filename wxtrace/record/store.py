"""Where journals are kept: a private folder of the user's own, newest few, nobody else's links followed."""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
import tempfile
import time
from typing import BinaryIO, List, NamedTuple, Optional

from wxtrace.errors import RecordError

__all__ = ["NewJournal", "create", "journals", "last_journal", "open_journal", "state_folder"]

KEPT, KEPT_BYTES = 10, 2 << 30
"""Journals of finished runs, and what they may take together; older ones are removed when a new run starts."""

NOTHING_KEPT = "no run is kept in your state folder; wxtrace -- PROGRAM keeps one where it may write there"

_SUFFIX = ".journal"


class NewJournal(NamedTuple):
    """A fresh journal. `kept` is False where no state folder could be used: it goes with the run."""

    fd: int
    path: str
    kept: bool


def state_folder() -> Optional[str]:
    """`$XDG_STATE_HOME/wxtrace`, or under the home folder; None when it would not be our own (as under sudo)."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        home = os.path.expanduser("~")
        if not _ours(home):
            try:
                home = pwd.getpwuid(os.geteuid()).pw_dir
            except KeyError:
                return None
        base = os.path.join(home, ".local", "state")
    return os.path.join(base, "wxtrace")


def create() -> NewJournal:
    """A journal of mode 0600, locked while its run lasts. Never fails: in the end it is a file without a name."""
    folder = state_folder()
    if folder is not None:
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            if not _private(folder):
                raise PermissionError(folder)
            _prune(folder)
            name = time.strftime("%Y%m%d-%H%M%S") + "-%d" % os.getpid() + _SUFFIX
            path = os.path.join(folder, name)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND
            fd = os.open(path, flags, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            return NewJournal(fd, path, True)
        except OSError:
            pass
    fd, path = tempfile.mkstemp(suffix=_SUFFIX, prefix="wxtrace-")
    return NewJournal(fd, path, False)


def journals() -> List[str]:
    """Paths of the kept journals, newest first."""
    folder = state_folder()
    if folder is None:
        return []
    try:
        names = [name for name in os.listdir(folder) if name.endswith(_SUFFIX)] if _private(folder) else []
    except OSError:
        return []
    return [os.path.join(folder, name) for name in sorted(names, key=_age_key, reverse=True)]


def last_journal() -> str:
    """The newest kept journal. Raises RecordError when none is kept."""
    kept = journals()
    if not kept:
        raise RecordError(NOTHING_KEPT)
    return kept[0]


def open_journal(path: str) -> BinaryIO:
    """Open a record for reading. Raises RecordError unless it is a regular file that can be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise RecordError("cannot read %s: %s" % (path, error.strerror)) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise RecordError("%s is no regular file" % path)
    return os.fdopen(fd, "rb", buffering=0)


def _age_key(name: str) -> tuple[str, int]:
    stem = name[: -len(_SUFFIX)]
    day, _, rest = stem.partition("-")
    clock, _, pid = rest.partition("-")
    return day + clock, int(pid) if pid.isdigit() else 0


def _ours(path: str) -> bool:
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def _private(folder: str) -> bool:
    """A folder of our own that nobody else may write to."""
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _prune(folder: str) -> None:
    """Remove all but the newest journals; one that a run still writes to is locked, and left alone."""
    names = [name for name in os.listdir(folder) if name.endswith(_SUFFIX)]
    total = 0
    for rank, name in enumerate(sorted(names, key=_age_key, reverse=True)):
        path = os.path.join(folder, name)
        try:
            total += os.lstat(path).st_size
        except OSError:
            continue
        if rank < KEPT - 1 and total <= KEPT_BYTES:
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        except OSError:
            pass
        finally:
            os.close(fd)
