"""What effects share: their context, and the words for memory that went and memory that came."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.event import Touched
from wxtrace.model.region import Piece, Region, provenance_of_line

__all__ = ["EffectContext", "asked_letters", "born", "gone", "mmap_provenance", "page_align_up"]

NewRegion = Callable[..., Region]


class EffectContext:
    """What an effect needs beside the call: the event's number, fresh regions, the page size in bytes."""

    def __init__(self, n: int, new_region: NewRegion, page_size: int, lines: Sequence[MapLine] = ()) -> None:
        self.n = n
        self.new_region = new_region
        self.page_size = page_size
        self.lines = lines

    def line_at(self, address: int) -> Optional[MapLine]:
        """The line the kernel showed at this address after the call."""
        for line in self.lines:
            if line.start <= address < line.end:
                return line
        return None


def page_align_up(length: int, page_size: int) -> int:
    """Round up to whole pages, as PAGE_ALIGN does."""
    return (length + page_size - 1) & ~(page_size - 1)


def gone(piece: Piece) -> Touched:
    """A part that is mapped no more."""
    return Touched(
        piece.region.id,
        piece.start,
        piece.end,
        piece.perms,
        None,
        None,
        piece.region.provenance,
        piece.sealed_by,
    )


def born(piece: Piece, asked: Optional[str]) -> Touched:
    """A part that is mapped now and was not before."""
    return Touched(piece.region.id, piece.start, piece.end, None, asked, piece.perms, piece.region.provenance)


def mmap_provenance(request: Request, line: Optional[MapLine]) -> str:
    """Where memory comes from that mmap makes, by its arguments and, for objects, its maps line."""
    kind = request.flags & f.MAP_TYPE
    if line is not None and (line.inode or not request.flags & f.MAP_ANONYMOUS):
        return provenance_of_line(line)
    if request.flags & f.MAP_HUGETLB:
        return "hugetlb"
    if request.flags & f.MAP_ANONYMOUS:
        if kind in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE):
            return "anon-shared"
        return "thread-stack" if request.flags & f.MAP_STACK else "anon"
    return "file-shared" if kind in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE) else "file"


def asked_letters(request: Request) -> Optional[str]:
    """The protection a call asks for, as maps writes it; None when it asks for none."""
    if request.name == "shmat":
        letters = "r-" if request.flags & f.SHM_RDONLY else "rw"
        return letters + ("x" if request.flags & f.SHM_EXEC else "-")
    if request.name == "brk":
        return "rw-"
    return None if request.prot is None else f.prot_letters(request.prot)
