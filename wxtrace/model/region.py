"""Regions (allocations) and pieces (what the map holds of them now). Immutable values, no behaviour but arithmetic."""

from __future__ import annotations

from typing import NamedTuple, Optional

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.facts import Call

__all__ = ["Backing", "Piece", "Region", "backing_of_line", "provenance_of_line", "same_but_history"]


class Backing(NamedTuple):
    """The object behind a region, as maps names it. `offset` in bytes, of the region's first page."""

    path: str
    dev: str
    inode: int
    offset: int
    deleted: bool


class Region(NamedTuple):
    """One allocation: made by one call (`made_by`, event `created_by`), or found as one line at exec, fork or attach.

    Never changed, never split. `found_prot`: the protection that its line had, where it was found in /proc/PID/maps.
    """

    id: int
    space: int
    start: int
    end: int
    provenance: str
    backing: Optional[Backing]
    created_by: Optional[int]
    inferred: bool
    shared: bool
    grows_down: bool = False
    made_by: Optional[Call] = None
    found_prot: Optional[int] = None


class Piece(NamedTuple):
    """A page range of one region with one protection, as mapped now.

    `earlier` has every protection bit that these pages had before: the W^X history.
    """

    start: int
    end: int
    region: Region
    prot: int
    sealed_by: Optional[int] = None
    dont_fork: bool = False
    earlier: int = 0

    @property
    def perms(self) -> str:
        """As maps prints it: `rw-p`."""
        return f.prot_letters(self.prot) + ("s" if self.region.shared else "p")

    @property
    def offset(self) -> int:
        """The file offset of this piece's first byte; 0 for memory without an object."""
        backing = self.region.backing
        return 0 if backing is None else backing.offset + self.start - self.region.start


def same_but_history(one: Piece, other: Piece) -> bool:
    """Whether two pieces differ only in place and in what they were earlier: to the kernel they are alike."""
    return one[2:6] == other[2:6]


def backing_of_line(line: MapLine) -> Optional[Backing]:
    """The object behind a maps line, or None for memory that has none."""
    if line.inode == 0 and line.dev in ("00:00", "0:0"):
        return None
    deleted = line.path.endswith(" (deleted)")
    path = line.path[: -len(" (deleted)")] if deleted else line.path
    return Backing(path, line.dev, line.inode, line.offset, deleted)


def provenance_of_line(line: MapLine) -> str:
    """Where memory came from, as far as its maps line tells (region-model: labels of fs/proc/task_mmu.c)."""
    shared = line.perms[3] == "s"
    path = line.path
    if line.inode == 0 and line.dev in ("00:00", "0:0"):
        return _UNNAMED.get(path, "special" if path.startswith("[") and not path.startswith("[anon") else "anon")
    if path.startswith("/memfd:"):
        return "memfd" if shared else "memfd-private"
    if path.startswith("/dev/zero"):
        return "anon-shared" if path.endswith("(deleted)") else "dev-zero"
    if path.startswith("/SYSV"):
        return "shm"
    if path.startswith("/[aio]"):
        return "aio"
    if path.startswith("/anon_hugepage"):
        return "hugetlb"
    if path.startswith("/secretmem"):
        return "secretmem"
    if path.startswith("/dev/shm/"):
        return "file-shared" if shared else "file"
    if path.startswith(("/dev/", "anon_inode:")):
        return "device"
    return "file-shared" if shared else "file"


_UNNAMED = {
    "": "anon",
    "[heap]": "heap",
    "[stack]": "stack",
    "[vdso]": "vdso",
}
