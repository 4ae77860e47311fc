"""Random successful calls, and a brute-force model: one entry a page, and no idea of regions, pieces or splits."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.region import Backing, Region
from wxtrace.model.space import AddressSpace, normal_form_of_lines
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.effect import EffectContext
from wxtrace.model.syscalls.madvise import Madvise
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.mseal import Mseal
from wxtrace.model.syscalls.munmap import Munmap
from wxtrace.model.syscalls.row import CallRequest
from wxtrace.model.syscalls.table import BY_NAME

PAGE = 0x1000
BASE = 0x7F0000000000
ARENA = 48
HEAP = 32
NOWHERE = 1000
"""Pages of the arena, the first page that the heap may take, and one that nothing ever takes."""

MAP_PRIVATE = 2
LETTERS = ["---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"]


class Object(NamedTuple):
    """What pages may show; anonymous private memory is no object."""

    dev: str
    inode: int
    path: str


LIBRARY = Object("fe:01", 1311, "/usr/lib/libffi.so.8")
MEMFD = Object("00:01", 1034, "/memfd:jit code (deleted)")


class Page(NamedTuple):
    """One mapped page. `shows` is the page of the object it shows."""

    prot: int
    shared: bool
    object: Optional[Object]
    shows: int
    sealed: bool
    dont_fork: bool

    def same_line(self, other: Page, distance: int) -> bool:
        """Whether maps may show both in one line, `distance` pages apart."""
        return (self.prot, self.shared, self.object) == (other.prot, other.shared, other.object) and (
            self.object is None or self.shows + distance == other.shows
        )


Pages = Dict[int, Page]


class Oracle:
    """The address space as the kernel's documentation describes it, page by page."""

    def __init__(self, pages: Optional[Pages] = None, brk: int = 0) -> None:
        self.pages: Pages = dict(pages or {})
        self.brk = brk

    def mmap(self, low: int, high: int, prot: int, shared: bool, object: Optional[Object], index: int) -> None:
        for page in range(low, high):
            shows = index + page - low if object else 0
            self.pages[page] = Page(prot, shared, object, shows, False, False)

    def munmap(self, low: int, high: int) -> None:
        for page in range(low, high):
            self.pages.pop(page, None)

    def mprotect(self, low: int, high: int, prot: int) -> None:
        for page in range(low, high):
            self.pages[page] = self.pages[page]._replace(prot=prot)

    def mseal(self, low: int, high: int) -> None:
        for page in range(low, high):
            self.pages[page] = self.pages[page]._replace(sealed=True)

    def advise(self, low: int, high: int, dont_fork: bool) -> None:
        for page in range(low, high):
            self.pages[page] = self.pages[page]._replace(dont_fork=dont_fork)

    def move_brk(self, brk: int) -> None:
        if brk > self.brk:
            self.mmap(self.brk, brk, 3, False, None, 0)
        else:
            self.munmap(brk, self.brk)
        self.brk = brk

    def move(self, old: int, length: int, new: int, keep_old: bool) -> None:
        """Each page to its own place; where the source has none, the target stays."""
        moved = {page: self.pages[page] for page in range(old, old + length) if page in self.pages}
        for page, was in moved.items():
            if not keep_old:
                del self.pages[page]
            self.pages[new + page - old] = was

    def extend(self, like: int, low: int, high: int) -> None:
        """[low, high) becomes what lies behind page `like` in the same mapping."""
        first = self.pages[like]
        for page in range(low, high):
            shows = first.shows + 1 + page - low if first.object else 0
            self.pages[page] = first._replace(shows=shows)

    def duplicate(self, old: int, new: int, length: int) -> None:
        """mremap of old length 0."""
        first = self.pages[old]
        for i in range(length):
            self.pages[new + i] = first._replace(shows=first.shows + i)

    def fork(self) -> Oracle:
        return Oracle({page: was for page, was in self.pages.items() if not was.dont_fork}, self.brk)

    # What may be asked

    def all_mapped(self, low: int, high: int) -> bool:
        return all(page in self.pages for page in range(low, high))

    def free(self, low: int, high: int) -> bool:
        return not any(page in self.pages for page in range(low, high))

    def sealed(self, low: int, high: int) -> bool:
        return any(page in self.pages and self.pages[page].sealed for page in range(low, high))

    def one_mapping(self, low: int, high: int) -> bool:
        """Whether the kernel surely keeps these pages as one mapping: equal in all it could be split by."""
        if not self.all_mapped(low, high):
            return False
        first = self.pages[low]
        return all(
            first.same_line(self.pages[page], page - low) and self.pages[page][4:] == first[4:]
            for page in range(low, high)
        )

    def line(self, page: int, low: int, high: int) -> MapLine:
        """The line that maps shows at `page`, cut to [low, high) at most: the kernel may or may not have merged."""
        was = self.pages[page]
        start, end = page, page + 1
        while start > low and start - 1 in self.pages and self.pages[start - 1].same_line(was, page - start + 1):
            start -= 1
        while end < high and end in self.pages and was.same_line(self.pages[end], end - page):
            end += 1
        return self._line(start, end)

    def lines(self) -> List[MapLine]:
        """Every page as a line of its own."""
        return [self._line(page, page + 1) for page in sorted(self.pages)]

    def normal(self) -> List[Tuple[int, int, str, int, int]]:
        """Maximal runs: start, end, permissions, offset, inode."""
        runs: List[Tuple[int, int]] = []
        for page in sorted(self.pages):
            if runs and runs[-1][1] == page and self.pages[page - 1].same_line(self.pages[page], 1):
                runs[-1] = runs[-1][0], page + 1
            else:
                runs.append((page, page + 1))
        shown = [self._line(*run) for run in runs]
        return [(line.start, line.end, line.perms, line.offset, line.inode) for line in shown]

    def _line(self, start: int, end: int) -> MapLine:
        was = self.pages[start]
        dev, inode, path = was.object or ("00:00", 0, "")
        perms = LETTERS[was.prot] + ("s" if was.shared else "p")
        return MapLine(BASE + start * PAGE, BASE + end * PAGE, perms, was.shows * PAGE, dev, inode, path)


