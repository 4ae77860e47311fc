"""The table of SysV shared memory segments (ipc/shm.c:sysvipc_shm_proc_show)."""

from __future__ import annotations

from typing import List, NamedTuple

__all__ = ["Shm", "parse_shm"]


class Shm(NamedTuple):
    """One segment: its id, its mode with the SHM_DEST bit (0o1000), its owner."""

    shmid: int
    mode: int
    uid: int
    gid: int


def parse_shm(text: str) -> List[Shm]:
    """The lines of /proc/sysvipc/shm; a line that is not one of the kernel's is skipped."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 9 or not words[2].isdigit() or set(words[2]) & set("89") or len(words[2]) > 6:
            continue
        try:
            found.append(Shm(int(words[1]), int(words[2], 8), int(words[7]), int(words[8])))
        except ValueError:
            continue
    return found
