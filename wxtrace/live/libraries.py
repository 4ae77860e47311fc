"""What the files behind mappings say of themselves: asked only when a call about them was refused, or they vanished.

The target names the file, so it is opened without waiting, without becoming anybody's terminal, in the target's own
mount namespace, and believed only when it is a regular file with the inode that is mapped. To be called in the helper
process (inquiry.py): the target may serve the file as well.
"""

from __future__ import annotations

import os
import re
import stat
from typing import BinaryIO, Iterable, Optional, Sequence, Tuple, Union

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.live.procfs import WHOLE, lines_of_ranges
from wxtrace.live.task import Task
from wxtrace.model import flags as f
from wxtrace.model.objects import Library
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.row import CallRequest

__all__ = ["library_mapped", "library_of_line", "library_to_ask_for", "library_unloaded", "loader_version"]

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_FILES = ("/memfd:", "/dev/", "/SYSV", "/[", "/anon_hugepage", "/secretmem")
_DELETED = " (deleted)"
_ANOTHER = "another file has that name now"
_LOADER = r"ld-linux[\w.-]*\.so\.\d|ld(64)?\.so\.\d|ld-2\.\d+\.so|ld-musl-"
_RELEASE = rb"ld\.so \([^)\0]{1,100}\) \w{1,20} release version (\d{1,2}\.\d{1,3})"
_MOST_LOADER_BYTES = 4 << 20
_PF_X = 1


def library_mapped(
    known: Optional[Tuple[int, Optional[MapLine]]], args: Tuple[int, ...], line: MapLine
) -> Optional[Tuple[int, Optional[MapLine]]]:
    """Where the loader last began to map a file, and the line of its code once that is mapped.

    glibc maps the whole span of a library first, then each segment over it (elf/dl-map-segments.h).
    """
    if line.perms[3] != "p" or not line.inode:
        return known
    if not args[3] & f.MAP_FIXED:
        return (line.start, line if args[2] & f.PROT_EXEC else None)
    if known is not None and args[2] & f.PROT_EXEC and known[0] < line.start:
        return (known[0], line)
    return known


def library_to_ask_for(task: Task, request: CallRequest, vmas: Sequence[Vma]) -> Optional[MapLine]:
    """Of which file a refused PROT_EXEC is: for the stack, the library that was mapped last; else its own."""
    if not isinstance(request, Mprotect) or not request.prot & f.PROT_EXEC:
        return None
    if request.prot & f.GROWSDOWN:
        return task.space.library[1] if task.space.library is not None else None
    end = request.addr + request.length
    lines = (vma.line for vma in vmas if vma.line.start < end and vma.line.end > request.addr)
    line = next((line for line in lines if line.inode and line.path.startswith("/")), None)
    return None if line is None or line.path.startswith(_NO_FILES) else line


def library_unloaded(tid: int, code: MapLine) -> Union[Tuple[()], Tuple[Library, str]]:
    """The library that code was mapped from, if it asks for an executable stack, and whose loader is mapped."""
    found = library_of_line(tid, code)
    if found.trouble or not (found.stack_flags is None or found.stack_flags & _PF_X):
        return ()
    try:
        return found, loader_version(tid, lines_of_ranges(tid, [WHOLE])[0])
    except OSError:
        return ()


def library_of_line(tid: int, line: MapLine) -> Library:
    """The ELF headers of the file behind a mapping; what went wrong, where they cannot be read."""
    # elftools and construct: not for programs that nothing is refused to.
    from wxtrace.decoders.elf import decode_elf

    try:
        with _opened(tid, line) as file:
            image = decode_elf(file)
    except (OSError, ValueError) as error:  # DecodeError is a ValueError.
        if line.path.endswith(_DELETED):
            return Library(line.path, trouble="it was deleted")
        return Library(line.path, trouble=getattr(error, "strerror", None) or str(error))
    return Library(line.path, image.stack_flags, image.text_relocations)


def loader_version(tid: int, lines: Iterable[MapLine]) -> str:
    """Whose dynamic loader is mapped: "2.41" for that glibc, "other" for no glibc, "" when nobody can tell."""
    line = next((line for line in lines if re.match(_LOADER, line.path.rpartition("/")[2])), None)
    if line is None:
        return ""
    if "musl" in line.path.rpartition("/")[2]:
        return "other"
    try:
        with _opened(tid, line) as file:
            # What `ld.so --version` prints; before glibc 2.33 there was no such text.
            found = re.search(_RELEASE, file.read(_MOST_LOADER_BYTES))
    except (OSError, ValueError):
        return ""
    return found[1].decode("ascii") if found is not None else "other"


def _opened(tid: int, line: MapLine) -> BinaryIO:
    """The file that is mapped. Raises OSError or ValueError when it cannot be opened, or is another one."""
    path = "/proc/%d/root%s" % (tid, line.path)
    # Looked at first: to open a device can do something already.
    if not _is_mapped(os.stat(path), line):
        raise ValueError(_ANOTHER)
    fd = os.open(path, _FLAGS)
    if not _is_mapped(os.fstat(fd), line):
        os.close(fd)
        raise ValueError(_ANOTHER)
    return os.fdopen(fd, "rb")


def _is_mapped(found: os.stat_result, line: MapLine) -> bool:
    """Device and inode agree. Devices without a disk (overlayfs, btrfs) show another number in maps than in stat."""
    if not stat.S_ISREG(found.st_mode) or found.st_ino != line.inode:
        return False
    major, _, minor = line.dev.partition(":")
    same = (os.major(found.st_dev), os.minor(found.st_dev)) == (int(major, 16), int(minor, 16))
    return same or os.major(found.st_dev) == 0