page_numbers = st.integers(0, HEAP - 1)
counts = st.integers(1, 6)
prots = st.integers(0, 7)
picks = st.integers(0, 1 << 16)
"""Which of the pages that qualify."""


class Machine(RuleBasedStateMachine):
    """The same calls to both; after each, every page and both normal forms are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle()
        self.regions = 0
        self.spaces = 1
        self.n = 0
        self.inode = 2
        self.space = AddressSpace(1, self._new_region)

    def _new_region(
        self,
        space: int,
        start: int,
        end: int,
        provenance: str,
        backing: Optional[Backing],
        created_by: Optional[int],
        inferred: bool,
        shared: bool,
        grows_down: bool = False,
        found_prot: Optional[int] = None,
    ) -> Region:
        self.regions += 1
        return Region(
            self.regions,
            space,
            start,
            end,
            provenance,
            backing,
            created_by,
            inferred,
            shared,
            grows_down,
            found_prot=found_prot,
        )

    def apply(self, request: CallRequest, result: int = 0, lines: Sequence[MapLine] = ()) -> None:
        self.n += 1
        effect = BY_NAME[request.name].effect
        assert effect is not None
        effect(self.space, request, result, EffectContext(self.n, self._new_region, PAGE, lines))

    def pick(self, which: int, sealed: bool = False, shared: bool = False) -> int:
        """A mapped page that is not sealed, or else an unmapped one beyond the arena."""
        candidates = [
            page
            for page, was in sorted(self.oracle.pages.items())
            if (sealed or not was.sealed) and (was.shared or not shared)
        ]
        return candidates[which % len(candidates)] if candidates else NOWHERE

    @initialize(brk=st.integers(HEAP, HEAP + 4))
    def start(self, brk: int) -> None:
        """A heap of some size, and a library in three parts as the loader maps it."""
        self.oracle.brk = brk
        self.apply(Brk(0), BASE + brk * PAGE)
        for low, high, prot in ((8, 10, 1), (10, 14, 5), (14, 16, 3)):
            self.oracle.mmap(low, high, prot, False, LIBRARY, low - 8)
            request = Mmap(BASE + low * PAGE, (high - low) * PAGE, prot, MAP_PRIVATE | f.MAP_FIXED, -1, 0)
            self.apply(request, request.addr, [self.oracle.line(low, low, high)])

    @rule(
        low=page_numbers,
        count=counts,
        prot=prots,
        what=st.sampled_from(["anon", "anon-shared", "library", "memfd"]),
        shared=st.booleans(),
        index=st.integers(0, 9),
        odd=st.integers(0, PAGE - 1),
        merged=st.booleans(),
    )
    def mmap(
        self, low: int, count: int, prot: int, what: str, shared: bool, index: int, odd: int, merged: bool
    ) -> None:
        high = low + count
        if self.oracle.sealed(low, high):
            return
        flags = f.MAP_SHARED if shared or what == "anon-shared" else MAP_PRIVATE
        object: Optional[Object] = None
        if what == "anon-shared":
            self.inode, index = self.inode + 1, 0
            object = Object("00:01", self.inode, "/dev/zero (deleted)")
        elif what == "anon":
            flags = MAP_PRIVATE
        else:
            object = LIBRARY if what == "library" else MEMFD
        if what.startswith("anon"):
            flags |= f.MAP_ANONYMOUS
        hint = 0
        if not self.oracle.free(low, high):
            flags, hint = flags | f.MAP_FIXED, BASE + low * PAGE
        self.oracle.mmap(low, high, prot, flags & f.MAP_TYPE == f.MAP_SHARED, object, index)
        lines = []
        if object is not None:
            lines.append(self.oracle.line(low, 0, ARENA) if merged else self.oracle.line(low, low, high))
        request = Mmap(hint, count * PAGE - odd, prot, flags, -1, index * PAGE)
        self.apply(request, BASE + low * PAGE, lines)

    @rule(low=page_numbers, count=counts, odd=st.integers(0, PAGE - 1))
    def munmap(self, low: int, count: int, odd: int) -> None:
        if self.oracle.sealed(low, low + count):
            return
        self.oracle.munmap(low, low + count)
        self.apply(Munmap(BASE + low * PAGE, count * PAGE - odd))

    @rule(which=picks, count=counts, prot=prots, odd=st.integers(0, PAGE - 1))
    def mprotect(self, which: int, count: int, prot: int, odd: int) -> None:
        low = self.pick(which)
        if self.oracle.all_mapped(low, low + count) and not self.oracle.sealed(low, low + count):
            self.oracle.mprotect(low, low + count, prot)
            self.apply(Mprotect(BASE + low * PAGE, count * PAGE - odd, prot))

    @rule(which=picks, count=st.integers(1, 2))
    def mseal(self, which: int, count: int) -> None:
        low = self.pick(which, sealed=True)
        if self.oracle.all_mapped(low, low + count):
            self.oracle.mseal(low, low + count)
            self.apply(Mseal(BASE + low * PAGE, count * PAGE, 0))

    @rule(which=picks, count=counts, dont_fork=st.booleans())
    def madvise(self, which: int, count: int, dont_fork: bool) -> None:
        low = self.pick(which, sealed=True)
        if self.oracle.all_mapped(low, low + count):
            self.oracle.advise(low, low + count, dont_fork)
            advice = f.ADVICE_DONTFORK if dont_fork else f.ADVICE_DOFORK
            self.apply(Madvise(BASE + low * PAGE, count * PAGE, advice))

    @rule(brk=st.integers(HEAP, ARENA), below=st.integers(0, PAGE - 1))
    def move_brk(self, brk: int, below: int) -> None:
        if brk == HEAP:
            below = 0
        low, high = sorted((brk, self.oracle.brk))
        growing = brk > self.oracle.brk
        if not self.oracle.free(low, high) if growing else self.oracle.sealed(low, high):
            return
        self.oracle.move_brk(brk)
        address = BASE + brk * PAGE - below
        self.apply(Brk(address), address)

    @rule(which=picks, count=counts, left=counts)
    def mremap_shrink(self, which: int, count: int, left: int) -> None:
        old = self.pick(which)
        if old != NOWHERE and left < count and not self.oracle.sealed(old, old + count):
            self.oracle.munmap(old + left, old + count)
            self.mremap(old, count, left, old, f.MREMAP_MAYMOVE)

    @rule(which=picks, count=counts, more=counts)
    def mremap_grow_in_place(self, which: int, count: int, more: int) -> None:
        old = self.pick(which)
        end = old + count
        if self.oracle.one_mapping(old, end) and self.oracle.free(end, end + more) and end + more <= HEAP:
            self.oracle.extend(end - 1, end, end + more)
            self.mremap(old, count, count + more, old, f.MREMAP_MAYMOVE)

    @rule(which=picks, count=counts, new=page_numbers, new_count=counts)
    def mremap_move(self, which: int, count: int, new: int, new_count: int) -> None:
        """One mapping, to another length, over whatever is at the target."""
        old = self.pick(which)
        if not self.oracle.one_mapping(old, old + count) or not self._may_move(old, count, new, new_count):
            return
        self.oracle.munmap(new, new + new_count)
        if new_count < count:
            self.oracle.munmap(old + new_count, old + count)
        self.oracle.move(old, min(count, new_count), new, False)
        if new_count > count:
            self.oracle.extend(new + count - 1, new + count, new + new_count)
        self.mremap(old, count, new_count, new, f.MREMAP_MAYMOVE | f.MREMAP_FIXED)

    @rule(which=picks, count=counts, new=page_numbers, dont_unmap=st.booleans())
    def mremap_several(self, which: int, count: int, new: int, dont_unmap: bool) -> None:
        """Any number of mappings with holes between them, at equal lengths."""
        old = self.pick(which)
        if not self._may_move(old, count, new, count):
            return
        self.oracle.move(old, count, new, dont_unmap)
        flags = f.MREMAP_MAYMOVE | f.MREMAP_FIXED | (f.MREMAP_DONTUNMAP if dont_unmap else 0)
        self.mremap(old, count, count, new, flags)

    @rule(which=picks, new=page_numbers, count=counts)
    def mremap_duplicate(self, which: int, new: int, count: int) -> None:
        old = self.pick(which, shared=True)
        if old == NOWHERE or new <= old < new + count or self.oracle.sealed(new, new + count):
            return
        self.oracle.duplicate(old, new, count)
        self.mremap(old, 0, count, new, f.MREMAP_MAYMOVE | f.MREMAP_FIXED)

    @rule()
    def fork(self) -> None:
        """Go on in the child."""
        self.spaces += 1
        self.oracle = self.oracle.fork()
        self.space = self.space.copy(self.spaces, self._new_region)

    def mremap(self, old: int, count: int, new_count: int, new: int, flags: int) -> None:
        request = Mremap(BASE + old * PAGE, count * PAGE, new_count * PAGE, flags, BASE + new * PAGE)
        self.apply(request, BASE + new * PAGE)

    def _may_move(self, old: int, count: int, new: int, new_count: int) -> bool:
        if old == NOWHERE or (old < new + new_count and new < old + count):
            return False
        return not self.oracle.sealed(old, old + count) and not self.oracle.sealed(new, new + new_count)

    @invariant()
    def every_page_is_the_same(self) -> None:
        shown: Dict[int, Tuple[object, ...]] = {}
        for piece in self.space.pieces():
            backing = piece.region.backing
            for address in range(piece.start, piece.end, PAGE):
                page = (address - BASE) // PAGE
                assert page not in shown, "page %d is in two pieces" % page
                shown[page] = (
                    piece.prot,
                    piece.region.shared,
                    (backing.dev, backing.inode) if backing else None,
                    (piece.offset + address - piece.start) // PAGE if backing else 0,
                    piece.sealed_by is not None,
                    piece.dont_fork,
                )
        assert shown == {
            page: (was.prot, was.shared, was.object and was.object[:2], was.shows, was.sealed, was.dont_fork)
            for page, was in self.oracle.pages.items()
        }

    @invariant()
    def normal_forms_agree(self) -> None:
        own = self.space.normal_form()
        assert [(line.start, line.end, line.perms, line.offset, line.inode) for line in own] == self.oracle.normal()
        assert own == normal_form_of_lines(self.oracle.lines())

    @invariant()
    def regions_hold_their_pieces(self) -> None:
        """A piece lies inside its region: nothing here grows by being touched."""
        wrong: Set[Tuple[int, int]] = {
            (piece.start, piece.end)
            for piece in self.space.pieces()
            if not piece.region.start <= piece.start < piece.end <= piece.region.end
        }
        assert not wrong


TestOracle = Machine.TestCase
TestOracle.settings = settings(
    max_examples=400,
    stateful_step_count=40,
)
