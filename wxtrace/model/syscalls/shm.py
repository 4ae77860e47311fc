"""SysV shared memory: shmat and shmdt, and ipc of i386 that stands for both (ipc/shm.c)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Shmat", "Shmdt"]


class Shmat(NamedTuple):
    """shmat(2)."""

    shmid: int
    shmaddr: int
    shmflg: int

    @property
    def name(self) -> str:
        return "shmat"

    @property
    def start(self) -> int:
        return self.shmaddr

    @property
    def length(self) -> int:
        return 0


class Shmdt(NamedTuple):
    """shmdt(2)."""

    shmaddr: int

    @property
    def name(self) -> str:
        return "shmdt"

    @property
    def start(self) -> int:
        return self.shmaddr

    @property
    def length(self) -> int:
        return 0
