"""How memory came to be executable: one word for each region that ever was.

W^X says that nothing is written and executed. What programs do about it has few shapes, and each has its word here.
Work is done only where a mapping gains PROT_EXEC or an object gets a shared writable view.
"""

from __future__ import annotations

from collections import Counter
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from wxtrace.model import flags as f
from wxtrace.model.event import Touched
from wxtrace.model.region import Piece, Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.trace_state import TraceState

__all__ = [
    "DUAL",
    "FILE",
    "FLIPPED",
    "FOUND",
    "HEAP",
    "IMPLIED",
    "OBJECT_WRITTEN",
    "PLAIN",
    "RWX",
    "SPECIAL",
    "STACK",
    "UNWRITTEN",
    "Origins",
]

FILE = "file"
"""A file's mapping; nothing was seen that could have written to the file."""
UNWRITTEN = "unwritten"
"""Memory without a file that was never writable."""
SPECIAL = "special"
"""The kernel's own: vdso, vsyscall, uprobes."""
FOUND = "found-executable"
"""Executable already when it was first seen: how it came to be is before the record."""
RWX = "rwx"
"""Writable and executable at once."""
FLIPPED = "written-then-executable"
"""These very pages were writable earlier."""
DUAL = "dual-mapping"
"""The same bytes of the same object are mapped shared and writable elsewhere, in this process or in another."""
OBJECT_WRITTEN = "object-written"
"""The object could be written before: by a mapping that is gone, or a descriptor open for writing; a memfd or shared
memory holds nothing else than what a program put there."""
STACK = "executable-stack"
"""A stack: by a program header at exec, by the loader, or by the program itself."""
HEAP = "executable-heap"
"""Memory of brk."""
IMPLIED = "read-implies-exec"
"""The kernel added PROT_EXEC to what was asked for (personality READ_IMPLIES_EXEC)."""

PLAIN = frozenset({FILE, UNWRITTEN, SPECIAL, FOUND})
"""The words that nobody has to explain: a later one of the others replaces them."""

_EXECUTABLE = tuple(r + w + "x" + s for r in "r-" for w in "w-" for s in "ps")
_NOTEWORTHY = frozenset((*_EXECUTABLE, "rw-s", "-w-s"))
_MADE_BY_PROGRAMS = frozenset({"memfd", "memfd-private", "memfd-cow", "anon-shared", "shm", "secretmem"})
_WITHOUT_FILE = frozenset({"anon", "dev-zero", "hugetlb", "aio", "shadow-stack"})
_MOST_WORDS = 1 << 13
_MOST_OBJECTS = 1024
_MOST_VIEWS = 64


class _View(NamedTuple):
    """One mapping of an object: bytes [low, high) of it."""

    space: int
    region: Region
    start: int
    low: int
    high: int


