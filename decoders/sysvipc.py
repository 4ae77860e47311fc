"""The table of SysV shared memory segments (ipc/shm.c:sysvipc_shm_proc_show)."""

from __future__ import annotations

from typing import List, NamedTuple

__all__ = ["Shm", "parse_shm"]


class Shm(NamedTuple):
    """One segment: its id, its mode with the SHM_DEST bit (0o1000), its size in bytes, its owner and who made it."""

    shmid: int
    mode: int
    size: int
    uid: int
    gid: int
    creator: int


def parse_shm(text: str) -> List[Shm]:
    """The lines of /proc/sysvipc/shm; a line that is not one of the kernel's is skipped."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 10 or not words[2].isdigit() or set(words[2]) & set("89") or len(words[2]) > 6:
            continue
        try:
            id, size, uid, gid, creator = (int(words[column]) for column in (1, 3, 7, 8, 9))
            found.append(Shm(id, int(words[2], 8), size, uid, gid, creator))
        except ValueError:
            continue
    return found
