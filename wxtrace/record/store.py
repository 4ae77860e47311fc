"""Where journals are kept: a private folder of the user's own, newest few, nobody else's links followed.

Under sudo that is the user who called it, who will want to read them without. A process that has become that user
makes the journal, so that nothing the user put in its way is followed with root's rights.
"""

from __future__ import annotations

import fcntl
import functools
import os
import pwd
import socket
import stat
import time
from typing import BinaryIO, List, NamedTuple, Optional

from wxtrace.errors import RecordError

__all__ = ["NewJournal", "create", "journals", "last_journal", "make_room", "open_journal", "state_folder"]

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
    """`$XDG_STATE_HOME/wxtrace`, or under the home folder; None when there is none of our own."""
    return _place().folder


def create() -> NewJournal:
    """A journal of mode 0600, locked while its run lasts. Never fails: in the end it is a file without a name."""
    place = _place()
    if place.folder is not None:
        name = time.strftime("%Y%m%d-%H%M%S") + "-%d" % os.getpid() + _SUFFIX
        path = os.path.join(place.folder, name)
        try:
            make = _create if place.owner is None else functools.partial(_create_as, place.owner)
            return NewJournal(make(place.folder, path), path, True)
        except OSError:
            pass
    import tempfile

    fd, path = tempfile.mkstemp(suffix=_SUFFIX, prefix="wxtrace-")
    return NewJournal(fd, path, False)


def make_room() -> None:
    """Remove the oldest journals. Not part of `create`, as unlinking large files takes time and the program waits."""
    place = _place()
    if place.folder is not None and place.owner is None:
        try:
            _prune(place.folder)
        except OSError:
            pass


def journals() -> List[str]:
    """Paths of the kept journals, newest first."""
    folder, owner = _place()
    if folder is None:
        return []
    try:
        private = _private(folder, os.geteuid() if owner is None else owner.pw_uid)
        with os.scandir(folder) as found:
            regular = [entry.name for entry in found if entry.is_file(follow_symlinks=False)] if private else []
    except OSError:
        return []
    names = [name for name in regular if name.endswith(_SUFFIX)]
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


class _Place(NamedTuple):
    """Where journals are kept, and whose they are: None for our own."""

    folder: Optional[str]
    owner: Optional[pwd.struct_passwd]


def _place() -> _Place:
    caller = _caller_of_sudo()
    base = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return _Place(os.path.join(base, "wxtrace"), caller if caller and _belongs(base, caller.pw_uid) else None)
    home = os.path.expanduser("~")
    if caller is not None:
        home = caller.pw_dir
    elif not _belongs(home, os.geteuid()):
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            return _Place(None, None)
    return _Place(os.path.join(home, ".local", "state", "wxtrace"), caller)


def _caller_of_sudo() -> Optional[pwd.struct_passwd]:
    """Who is root by sudo; None for everybody else."""
    number = os.environ.get("SUDO_UID", "")
    if os.getuid() != 0 or os.geteuid() != 0 or not number.isdigit() or int(number) == 0:
        return None
    try:
        return pwd.getpwuid(int(number))
    except (KeyError, OverflowError):
        return None


def _create(folder: str, path: str) -> int:
    """The descriptor of the new file, in a folder that is made when it is not there. Raises OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if not _private(folder, os.geteuid()):
        raise PermissionError(folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND
    fd = os.open(path, flags, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _create_as(owner: pwd.struct_passwd, folder: str, path: str) -> int:
    """As `_create`, by a process that has become that user for good. Raises OSError."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(owner.pw_gid)
            os.setuid(owner.pw_uid)
            socket.send_fds(theirs, [b"x"], [_create(folder, path)])
            _prune(folder)
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1, socket.MSG_CMSG_CLOEXEC)
    os.waitpid(pid, 0)
    if not descriptors:
        raise PermissionError(folder)
    return descriptors[0]


def _belongs(path: str, uid: int) -> bool:
    try:
        return os.stat(path).st_uid == uid
    except OSError:
        return False


def _private(folder: str, uid: int) -> bool:
    """A folder of that user's own that nobody else may write to."""
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o022


def _prune(folder: str) -> None:
    """Remove all but the newest journals. One that a run still writes to is locked, and left alone."""
    names = [name for name in os.listdir(folder) if name.endswith(_SUFFIX)]
    total = 0
    for rank, name in enumerate(sorted(names, key=_age_key, reverse=True)):
        path = os.path.join(folder, name)
        try:
            total += os.lstat(path).st_size
        except OSError:
            continue
        if rank < KEPT and total <= KEPT_BYTES:
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
