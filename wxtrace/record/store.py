"""Where journals are kept: a private folder of the user's own, newest few, nobody else's links followed.

That is the state folder, or one in TMPDIR where the state folder cannot be written.

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
from typing import List, NamedTuple, Optional

from wxtrace.errors import RecordError
from wxtrace.record.journalbytes import JournalBytes

__all__ = ["NewJournal", "create", "create_copy", "discard", "journals", "last_journal", "make_room"]

KEPT, KEPT_BYTES = 10, 2 << 30
"""Journals of finished runs, and what they may take together; older ones are removed when a new run starts."""

NOTHING_KEPT = "no run of yours is kept; wxtrace -- PROGRAM keeps one in your state folder, or in TMPDIR"

_SUFFIX = ".journal"
_ROOM = 1 << 20
"""Bytes that a folder must have left to take over a journal."""


class NewJournal(NamedTuple):
    """A fresh journal; without a file (`fd` is -1) where no folder can be written."""

    fd: int
    path: Optional[str]
    spare: bool
    """Whether the state folder could not take it."""


def create() -> NewJournal:
    """A journal of mode 0600, locked while its run lasts. Never fails: in the end there is no file."""
    name = time.strftime("%Y%m%d-%H%M%S") + "-%d" % os.getpid() + _SUFFIX
    for folder, owner in _places():
        try:
            make = _create if owner is None else functools.partial(_create_as, owner)
            return NewJournal(make(folder, name), os.path.join(folder, name), folder == _spare_folder())
        except OSError:
            pass
    return NewJournal(-1, None, True)


def create_copy(journal: NewJournal, size: int) -> Optional[NewJournal]:
    """The first `size` bytes of a journal in TMPDIR, in its stead; None where there is no room for it.

    Forks nothing: a tracer goes on with it.
    """
    assert journal.path is not None
    folder, name = _spare_folder(), os.path.basename(journal.path)
    path = os.path.join(folder, name)
    if path == journal.path:
        return None
    try:
        fd = _create(folder, name)
    except OSError:
        return None
    try:
        copied = 0
        while copied < size:
            part = os.sendfile(fd, journal.fd, copied, size - copied)
            if not part:
                raise OSError("the journal was cut by somebody else")
            copied += part
        # A folder that takes what there is, and no more, is no way out.
        os.posix_fallocate(fd, size, _ROOM)
        os.ftruncate(fd, size)
    except OSError:
        _remove(path, fd)
        os.close(fd)
        return None
    _remove(journal.path, journal.fd)
    return NewJournal(fd, path, True)


def discard(record: JournalBytes) -> None:
    """Remove the file of a run that it tells nothing of. Whoever has it open can go on reading it."""
    if record.path is not None:
        try:
            os.unlink(record.path)
        except OSError:
            pass
        record.path = None


def make_room() -> None:
    """Remove the oldest journals. Not part of `create`, as unlinking large files takes time and the program waits."""
    for folder, owner in _places():
        if owner is None:
            try:
                if _private(os.lstat(folder), os.geteuid()):
                    _prune(folder)
            except OSError:
                pass


def journals() -> List[str]:
    """Paths of the kept journals, newest first."""
    found: List[str] = []
    for folder, owner in _places():
        try:
            if _private(os.lstat(folder), os.geteuid() if owner is None else owner.pw_uid):
                with os.scandir(folder) as entries:
                    found += [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
        except OSError:
            pass
    return sorted((path for path in found if path.endswith(_SUFFIX)), key=_age_key, reverse=True)


def last_journal() -> str:
    """The newest kept journal. Raises RecordError when none is kept."""
    kept = journals()
    if not kept:
        raise RecordError(NOTHING_KEPT)
    return kept[0]


def _age_key(path: str) -> tuple[str, int]:
    stem = os.path.basename(path)[: -len(_SUFFIX)]
    day, _, rest = stem.partition("-")
    clock, _, pid = rest.partition("-")
    return day + clock, int(pid) if pid.isdigit() else 0


class _Place(NamedTuple):
    """Where journals are kept, and whose they are: None for our own."""

    folder: str
    owner: Optional[pwd.struct_passwd]


def _places() -> List[_Place]:
    """The state folder, and where a journal goes that it cannot take."""
    state = _state_place()
    spare = _Place(_spare_folder(), None)
    return [state, spare] if state is not None else [spare]


def _state_place() -> Optional[_Place]:
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
            return None
    return _Place(os.path.join(home, ".local", "state", "wxtrace"), caller)


def _spare_folder() -> str:
    """The folder for temporary files is everybody's, so ours there has a name of its own."""
    base = os.environ.get("TMPDIR", "")
    return os.path.join(base if os.path.isabs(base) else "/tmp", "wxtrace-%d" % os.geteuid())


def _caller_of_sudo() -> Optional[pwd.struct_passwd]:
    """Who is root by sudo; None for everybody else."""
    number = os.environ.get("SUDO_UID", "")
    if os.getuid() != 0 or os.geteuid() != 0 or not number.isdigit() or int(number) == 0:
        return None
    try:
        return pwd.getpwuid(int(number))
    except (KeyError, OverflowError):
        return None


def _create(folder: str, name: str) -> int:
    """The descriptor of the new file, in a folder that is made when it is not there. Raises OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _private(os.fstat(inside), os.geteuid()):
            raise PermissionError(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=inside)
    finally:
        os.close(inside)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _remove(path: str, fd: int) -> None:
    """Unlink this very file, where its name still leads to it."""
    folder, name = os.path.split(path)
    try:
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if os.path.samestat(os.stat(name, dir_fd=inside, follow_symlinks=False), os.fstat(fd)):
            os.unlink(name, dir_fd=inside)
    except OSError:
        pass
    finally:
        os.close(inside)


def _create_as(owner: pwd.struct_passwd, folder: str, name: str) -> int:
    """As `_create`, by a process that has become that user for good. Raises OSError."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(owner.pw_gid)
            os.setuid(owner.pw_uid)
            socket.send_fds(theirs, [b"x"], [_create(folder, name)])
            _prune(folder)
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(pid, 0)
    if not descriptors:
        raise PermissionError(folder)
    # recv_fds takes flags and forgets them.
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def _belongs(path: str, uid: int) -> bool:
    try:
        return os.stat(path).st_uid == uid
    except OSError:
        return False


def _private(found: os.stat_result, uid: int) -> bool:
    """A folder of that user's own that nobody else may write to."""
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
