"""/proc of a stopped task: small files whole, maps by PROCMAP_QUERY where the kernel has it.

Every read is bounded, and a file that vanishes half-read is an empty one: the task may be killed at any moment.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from typing import BinaryIO, Dict, Iterator, List, Optional, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.procmap_query import PROCMAP_QUERY, QUERY_SIZE, VMA_EXECUTABLE, decode_answer, encode_query
from wxtrace.decoders.procmaps import MapLine, Vma, parse_maps, parse_smaps
from wxtrace.decoders.proctext import parse_stat, parse_status
from wxtrace.live.arch import PAGE_SIZE, SYS_KCMP

__all__ = [
    "WHOLE",
    "MapsFile",
    "is_dead",
    "lines_of_ranges",
    "pages_with_contents",
    "process_state",
    "read_link",
    "read_memory",
    "read_proc",
    "share_memory",
    "smaps_of_ranges",
    "stands_still",
    "state_of",
    "thread_group",
    "threads_of",
    "write_memory",
]

MAX_TEXT = 64 << 20
WHOLE = (0, 1 << 64)
"""The range of all addresses."""
_CHUNK = 1 << 16
_NAME_SIZE = 4096 + 64
_KCMP_VM = 1
_ENTRY = struct.Struct("<Q")
_PRESENT, _SWAPPED, _WRITE_PROTECTED = 1 << 63, 1 << 62, 1 << 57

_libc = ctypes.PyDLL(None, use_errno=True)


def read_proc(tid: int, name: str, limit: int = MAX_TEXT) -> bytes:
    """The file's text, at most `limit` bytes; empty when the task is gone or the file is not ours to read."""
    try:
        fd = os.open("/proc/%d/%s" % (tid, name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    parts = []
    try:
        while limit > 0:
            part = os.read(fd, min(_CHUNK, limit))
            if not part:
                break
            parts.append(part)
            limit -= len(part)
    except OSError:
        pass
    finally:
        os.close(fd)
    return b"".join(parts)


def read_link(tid: int, name: str) -> str:
    """Where /proc/PID/NAME points; empty when it cannot be read."""
    try:
        return os.readlink("/proc/%d/%s" % (tid, name))
    except OSError:
        return ""


def threads_of(pid: int) -> List[int]:
    """The tids of a process now. Raises FileNotFoundError when there is no such process."""
    return sorted(int(name) for name in os.listdir("/proc/%d/task" % pid) if name.isdigit())


def process_state(tid: int) -> str:
    """R, S, D, T, t, Z, X …; X once it is gone (proc_pid_stat(5))."""
    try:
        return parse_stat(read_proc(tid, "stat", 8192)).state
    except DecodeError:
        return "X"


def is_dead(tid: int) -> bool:
    """Whether nobody runs here any more: a leader that ended before its threads never stops again."""
    return process_state(tid) in ("Z", "X")


def stands_still(tid: int) -> bool:
    """Whether it has stopped or died, and its wait status has only not been heard yet."""
    return process_state(tid) in ("t", "T", "Z", "X")


def state_of(tid: int) -> str:
    """R, S, D, t, T, Z …; empty when the task is gone."""
    try:
        return parse_stat(read_proc(tid, "stat", 8192)).state
    except DecodeError:
        return ""


def thread_group(tid: int) -> int:
    """The process a thread belongs to; the thread itself when nobody can tell."""
    value = parse_status(read_proc(tid, "status", 65536)).get("Tgid", "")
    return int(value) if value.isdigit() else tid


def share_memory(one: int, other: int) -> bool:
    """kcmp(KCMP_VM): whether two tasks live in one address space."""
    return bool(_libc.syscall(SYS_KCMP, one, other, _KCMP_VM, 0, 0) == 0)


class _IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def pages_with_contents(tid: int, start: int, end: int) -> List[Tuple[int, bool]]:
    """The pages of a range, and whether each has contents, in memory or swapped out (proc_pid_pagemap(5)).

    One that has none may be a trap: whoever reads it waits for a handler of userfaultfd, which may wait for us. A
    marker of its write protection looks like a page that is swapped out (fs/proc/task_mmu.c:pte_to_pagemap_entry).
    """
    first = start // PAGE_SIZE
    count = (end - 1) // PAGE_SIZE - first + 1
    try:
        fd = os.open("/proc/%d/pagemap" % tid, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        entries = os.pread(fd, _ENTRY.size * count, _ENTRY.size * first)
    except (OSError, OverflowError):
        return []
    finally:
        os.close(fd)
    whole = entries[: len(entries) // _ENTRY.size * _ENTRY.size]
    return [
        ((first + place) * PAGE_SIZE, bool(entry & _PRESENT or (entry & _SWAPPED and not entry & _WRITE_PROTECTED)))
        for place, (entry,) in enumerate(_ENTRY.iter_unpack(whole))
    ]


def read_memory(tid: int, address: int, size: int) -> Optional[bytes]:
    """`size` bytes of the task's memory, or None when they cannot all be read without waiting for anybody."""
    pages = pages_with_contents(tid, address, address + size) if size else []
    if not pages or not all(filled for _, filled in pages) or pages[-1][0] + PAGE_SIZE < address + size:
        return None
    buffer = ctypes.create_string_buffer(size)
    local = _IoVec(ctypes.addressof(buffer), size)
    remote = _IoVec(address, size)
    got = _libc.process_vm_readv(tid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    return buffer.raw if got == size else None


def write_memory(tid: int, address: int, data: bytes) -> bool:
    """process_vm_writev: whether all of it was written. Never to be used on memory that a file backs."""
    local = _IoVec(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data))
    remote = _IoVec(address, len(data))
    return bool(_libc.process_vm_writev(tid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) == len(data))


class MapsFile:
    """/proc/TID/maps of one address space, held open. Lines are asked one by one where the kernel can.

    Every reading raises OSError once the address space is gone.
    """

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self._fd = os.open("/proc/%d/maps" % tid, os.O_RDONLY | os.O_CLOEXEC)
        self._query = ctypes.create_string_buffer(QUERY_SIZE)
        self._name = ctypes.create_string_buffer(_NAME_SIZE)
        self._can_query = True

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)

    def at_or_after(self, address: int, only: int = 0) -> Optional[MapLine]:
        """The line that covers `address`, or else the next one; None when there is none.

        `only`: VMA_EXECUTABLE, to pass over all others.
        """
        if self._can_query:
            self._query.raw = encode_query(address, ctypes.addressof(self._name), _NAME_SIZE, only)
            try:
                fcntl.ioctl(self._fd, PROCMAP_QUERY, self._query)
                return decode_answer(self._query.raw, self._name.raw)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return None
                if error.errno == errno.ESRCH:
                    raise
                self._can_query = False
        wanted = "x" if only == VMA_EXECUTABLE else ""
        return next((line for line in self.lines() if line.end > address and wanted in line.perms), None)

    def at(self, address: int) -> Optional[MapLine]:
        """The line that covers `address`."""
        line = self.at_or_after(address)
        return line if line is not None and line.start <= address else None

    def range(self, start: int, end: int) -> List[MapLine]:
        """Every line that shares a byte with [start, end)."""
        if not self._can_query:
            return [line for line in self.lines() if line.start < end and line.end > start]
        found = []
        while start < end:
            line = self.at_or_after(start)
            if line is None or line.start >= end:
                break
            found.append(line)
            start = line.end
        return found

    def executable(self, most: int) -> List[MapLine]:
        """The executable lines, the first `most` of them."""
        found: List[MapLine] = []
        address = 0
        while len(found) < most:
            line = self.at_or_after(address, VMA_EXECUTABLE)
            if not self._can_query:
                return [line for line in self.lines() if "x" in line.perms][:most]
            if line is None:
                break
            found.append(line)
            address = line.end
        return found

    def lines(self) -> List[MapLine]:
        """The whole file, as one reading."""
        parts = []
        os.lseek(self._fd, 0, os.SEEK_SET)
        while True:
            part = os.read(self._fd, 1 << 20)
            if not part:
                break
            parts.append(part)
        # The file of a map that is being torn down just ends: what was read before counts only if there is more.
        os.lseek(self._fd, 0, os.SEEK_SET)
        if not os.read(self._fd, 1):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return parse_maps(b"".join(parts))


def lines_of_ranges(tid: int, ranges: List[Tuple[int, int]]) -> List[List[MapLine]]:
    """The lines of /proc/TID/maps that share a byte with each [start, end). Raises OSError once that is gone."""
    maps = MapsFile(tid)
    try:
        return [maps.lines() if (start, end) == WHOLE else maps.range(start, end) for start, end in ranges]
    finally:
        maps.close()


def smaps_of_ranges(tid: int, ranges: List[Tuple[int, int]], most: int) -> Tuple[List[Vma], bool]:
    """The entries of each range, in their order: (entries, whether that is all of them)."""
    found: Dict[int, Vma] = {}
    complete = True
    for start, end in ranges:
        vmas, all_of_them = _smaps_of_range(tid, start, end, most)
        found.update((vma.line.start, vma) for vma in vmas)
        complete = complete and all_of_them
    return [found[start] for start in sorted(found)], complete


def _smaps_of_range(tid: int, start: int, end: int, most: int) -> Tuple[List[Vma], bool]:
    """Entries that touch [start, end) with one neighbour on either side: (entries, whether that is all of them).

    smaps is slow, so reading stops behind the range, and after `most` entries.
    """
    found: List[Vma] = []
    before: Optional[Vma] = None
    try:
        with open("/proc/%d/smaps" % tid, "rb", buffering=_CHUNK) as file:
            for vma in parse_smaps(_bounded_lines(file)):
                if vma.line.end <= start:
                    before = vma
                    continue
                found.append(vma)
                if vma.line.start >= end:
                    break
                if len(found) >= most:
                    return _with(before, found), False
    except (OSError, DecodeError):
        return _with(before, found), False
    return _with(before, found), True


def _with(before: Optional[Vma], found: List[Vma]) -> List[Vma]:
    return ([before] if before else []) + found


def _bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of at most 8 KiB: a path is 4 KiB at most, and `\\012` stands for its newlines."""
    while True:
        line = file.readline(8192)
        if not line:
            return
        yield line
