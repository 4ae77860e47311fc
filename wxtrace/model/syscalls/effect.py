"""What effects share: their context, and the parts of the map that went and came."""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.event import Touched
from wxtrace.model.region import Backing, Piece, Region, backing_of_line
from wxtrace.model.space import AddressSpace

__all__ = ["EffectContext", "born", "gone", "map_new", "still_there"]

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


def gone(piece: Piece) -> Touched:
    """A part that is mapped no more."""
    region = piece.region
    return Touched(region.id, piece.start, piece.end, piece.perms, None, None, region.provenance, piece.sealed_by)


def born(piece: Piece, asked: Optional[str]) -> Touched:
    """A part that is mapped now and was not before."""
    return Touched(piece.region.id, piece.start, piece.end, None, asked, piece.perms, piece.region.provenance)


def still_there(piece: Piece) -> Touched:
    """A part that the call spoke of and left as it was."""
    region, perms = piece.region, piece.perms
    return Touched(region.id, piece.start, piece.end, perms, None, perms, region.provenance, piece.sealed_by)


def map_new(
    space: AddressSpace,
    ctx: EffectContext,
    start: int,
    end: int,
    provenance: str,
    prot: int,
    shared: bool,
    asked: Optional[str],
    grows_down: bool = False,
) -> List[Touched]:
    """A fresh region over [start, end); whatever was there is gone (MAP_FIXED)."""
    touched = [gone(piece) for piece in space.remove(start, end)]
    line = ctx.line_at(start)
    if line is not None:
        prot = f.prot_of_letters(line.perms)
        shared = line.perms[3] == "s"
    backing = _backing_at(line, start)
    region = ctx.new_region(space.id, start, end, provenance, backing, ctx.n, False, shared, grows_down)
    piece = Piece(start, end, region, prot)
    space.put(piece)
    touched.append(born(piece, asked))
    return touched


def _backing_at(line: Optional[MapLine], address: int) -> Optional[Backing]:
    backing = backing_of_line(line) if line is not None else None
    if backing is None or line is None:
        return None
    return backing._replace(offset=backing.offset + address - line.start)