class _Object:
    """One file or memory object, by what was mapped of it so far."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.writable: List[_View] = []
        self.executable: List[_View] = []


_Key = Tuple[str, int, bool]


class Origins:
    """Watches what events do to the maps. `on_origin` hears every word, and every later one that replaces it."""

    def __init__(self, trace: TraceState, on_origin: Optional[Callable[[Region, str], None]] = None) -> None:
        # Regions by word: copies that a fork made and parts that were moved are not counted again.
        self.counts: Counter[str] = Counter()
        self._trace = trace
        self._on_origin = on_origin
        self._words: Dict[int, str] = {}
        self._copies: Set[int] = set()
        self._objects: Dict[_Key, _Object] = {}
        self._forget_at = _MOST_WORDS

    def of(self, region: Optional[int]) -> Optional[str]:
        """The word for a region (by id) that is mapped somewhere; None when it never was executable."""
        return self._words.get(region) if region is not None else None

    def touched(self, space: AddressSpace, touched: Iterable[Touched], written: bool = False) -> None:
        """What one call did. `written`: it mapped a file through a descriptor that is open for writing."""
        for part in touched:
            if part.after in _NOTEWORTHY:
                self._part(space, part, written)

    def moved(self, space: AddressSpace, source: int, touched: Iterable[Touched]) -> None:
        """What mremap did to the memory at `source`: it takes its word along."""
        words = [self.of(part.region) for part in touched if part.after is None]
        stayed = space.at(source)
        words.append(self.of(stayed.region.id) if stayed is not None else None)
        word = next((word for word in words if word is not None), None)
        for part in touched:
            if part.before is None and part.after in _NOTEWORTHY:
                moved = space.at(part.start)
                if word is not None and moved is not None and part.after[2] == "x":
                    self._say(moved.region, word, copied=True)
                self._part(space, part, False)

    def found(self, space: AddressSpace, changes: Iterable[Tuple[Optional[Piece], Optional[Piece]]]) -> None:
        """What a fresh reading of the map showed, (before, after), that no call tells."""
        for _, piece in changes:
            if piece is not None and _matters(piece) and space.at(piece.start) == piece:
                self._object(space, piece)
                if piece.prot & f.PROT_EXEC and self.of(piece.region.id) is None:
                    self._say(piece.region, self._word_when_found(piece, False))

    def seeded(self, space: AddressSpace, at_exec: bool, personality: int) -> None:
        """A whole map, as exec made it or as it was found."""
        pieces = [piece for piece in space.pieces() if _matters(piece)]
        for piece in pieces:
            self._object(space, piece)
        for piece in pieces:
            if piece.prot & f.PROT_EXEC:
                implied = at_exec and bool(personality & f.READ_IMPLIES_EXEC)
                self._say(piece.region, self._word_when_found(piece, implied))

    def forked(self, parent: AddressSpace, child: AddressSpace) -> None:
        """A copy has the words of what it is a copy of."""
        for piece in child.pieces():
            if not _matters(piece):
                continue
            twin = parent.at(piece.start)
            word = self.of(twin.region.id) if twin is not None else None
            if word is not None and piece.prot & f.PROT_EXEC:
                self._say(piece.region, word, copied=True)
            if piece.region.provenance != "file":
                self._object(child, piece)

    def _part(self, space: AddressSpace, part: Touched, written: bool) -> None:
        assert part.region is not None and part.after is not None
        gains = part.after[2] == "x" and (part.before is None or part.before[2] != "x" or part.after[1] == "w")
        known = self._words.get(part.region)
        settled = not gains or (known is not None and known not in PLAIN)
        if settled and part.after[3] == "p":
            return
        piece = space.at(part.start)
        if piece is None or piece.region.id != part.region:
            return
        others = self._object(space, piece)
        if settled:
            return
        if part.asked is not None and part.asked[2] != "x":
            word = IMPLIED
        else:
            word = self._word(piece, others, written)
        if known is None or word not in PLAIN:
            self._say(piece.region, word)

    def _word(self, piece: Piece, others: Optional[_Object], written: bool) -> str:
        region = piece.region
        if region.provenance in ("vdso", "special"):
            return SPECIAL
        if region.provenance in ("stack", "thread-stack"):
            return STACK
        if region.provenance == "heap":
            return HEAP
        if piece.prot & f.PROT_WRITE:
            return RWX
        if piece.earlier & f.PROT_WRITE:
            return FLIPPED
        if region.backing is None or region.provenance in _WITHOUT_FILE:
            return UNWRITTEN
        if others is not None and any(self._alive(view, f.PROT_WRITE) for view in _sharing(others.writable, piece)):
            return DUAL
        if written or region.provenance in _MADE_BY_PROGRAMS:
            return OBJECT_WRITTEN
        # Inode numbers are used again once a file is gone; its name then is another.
        if others is not None and others.writable and others.path == region.backing.path:
            return OBJECT_WRITTEN
        return FILE

    def _word_when_found(self, piece: Piece, implied: bool) -> str:
        known = self._objects.get(_key(piece.region)) if piece.region.backing is not None else None
        word = self._word(piece, known, False)
        if word == UNWRITTEN:
            return FOUND
        return IMPLIED if word == RWX and implied else word

    def _object(self, space: AddressSpace, piece: Piece) -> Optional[_Object]:
        """Remember this view of its object; writing to one that runs elsewhere makes that a dual mapping."""
        region = piece.region
        backing = region.backing
        if backing is None or region.provenance in _WITHOUT_FILE:
            return None
        key = _key(region)
        known = self._objects.get(key)
        writes = region.shared and bool(piece.prot & f.PROT_WRITE)
        if known is None:
            if len(self._objects) >= _MOST_OBJECTS:
                del self._objects[next(iter(self._objects))]
            known = self._objects[key] = _Object(backing.path)
        view = _View(space.id, region, piece.start, piece.offset, piece.offset + piece.end - piece.start)
        if piece.prot & f.PROT_EXEC:
            self._remember(known.executable, view, f.PROT_EXEC)
        if writes:
            self._remember(known.writable, view, f.PROT_WRITE)
            for other in _sharing(known.executable, piece):
                if self.of(other.region.id) in (FILE, OBJECT_WRITTEN) and self._alive(other, f.PROT_EXEC):
                    self._say(other.region, DUAL)
        return known

    def _alive(self, view: _View, prot: int) -> bool:
        state = self._trace.states.get(view.space)
        piece = state.space.at(view.start) if state is not None else None
        return piece is not None and piece.region.id == view.region.id and bool(piece.prot & prot)

    def _say(self, region: Region, word: str, copied: bool = False) -> None:
        before = self._words.get(region.id)
        if before == word:
            return
        if copied:
            self._copies.add(region.id)
        if region.id not in self._copies:
            self.counts[word] += 1
            if before is not None:
                self.counts[before] -= 1
        self._words[region.id] = word
        if self._on_origin is not None:
            self._on_origin(region, word)
        if len(self._words) > self._forget_at:
            self._forget_words()

    def _forget_words(self) -> None:
        """Of regions that are gone nobody asks any more."""
        states = self._trace.states.values()
        alive = {piece.region.id for state in states for piece in state.space.pieces()}
        self._words = {region: word for region, word in self._words.items() if region in alive}
        self._copies &= alive
        self._forget_at = max(_MOST_WORDS, 2 * len(self._words))

    def _remember(self, views: List[_View], view: _View, prot: int) -> None:
        if view in views:
            return
        if len(views) >= _MOST_VIEWS:
            views[:] = [known for known in views if self._alive(known, prot)][1 - _MOST_VIEWS :]
        views.append(view)


def _matters(piece: Piece) -> bool:
    """What `_NOTEWORTHY` says of perms: executable, or a view that writes to an object."""
    return bool(piece.prot & f.PROT_EXEC or (piece.prot & f.PROT_WRITE and piece.region.shared))


def _key(region: Region) -> _Key:
    """Device and inode; SysV segments count theirs apart from the files of the same device (ipc/shm.c)."""
    backing = region.backing
    assert backing is not None
    return backing.dev, backing.inode, region.provenance == "shm"


def _sharing(views: List[_View], piece: Piece) -> List[_View]:
    """The views of other regions that hold a byte of the object which this piece holds, too."""
    low, high = piece.offset, piece.offset + piece.end - piece.start
    return [view for view in views if view.region.id != piece.region.id and view.low < high and view.high > low]
