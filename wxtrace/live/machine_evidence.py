"""What the machine and the namespaces of a task say, asked only after the failures that it could explain."""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Optional

from wxtrace.decoders import DecodeError
from wxtrace.decoders.procmaps import parse_maps
from wxtrace.decoders.sysvipc import parse_shm
from wxtrace.live.arch import CPU_FEATURES, LOW_ADDRESSES
from wxtrace.live.procfs import read_link, read_proc
from wxtrace.model.objects import Segment

__all__ = ["Room", "cpu_features", "huge_pages", "room_left", "same_namespaces", "segment"]

_HUGE = "/sys/kernel/mm/hugepages"
_COUNTS = ("free_hugepages", "resv_hugepages", "nr_overcommit_hugepages", "surplus_hugepages")
_LOWEST = 0x10000
_SHM_DEST = 0o1000


def same_namespaces(tid: int) -> bool:
    """Whether the task's pid and ipc namespaces are ours, so that what /proc shows us is what holds for it."""
    links = [(read_link(tid, name), read_link(os.getpid(), name)) for name in ("ns/pid", "ns/ipc")]
    return all(theirs and theirs == ours for theirs, ours in links)


def cpu_features() -> Optional[List[str]]:
    """Those of protection keys and shadow stacks, as /proc/cpuinfo lists them; None where it cannot be read."""
    for line in _text("/proc/cpuinfo", 65536).splitlines():
        if line.startswith("flags"):
            words = set(line.partition(":")[2].split())
            return [name for name in CPU_FEATURES if name in words]
    return None


class Room(NamedTuple):
    """What is left of an address space. Gaps in bytes: the largest in all of it, and where MAP_32BIT looks."""

    map_count: Optional[int] = None
    largest_gap: Optional[int] = None
    largest_low_gap: Optional[int] = None


def room_left(tid: int, within: Optional[int]) -> Room:
    """How many mappings there are, and the gaps between them below the address `within`, if there is one.

    There may be 65,530 lines to read.
    """
    text = read_proc(tid, "maps")
    # [vsyscall] has a line, but is no mapping of the process.
    count = text.count(b"\n") - text.count(b" [vsyscall]\n") or None
    if within is None or count is None:
        return Room(count)
    try:
        lines = parse_maps(text)
    except DecodeError:
        return Room(count)
    largest = low = 0
    end = _LOWEST
    for start, following in [(line.start, line.end) for line in lines] + [(within, within)]:
        if start <= within:
            largest = max(largest, start - end)
            low = max(low, min(start, LOW_ADDRESSES[1]) - max(end, LOW_ADDRESSES[0]))
        end = max(end, following)
    return Room(count, largest, low)


def huge_pages() -> Dict[str, int]:
    """Huge pages that can still be reserved, by size in bytes: free ones, and those that may be made when asked for.

    Documentation/admin-guide/mm/hugetlbpage.rst; mm/hugetlb.c:gather_surplus_pages.
    """
    found = {}
    try:
        folders = os.listdir(_HUGE)
    except OSError:
        return {}
    for folder in folders:
        size = folder.partition("-")[2].rstrip("kB")
        texts = [_text("%s/%s/%s" % (_HUGE, folder, name), 64).strip() for name in _COUNTS]
        if size.isdigit() and all(text.isdigit() for text in texts):
            free, reserved, most, surplus = map(int, texts)
            found[str(int(size) * 1024)] = max(free - reserved, 0) + max(most - surplus, 0)
    return found


def segment(shmid: int) -> Optional[Segment]:
    """Owner and mode of a SysV shared memory segment of our own ipc namespace; None when there is no such id."""
    found = next((shm for shm in parse_shm(_text("/proc/sysvipc/shm", 1 << 20)) if shm.shmid == shmid), None)
    if found is None:
        return None
    removed = bool(found.mode & _SHM_DEST)
    return Segment(found.mode & 0o777, found.uid, found.gid, removed, found.size, found.creator)


def _text(path: str, limit: int) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(limit)
    except OSError:
        return ""
