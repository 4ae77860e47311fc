"""One address space: which pages are mapped, with which protection, and from where.

Kept per page range, never per line of /proc/PID/maps: where the kernel ends one line and starts the next depends
on state no call shows, so two maps are compared in normal form. Knows nothing of ptrace, /proc or time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.region import (
    Backing,
    Piece,
    Region,
    backing_of_line,
    provenance_of_line,
    same_but_history,
)

__all__ = ["AddressSpace", "NormalLine", "normal_form_of_lines"]

NewRegion = Callable[..., Region]

_COMPACT_FLOOR = 1024


class NormalLine(NamedTuple):
    """One line of the normal form. `name` only where memory has no object; `offset` 0 there."""

    start: int
    end: int
    perms: str
    offset: int
    dev: str
    inode: int
    name: str

    def __str__(self) -> str:
        return "%x-%x %s %x %s %d %s" % self


class AddressSpace:
    """The pieces of one mm, in address order. Every method keeps pieces disjoint and non-empty."""

    def __init__(self, id: int, new_region: NewRegion) -> None:
        self.id = id
        self.brk = 0
        self._new_region = new_region
        self._starts: List[int] = []
        self._pieces: Dict[int, Piece] = {}
        self._compact_at = _COMPACT_FLOOR

    def __len__(self) -> int:
        return len(self._starts)

    def pieces(self) -> List[Piece]:
        """Every piece, lowest address first."""
        return [self._pieces[start] for start in self._starts]

    def overlapping(self, start: int, end: int) -> List[Piece]:
        """The whole pieces that share a byte with [start, end)."""
        if start >= end:
            return []
        starts = self._starts
        first = max(bisect_right(starts, start) - 1, 0)
        last = bisect_left(starts, end, first)
        found = [self._pieces[s] for s in starts[first:last]]
        if found and found[0].end <= start:
            del found[0]
        return found

    def at(self, address: int) -> Optional[Piece]:
        """The piece that holds this address."""
        i = bisect_right(self._starts, address) - 1
        if i < 0:
            return None
        piece = self._pieces[self._starts[i]]
        return piece if address < piece.end else None

    def neighbours(self, start: int, end: int) -> Tuple[Optional[Piece], Optional[Piece]]:
        """The nearest pieces wholly below `start` and wholly at or above `end`."""
        below = bisect_left(self._starts, start) - 1
        if below >= 0 and self._pieces[self._starts[below]].end > start:
            below -= 1
        above = bisect_left(self._starts, end)
        return (
            self._pieces[self._starts[below]] if below >= 0 else None,
            self._pieces[self._starts[above]] if above < len(self._starts) else None,
        )

    def put(self, piece: Piece) -> None:
        """Add a piece where nothing is mapped. One that no kernel makes, of a damaged record, is not believed."""
        if not 0 <= piece.start < piece.end <= 1 << 64:
            return
        self._insert(piece)
        self._compact()

    def carve(self, start: int, end: int) -> List[Piece]:
        """Split at both ends, then give the pieces that lie exactly inside."""
        if start >= end:
            return []
        whole = self._pieces.get(start)
        if whole is not None and whole.end == end:
            return [whole]
        self._split(start)
        self._split(end)
        starts = self._starts
        first = bisect_left(starts, start)
        return [self._pieces[s] for s in starts[first : bisect_left(starts, end, first)]]

    def remove(self, start: int, end: int) -> List[Piece]:
        """Unmap [start, end); what lay inside is returned, already cut to the range."""
        gone = self.carve(start, end)
        if gone:
            first = bisect_left(self._starts, gone[0].start)
            del self._starts[first : first + len(gone)]
            for piece in gone:
                del self._pieces[piece.start]
        return gone

    def replace(self, piece: Piece) -> None:
        """Put another piece in place of the one with the same start and end."""
        self._pieces[piece.start] = piece

    def protect(self, start: int, end: int, prot: int) -> List[Tuple[Piece, Piece]]:
        """Give every mapped page of [start, end) this protection: (before, after) for each piece."""
        self._compact()
        changes = []
        pieces = self._pieces
        for old in self.carve(start, end):
            low, high, region, before, sealed_by, dont_fork, earlier = old
            new = Piece(low, high, region, prot, sealed_by, dont_fork, earlier | before)
            pieces[low] = new
            changes.append((old, new))
        return changes

    def grow_down(self, start: int) -> None:
        """A touch below a growing region moved its start: cover `start` by the region above, if that one grows."""
        if self.at(start) is not None:
            return
        _, above = self.neighbours(start, start)
        if above is not None and above.region.grows_down:
            del self._starts[bisect_left(self._starts, above.start)]
            del self._pieces[above.start]
            self.put(above._replace(start=start))

    def seed(self, lines: Iterable[MapLine], brk: int, created_by: Optional[int], inferred: bool) -> None:
        """Take over a whole map as /proc shows it at exec or attach; anything known before is forgotten."""
        self._starts.clear()
        self._pieces.clear()
        self.brk = brk
        for line in lines:
            if line.path != "[vsyscall]":
                self.remove(line.start, line.end)  # A line that was read twice.
                self.put(self._piece_of_line(line, line.start, line.end, created_by, inferred))

    def resync(self, start: int, end: int, lines: Iterable[MapLine]) -> List[Tuple[Optional[Piece], Optional[Piece]]]:
        """Make [start, end) what the kernel says it is; returns what changed as (before, after) pairs."""
        changes: List[Tuple[Optional[Piece], Optional[Piece]]] = []
        covered = start
        for line in sorted(lines):
            low, high = max(line.start, start), min(line.end, end)
            if low >= high or line.path == "[vsyscall]":
                continue
            changes += [(gone, None) for gone in self.remove(covered, low)]
            changes += self._resync_line(line, low, high)
            covered = max(covered, high)
        changes += [(gone, None) for gone in self.remove(covered, end)]
        return changes

    def copy(self, id: int, new_region: NewRegion) -> AddressSpace:
        """The space a fork makes: every piece but those marked MADV_DONTFORK, as regions of their own."""
        child = AddressSpace(id, new_region)
        child.brk = self.brk
        twins: Dict[int, Region] = {}
        for piece in self.pieces():
            if piece.dont_fork:
                continue
            region = piece.region
            twin = twins.get(region.id)
            if twin is None:
                twin = twins[region.id] = new_region(
                    id,
                    region.start,
                    region.end,
                    region.provenance,
                    region.backing,
                    region.created_by,
                    region.inferred,
                    region.shared,
                    region.grows_down,
                )
            child._starts.append(piece.start)
            child._pieces[piece.start] = Piece(piece.start, piece.end, twin, *piece[3:])
        child._compact()
        return child

    def normal_form(self, start: int = 0, end: int = 1 << 64) -> List[NormalLine]:
        """As `normal_form_of_lines` would make it of the lines of /proc/PID/maps that touch [start, end)."""
        joined: List[NormalLine] = []
        for piece in self.overlapping(start, end):
            backing = piece.region.backing
            name = ""
            if backing is None:
                backing = _NO_BACKING
                name = _SPECIAL_NAME.get(piece.region.provenance, "")
            _join(
                joined,
                NormalLine(piece.start, piece.end, piece.perms, piece.offset, backing.dev, backing.inode, name),
            )
        return joined

    def absorb_growth(self, lines: Iterable[MapLine]) -> None:
        """Follow growing regions down to where /proc shows them: no call tells when a stack grew."""
        for line in lines:
            if self.at(line.end - 1) is None:
                self._absorb_cut_off(line)
                continue
            lowest = next(iter(self.overlapping(line.start, line.end)))
            if line.start < lowest.start and lowest.region.grows_down:
                self.grow_down(line.start)

    def _absorb_cut_off(self, line: MapLine) -> None:
        """What had grown before a call changed the pages above it has a line of its own, with what it grew with."""
        above = self.at(line.end)
        if above is not None and above.region.grows_down and line.inode == 0 and line.perms[3] == "p":
            self.put(Piece(line.start, line.end, above.region, f.prot_of_letters(line.perms)))

    def _insert(self, piece: Piece) -> None:
        insort(self._starts, piece.start)
        self._pieces[piece.start] = piece

    def _split(self, address: int) -> None:
        i = bisect_right(self._starts, address) - 1
        if i < 0:
            return
        piece = self._pieces[self._starts[i]]
        if piece.start < address < piece.end:
            start, end, region, prot, sealed_by, dont_fork, earlier = piece
            self._pieces[start] = Piece(start, address, region, prot, sealed_by, dont_fork, earlier)
            self._pieces[address] = Piece(address, end, region, prot, sealed_by, dont_fork, earlier)
            self._starts.insert(i + 1, address)

    def _compact(self) -> None:
        """Join neighbours that are alike to the kernel, so that scattered flips do not leave a piece per page.

        A joined piece was earlier what either was: with a thousand pieces, history is no longer kept page by page.
        """
        if len(self._starts) <= self._compact_at:
            return
        kept: List[Piece] = []
        for piece in self.pieces():
            last = kept[-1] if kept else None
            if last is not None and last.end == piece.start and same_but_history(last, piece):
                kept[-1] = last._replace(end=piece.end, earlier=last.earlier | piece.earlier)
            else:
                kept.append(piece)
        self._starts = [piece.start for piece in kept]
        self._pieces = {piece.start: piece for piece in kept}
        self._compact_at = max(_COMPACT_FLOOR, 2 * len(kept))

    def _piece_of_line(self, line: MapLine, start: int, end: int, created_by: Optional[int], inferred: bool) -> Piece:
        backing = backing_of_line(line)
        if backing is not None:
            backing = backing._replace(offset=backing.offset + start - line.start)
        provenance = provenance_of_line(line)
        prot = f.prot_of_letters(line.perms)
        region = self._new_region(
            self.id,
            start,
            end,
            provenance,
            backing,
            created_by,
            inferred,
            line.perms[3] == "s",
            line.path == "[stack]",
            prot if created_by is None else None,
        )
        return Piece(start, end, region, prot)

    def _resync_line(self, line: MapLine, low: int, high: int) -> List[Tuple[Optional[Piece], Optional[Piece]]]:
        changes: List[Tuple[Optional[Piece], Optional[Piece]]] = []
        prot = f.prot_of_letters(line.perms)
        if line.path == "[stack]":
            self.grow_down(low)
        covered = low
        for old in self.carve(low, high):
            if covered < old.start:
                changes.append((None, self._add_line(line, covered, old.start)))
            if not _same_object(old, line):
                self.remove(old.start, old.end)
                changes.append((old, None))
                changes.append((None, self._add_line(line, old.start, old.end)))
            elif old.prot != prot:
                new = old._replace(prot=prot, earlier=old.earlier | old.prot)
                self.replace(new)
                changes.append((old, new))
            covered = old.end
        if covered < high:
            changes.append((None, self._add_line(line, covered, high)))
        return changes

    def _add_line(self, line: MapLine, start: int, end: int) -> Piece:
        # Not `put`: its compaction could join pieces that the caller is walking over.
        piece = self._piece_of_line(line, start, end, None, True)
        self._insert(piece)
        return piece


_NO_BACKING = Backing("", "00:00", 0, 0, False)
_SPECIAL_NAME = {"vdso": "vdso", "special": "special"}


def _same_object(piece: Piece, line: MapLine) -> bool:
    if piece.region.shared != (line.perms[3] == "s"):
        return False
    backing, theirs = piece.region.backing, backing_of_line(line)
    if backing is None or theirs is None:
        return backing is theirs
    return (
        backing.dev == theirs.dev
        and backing.inode == theirs.inode
        and piece.offset == theirs.offset + piece.start - line.start
    )


def normal_form_of_lines(lines: Iterable[MapLine]) -> List[NormalLine]:
    """Lines of /proc/PID/maps with neighbours joined that differ in nothing a call can show."""
    joined: List[NormalLine] = []
    for line in lines:
        if line.path == "[vsyscall]":
            continue
        backing = backing_of_line(line)
        name = "" if backing else _SPECIAL_NAME.get(provenance_of_line(line), "")
        offset, dev = (line.offset, line.dev) if backing else (0, "00:00")
        _join(joined, NormalLine(line.start, line.end, line.perms, offset, dev, line.inode, name))
    return joined


def _join(joined: List[NormalLine], line: NormalLine) -> None:
    if joined:
        last = joined[-1]
        contiguous = line.inode == 0 or line.offset == last.offset + last.end - last.start
        if (
            last.end == line.start
            and contiguous
            and last.perms == line.perms
            and (last.dev, last.inode, last.name) == (line.dev, line.inode, line.name)
        ):
            joined[-1] = last._replace(end=line.end)
            return
    joined.append(line)
