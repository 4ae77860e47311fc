"""What each call does to an address space, call by call; the numbers are pages from BASE."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

import pytest

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.event import Touched
from wxtrace.model.failed_effect import apply_failure
from wxtrace.model.region import Backing, Piece, Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls.aio import IoDestroy, IoSetup
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.effect import EffectContext
from wxtrace.model.syscalls.madvise import Madvise
from wxtrace.model.syscalls.memfd import MemfdCreate
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.mseal import Mseal
from wxtrace.model.syscalls.munmap import Munmap
from wxtrace.model.syscalls.remap_file_pages import RemapFilePages
from wxtrace.model.syscalls.row import CallRequest, page_align_up
from wxtrace.model.syscalls.shadow_stack import MapShadowStack
from wxtrace.model.syscalls.shm import Shmat, Shmdt
from wxtrace.model.syscalls.table import BY_NAME

PAGE = 0x1000
BASE = 0x7F0000000000
MAP_PRIVATE, MAP_DROPPABLE = 2, 8
PRIVATE = MAP_PRIVATE | f.MAP_ANONYMOUS
MOVE = f.MREMAP_MAYMOVE | f.MREMAP_FIXED
NONE, R, RW, RX, RWX = 0, 1, 3, 5, 7

Extent = Tuple[int, int, str]


def at(page: int) -> int:
    return BASE + page * PAGE


def pages(address: int) -> int:
    assert address % PAGE == 0
    return (address - BASE) // PAGE


class World:
    """An address space, and the calls that succeeded in it."""

    def __init__(self) -> None:
        self.regions: List[Region] = []
        self.space = AddressSpace(1, self.new_region)
        self.n = 0

    def new_region(
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
        self.regions.append(
            Region(
                len(self.regions),
                space,
                start,
                end,
                provenance,
                backing,
                created_by,
                inferred,
                shared,
                grows_down,
                found_prot,
            )
        )
        return self.regions[-1]

    def apply(self, request: CallRequest, result: int, lines: Sequence[MapLine] = ()) -> List[Touched]:
        self.n += 1
        effect = BY_NAME[request.name].effect
        context = EffectContext(self.n, self.new_region, PAGE, lines)
        return effect(self.space, request, result, context) if effect is not None else []

    def mmap(
        self, low: int, high: int, prot: int = RW, flags: int = PRIVATE, lines: Sequence[MapLine] = ()
    ) -> List[Touched]:
        return self.apply(Mmap(at(low), (high - low) * PAGE, prot, flags, -1, 0), at(low), lines)

    def map_file(self, low: int, high: int, offset: int, prot: int = R, inode: int = 77) -> List[Touched]:
        """A shared file mapping, with the line the kernel shows after it."""
        line = memfd(low, high, offset, f.prot_letters(prot) + "s", inode)
        return self.mmap(low, high, prot, f.MAP_SHARED, [line])

    def munmap(self, low: int, high: int) -> List[Touched]:
        return self.apply(Munmap(at(low), (high - low) * PAGE), 0)

    def mprotect(self, low: int, high: int, prot: int, lines: Sequence[MapLine] = ()) -> List[Touched]:
        return self.apply(Mprotect(at(low), (high - low) * PAGE, prot), 0, lines)

    def brk(self, result: int) -> List[Touched]:
        return self.apply(Brk(result), result)

    def mremap(self, old: int, length: int, new_length: int, new: int, flags: int = MOVE) -> List[Touched]:
        request = Mremap(at(old), length * PAGE, new_length * PAGE, flags, at(new))
        return self.apply(request, at(new))

    def extents(self) -> List[Extent]:
        return [(pages(p.start), pages(p.end), p.perms) for p in self.space.pieces()]

    def offsets(self) -> Dict[int, int]:
        """The page of its object that each mapped page shows."""
        return {
            page: piece.offset // PAGE + page - pages(piece.start)
            for piece in self.space.pieces()
            for page in range(pages(piece.start), pages(piece.end))
        }

    def piece(self, page: int) -> Piece:
        found = self.space.at(at(page))
        assert found is not None
        return found


@pytest.fixture
def world() -> World:
    return World()


def anon(low: int, high: int, perms: str = "rw-p", path: str = "") -> MapLine:
    return MapLine(at(low), at(high), perms, 0, "00:00", 0, path)


def memfd(low: int, high: int, offset: int, perms: str, inode: int = 77) -> MapLine:
    return MapLine(at(low), at(high), perms, offset * PAGE, "00:01", inode, "/memfd:jit (deleted)")


def segment(low: int, high: int, perms: str = "rw-s", inode: int = 5) -> MapLine:
    return MapLine(at(low), at(high), perms, 0, "00:01", inode, "/SYSV00000000 (deleted)")


def changes(touched: Sequence[Touched]) -> List[Tuple[int, int, Optional[str], Optional[str]]]:
    return [(pages(t.start), pages(t.end), t.before, t.after) for t in touched]


@pytest.mark.parametrize("length, aligned", [(0, 0), (1, PAGE), (PAGE, PAGE), (PAGE + 1, 2 * PAGE)])
def test_lengths_round_up_to_pages(length: int, aligned: int) -> None:
    assert page_align_up(length, PAGE) == aligned


def test_a_call_that_changes_no_map_touches_nothing(world: World) -> None:
    assert world.apply(MemfdCreate(0, 0), 3) == []


# mmap


def test_mmap_uses_the_returned_address_not_the_hint(world: World) -> None:
    world.apply(Mmap(at(50), PAGE, RW, PRIVATE, -1, 0), at(3))
    assert world.extents() == [(3, 4, "rw-p")]


def test_mmap_rounds_its_length_up(world: World) -> None:
    world.apply(Mmap(0, PAGE + 1, RW, PRIVATE, -1, 0), at(0))
    assert world.extents() == [(0, 2, "rw-p")]


def test_mmap_fixed_replaces_what_was_there(world: World) -> None:
    world.mmap(0, 2, R)
    world.mmap(3, 6, RX)
    world.mmap(1, 5, RW, PRIVATE | f.MAP_FIXED)
    assert world.extents() == [(0, 1, "r--p"), (1, 5, "rw-p"), (5, 6, "r-xp")]


def test_mmap_fixed_tells_what_it_replaced_before_what_it_made(world: World) -> None:
    world.mmap(0, 2, R)
    touched = world.mmap(1, 3, RW, PRIVATE | f.MAP_FIXED)
    assert changes(touched) == [(1, 2, "r--p", None), (1, 3, None, "rw-p")]


def test_mmap_ignores_unknown_protection_bits(world: World) -> None:
    world.mmap(0, 1, RW | 0x10 | 0x08)
    assert world.extents() == [(0, 1, "rw-p")]


def test_mmap_believes_the_kernel_on_protection(world: World) -> None:
    """READ_IMPLIES_EXEC: asked r--, given r-x."""
    touched = world.mmap(0, 1, R, PRIVATE, [anon(0, 1, "r-xp")])
    assert [(t.asked, t.after) for t in touched] == [("r--", "r-xp")]


def test_mmap_inside_a_merged_line_gets_its_own_offset(world: World) -> None:
    world.mmap(2, 4, R, f.MAP_SHARED, [memfd(0, 4, 10, "r--s")])
    assert world.offsets() == {2: 12, 3: 13}


@pytest.mark.parametrize(
    "flags, provenance",
    [
        (PRIVATE, "anon"),
        (PRIVATE | f.MAP_STACK, "thread-stack"),
        (PRIVATE | f.MAP_HUGETLB, "hugetlb"),
        (MAP_DROPPABLE | f.MAP_ANONYMOUS, "anon"),
        (f.MAP_SHARED | f.MAP_ANONYMOUS, "anon-shared"),
        (f.MAP_SHARED_VALIDATE | f.MAP_ANONYMOUS, "anon-shared"),
        (MAP_PRIVATE, "file"),
        (f.MAP_SHARED, "file-shared"),
        (f.MAP_SHARED_VALIDATE, "file-shared"),
    ],
)
def test_provenance_by_the_arguments_alone(world: World, flags: int, provenance: str) -> None:
    world.mmap(0, 1, RW, flags)
    assert world.piece(0).region.provenance == provenance


@pytest.mark.parametrize(
    "flags, shared",
    [(PRIVATE, False), (MAP_DROPPABLE | f.MAP_ANONYMOUS, False), (f.MAP_SHARED, True), (f.MAP_SHARED_VALIDATE, True)],
)
def test_which_map_types_are_shared(world: World, flags: int, shared: bool) -> None:
    world.mmap(0, 1, RW, flags)
    assert world.piece(0).region.shared is shared


def test_provenance_by_the_line_the_kernel_shows(world: World) -> None:
    world.map_file(0, 1, 0)
    assert world.piece(0).region.provenance == "memfd"


def test_a_huge_mapping_is_as_long_as_the_kernel_made_it(world: World) -> None:
    line = MapLine(at(0), at(512), "rw-p", 0, "00:0f", 9, "/anon_hugepage (deleted)")
    world.mmap(0, 1, RW, PRIVATE | f.MAP_HUGETLB, [line])
    assert world.extents() == [(0, 512, "rw-p")]


def test_mmap_growsdown_makes_a_growing_region(world: World) -> None:
    world.mmap(4, 5, RW, PRIVATE | f.MAP_GROWSDOWN)
    assert world.piece(4).region.grows_down


def test_a_region_knows_the_event_that_made_it(world: World) -> None:
    world.mmap(0, 1)
    world.mmap(4, 5)
    assert [region.created_by for region in world.regions] == [1, 2]


# munmap


def test_munmap_makes_a_hole(world: World) -> None:
    world.mmap(0, 6)
    world.munmap(2, 4)
    assert world.extents() == [(0, 2, "rw-p"), (4, 6, "rw-p")]


def test_munmap_of_nothing_succeeds(world: World) -> None:
    assert world.munmap(2, 4) == []


def test_munmap_over_holes_tells_only_what_was_there(world: World) -> None:
    world.mmap(0, 2, R)
    world.mmap(4, 6, RX)
    assert changes(world.munmap(1, 5)) == [(1, 2, "r--p", None), (4, 5, "r-xp", None)]


# mprotect


def test_mprotect_splits(world: World) -> None:
    world.mmap(0, 6)
    world.mprotect(2, 4, RX)
    assert world.extents() == [(0, 2, "rw-p"), (2, 4, "r-xp"), (4, 6, "rw-p")]


def test_mprotect_makes_no_region(world: World) -> None:
    world.mmap(0, 6)
    world.mprotect(2, 4, RX)
    assert len(world.regions) == 1


def test_mprotect_tells_every_piece_it_changed(world: World) -> None:
    world.mmap(0, 2, R)
    world.mmap(2, 4, RW)
    assert changes(world.mprotect(1, 3, RX)) == [(1, 2, "r--p", "r-xp"), (2, 3, "rw-p", "r-xp")]


def test_mprotect_of_length_0_changes_nothing(world: World) -> None:
    world.mmap(0, 2)
    assert world.mprotect(0, 0, NONE) == []


def test_pkey_mprotect_protects_as_mprotect(world: World) -> None:
    world.mmap(0, 2)
    world.apply(Mprotect(at(0), PAGE, R, 1), 0)
    assert world.extents() == [(0, 1, "r--p"), (1, 2, "rw-p")]


def test_mprotect_believes_the_kernel_on_protection(world: World) -> None:
    """READ_IMPLIES_EXEC: what was asked and what was given are told apart."""
    world.mmap(0, 2)
    touched = world.mprotect(0, 2, R, [anon(0, 2, "r-xp")])
    assert [(t.asked, t.after) for t in touched] == [("r--", "r-xp")] and world.extents() == [(0, 2, "r-xp")]


def test_mprotect_below_a_growing_region_shows_that_it_grew(world: World) -> None:
    world.mmap(8, 10, RW, PRIVATE | f.MAP_GROWSDOWN)
    world.mprotect(5, 6, R)
    assert world.extents() == [(5, 6, "r--p"), (6, 10, "rw-p")]


def test_growsdown_starts_where_the_mapping_starts(world: World) -> None:
    world.mmap(4, 10, RW, PRIVATE | f.MAP_GROWSDOWN)
    world.mprotect(8, 9, RWX | f.GROWSDOWN)
    assert world.extents() == [(4, 9, "rwxp"), (9, 10, "rw-p")]


def test_growsdown_sees_through_splits_that_left_no_trace(world: World) -> None:
    """A part made read-only and writable again is one mapping with the rest."""
    world.mmap(4, 10, RW, PRIVATE | f.MAP_GROWSDOWN)
    world.mprotect(6, 7, R)
    world.mprotect(6, 7, RW)
    world.mprotect(9, 10, RWX | f.GROWSDOWN)
    assert world.extents() == [(4, 6, "rwxp"), (6, 7, "rwxp"), (7, 10, "rwxp")]


def test_growsdown_stops_at_another_protection(world: World) -> None:
    world.mmap(4, 10, RW, PRIVATE | f.MAP_GROWSDOWN)
    world.mprotect(4, 6, R)
    world.mprotect(9, 10, RWX | f.GROWSDOWN)
    assert world.extents() == [(4, 6, "r--p"), (6, 10, "rwxp")]


def test_growsdown_from_a_hole_starts_at_the_mapping_above(world: World) -> None:
    world.mmap(8, 10, RW, PRIVATE | f.MAP_GROWSDOWN)
    world.mprotect(7, 9, R | f.GROWSDOWN)
    assert world.extents() == [(8, 9, "r--p"), (9, 10, "rw-p")]


# brk


def test_the_first_brk_only_tells_where_the_heap_ends(world: World) -> None:
    assert world.brk(at(4)) == [] and world.space.brk == at(4)


def test_brk_grows_in_whole_pages(world: World) -> None:
    world.brk(at(4))
    world.brk(at(5) + 8)
    assert world.extents() == [(4, 6, "rw-p")]


def test_brk_growing_inside_its_last_page_maps_nothing(world: World) -> None:
    world.brk(at(4) + 8)
    assert world.brk(at(4) + 800) == []


def test_brk_grows_readable_and_writable_after_the_heap_was_changed(world: World) -> None:
    world.brk(at(4))
    world.brk(at(6))
    world.mprotect(4, 6, R)
    world.brk(at(7))
    assert world.extents() == [(4, 6, "r--p"), (6, 7, "rw-p")]


def test_brk_shrinks_to_its_last_page(world: World) -> None:
    world.brk(at(4))
    world.brk(at(8))
    world.brk(at(5) + 8)
    assert world.extents() == [(4, 6, "rw-p")]


def test_brk_shrinking_unmaps_foreign_memory_too(world: World) -> None:
    world.brk(at(4))
    world.brk(at(10))
    world.mmap(6, 8, RX, PRIVATE | f.MAP_FIXED)
    world.brk(at(5))
    assert world.extents() == [(4, 5, "rw-p")]


def test_a_refused_brk_changes_nothing(world: World) -> None:
    world.brk(at(4))
    assert world.apply(Brk(at(900)), at(4)) == []


def test_heap_grown_under_read_implies_exec_is_executable(world: World) -> None:
    world.brk(at(4))
    world.apply(Brk(at(5)), at(5), [anon(4, 5, "rwxp", "[heap]")])
    assert world.extents() == [(4, 5, "rwxp")]


# mremap


def test_mremap_shrinks_in_place(world: World) -> None:
    world.mmap(0, 6)
    world.mremap(0, 6, 2, 0, 0)
    assert world.extents() == [(0, 2, "rw-p")]


def test_mremap_shrinks_over_several_mappings(world: World) -> None:
    world.mmap(0, 2, R)
    world.mmap(3, 5, RX)
    assert changes(world.mremap(0, 5, 1, 0, 0)) == [(1, 2, "r--p", None), (3, 5, "r-xp", None)]


def test_mremap_to_the_same_length_changes_nothing(world: World) -> None:
    world.mmap(0, 6)
    assert world.mremap(0, 6, 6, 0, 0) == []


def test_mremap_grows_in_place(world: World) -> None:
    world.map_file(0, 2, 10, RX)
    world.mremap(0, 2, 4, 0, f.MREMAP_MAYMOVE)
    assert [e[2] for e in world.extents()] == ["r-xs"] * 2 and world.offsets() == {0: 10, 1: 11, 2: 12, 3: 13}


def test_mremap_grows_a_part_with_the_protection_of_its_end(world: World) -> None:
    world.mmap(0, 4, RW)
    world.mprotect(0, 2, R)
    world.mremap(2, 2, 3, 2, 0)
    assert world.extents() == [(0, 2, "r--p"), (2, 4, "rw-p"), (4, 5, "rw-p")]


def test_mremap_moves_and_grows(world: World) -> None:
    world.map_file(0, 2, 10)
    world.mremap(0, 2, 3, 20)
    assert world.extents() == [(20, 23, "r--s")] and world.offsets() == {20: 10, 21: 11, 22: 12}


def test_mremap_moves_a_part_with_its_offset(world: World) -> None:
    world.map_file(0, 4, 10)
    world.mremap(2, 1, 1, 20)
    assert world.offsets() == {0: 10, 1: 11, 3: 13, 20: 12}


def test_mremap_moves_and_shrinks(world: World) -> None:
    world.map_file(0, 4, 10)
    world.mremap(0, 4, 1, 20)
    assert world.extents() == [(20, 21, "r--s")]


def test_mremap_replaces_its_target(world: World) -> None:
    world.mmap(20, 24, RX)
    world.mmap(0, 2)
    world.mremap(0, 2, 2, 21)
    assert world.extents() == [(20, 21, "r-xp"), (21, 23, "rw-p"), (23, 24, "r-xp")]


def test_mremap_keeps_provenance_through_a_move(world: World) -> None:
    world.mmap(0, 2, RW, PRIVATE | f.MAP_STACK)
    world.mremap(0, 2, 2, 20)
    assert world.piece(20).region.provenance == "thread-stack"


def test_mremap_makes_a_region_of_its_own(world: World) -> None:
    world.mmap(0, 2)
    world.mremap(0, 2, 2, 20)
    assert (world.piece(20).region.created_by, world.piece(20).region.start) == (2, at(20))


@pytest.mark.parametrize("new", [0, 20], ids=["in place", "moved"])
def test_mremap_keeps_memory_out_of_forks(world: World, new: int) -> None:
    """MADV_DONTFORK stays with a mapping that is moved or grown (VM_DONTCOPY; tried on 6.18)."""
    world.mmap(0, 2)
    world.apply(Madvise(at(0), 2 * PAGE, f.ADVICE_DONTFORK), 0)
    world.mremap(0, 2, 3, new, f.MREMAP_MAYMOVE)
    assert len(world.space.copy(2, world.new_region)) == 0


def test_mremap_of_old_length_0_maps_a_second_time(world: World) -> None:
    world.map_file(0, 2, 10)
    world.mremap(0, 0, 2, 20)
    assert world.offsets() == {0: 10, 1: 11, 20: 10, 21: 11}


def test_mremap_of_old_length_0_starts_inside_a_mapping(world: World) -> None:
    world.map_file(0, 4, 10)
    world.mremap(2, 0, 1, 20)
    assert world.offsets()[20] == 12


def test_mremap_of_old_length_0_shows_the_one_mapping_at_its_start(world: World) -> None:
    """Not what lies behind it, though the new length reaches there (tried on 6.18)."""
    world.map_file(0, 4, 10, RW)
    world.mprotect(1, 2, R)
    world.mremap(0, 0, 4, 20)
    assert world.extents()[-1] == (20, 24, "rw-s")


def test_mremap_dontunmap_leaves_the_old_range_mapped(world: World) -> None:
    world.map_file(0, 2, 10, RX)
    world.mremap(0, 2, 2, 20, MOVE | f.MREMAP_DONTUNMAP)
    assert world.extents() == [(0, 2, "r-xs"), (20, 22, "r-xs")]


def test_mremap_moves_several_mappings_to_their_own_places(world: World) -> None:
    world.mmap(0, 1, R)
    world.mmap(1, 2, RX)
    world.mremap(0, 2, 2, 20)
    assert world.extents() == [(20, 21, "r--p"), (21, 22, "r-xp")]


@pytest.mark.parametrize("dont_unmap", [0, f.MREMAP_DONTUNMAP])
def test_mremap_leaves_the_target_alone_under_a_hole(world: World, dont_unmap: int) -> None:
    world.mmap(20, 24, RX)
    world.mmap(0, 1, R)
    world.mmap(2, 3, RW)
    world.mremap(0, 3, 3, 20, MOVE | dont_unmap)
    assert world.extents()[-4:] == [(20, 21, "r--p"), (21, 22, "r-xp"), (22, 23, "rw-p"), (23, 24, "r-xp")]


def test_mremap_leaves_the_target_alone_under_a_hole_at_the_end(world: World) -> None:
    """A source of one mapping and nothing behind it (tried on 6.18)."""
    world.mmap(20, 24, RX)
    world.mmap(0, 1, R)
    world.mremap(0, 3, 3, 20)
    assert world.extents() == [(20, 21, "r--p"), (21, 24, "r-xp")]


# shmat, shmdt


def attach(world: World, low: int, high: int, perms: str = "rw-s", flags: int = 0, inode: int = 5) -> List[Touched]:
    line = segment(low, high, perms, inode)
    return world.apply(Shmat(inode, 0, flags), at(low), [line])


def test_shmat_maps_what_the_kernel_shows(world: World) -> None:
    attach(world, 4, 8, "r--s", f.SHM_RDONLY)
    assert world.extents() == [(4, 8, "r--s")] and world.piece(4).region.provenance == "shm"


@pytest.mark.parametrize(
    "flags, asked", [(0, "rw-"), (f.SHM_RDONLY, "r--"), (f.SHM_EXEC, "rwx"), (f.SHM_RDONLY | f.SHM_EXEC, "r-x")]
)
def test_what_shmat_asks(world: World, flags: int, asked: str) -> None:
    assert attach(world, 4, 8, flags=flags)[-1].asked == asked


def test_shmat_remap_replaces(world: World) -> None:
    world.mmap(0, 8, RX)
    attach(world, 2, 4, flags=f.SHM_REMAP)
    assert world.extents() == [(0, 2, "r-xp"), (2, 4, "rw-s"), (4, 8, "r-xp")]


def test_shmdt_removes_every_piece(world: World) -> None:
    attach(world, 4, 10)
    world.mprotect(6, 7, R)
    world.munmap(8, 9)
    world.apply(Shmdt(at(4)), 0)
    assert world.extents() == []


def test_shmdt_leaves_other_memory_between_the_pieces(world: World) -> None:
    attach(world, 4, 10)
    world.mmap(6, 7, RX, PRIVATE | f.MAP_FIXED)
    world.apply(Shmdt(at(4)), 0)
    assert world.extents() == [(6, 7, "r-xp")]


def test_shmdt_leaves_a_second_attachment(world: World) -> None:
    attach(world, 4, 8)
    attach(world, 8, 12)
    world.apply(Shmdt(at(4)), 0)
    assert world.extents() == [(8, 12, "rw-s")]


def test_shmdt_leaves_a_piece_that_was_moved(world: World) -> None:
    attach(world, 4, 8)
    world.mremap(6, 1, 1, 20)
    world.apply(Shmdt(at(4)), 0)
    assert world.extents() == [(20, 21, "rw-s")]


def test_shmdt_leaves_another_segment_that_lies_as_a_piece_would(world: World) -> None:
    attach(world, 4, 8)
    attach(world, 20, 24, inode=6)
    world.mremap(22, 1, 1, 6)
    world.apply(Shmdt(at(4)), 0)
    assert world.extents() == [(6, 7, "rw-s"), (20, 22, "rw-s"), (23, 24, "rw-s")]


def test_shmdt_leaves_what_is_sealed(world: World) -> None:
    attach(world, 4, 8)
    world.apply(Mseal(at(5), PAGE, 0), 0)
    world.apply(Shmdt(at(4)), 0)
    assert world.extents() == [(5, 6, "rw-s")]


# remap_file_pages


def test_remap_file_pages_shows_other_pages_of_the_file(world: World) -> None:
    world.map_file(0, 4, 0, RW)
    world.apply(RemapFilePages(at(1), 2 * PAGE, 0, 9, 0), 0)
    assert world.offsets() == {0: 0, 1: 9, 2: 10, 3: 3}


def test_remap_file_pages_keeps_the_protection(world: World) -> None:
    world.map_file(0, 4, 0, RW)
    world.apply(RemapFilePages(at(1), 2 * PAGE, 0, 0, 0), 0)
    assert {perms for _, _, perms in world.extents()} == {"rw-s"}


def test_remap_file_pages_rounds_down(world: World) -> None:
    world.map_file(0, 4, 0, RW)
    world.apply(RemapFilePages(at(1) + 5, PAGE + 5, 0, 9, 0), 0)
    assert world.offsets() == {0: 0, 1: 9, 2: 2, 3: 3}


# io_setup, io_destroy, map_shadow_stack


def ring(low: int, high: int) -> MapLine:
    return MapLine(at(low), at(high), "rw-s", 0, "00:14", 4011, "/[aio] (deleted)")


def test_io_setup_maps_its_ring(world: World) -> None:
    world.apply(IoSetup(1, 0), 0, [ring(3, 5)])
    assert world.extents() == [(3, 5, "rw-s")] and world.piece(3).region.provenance == "aio"


def test_io_destroy_unmaps_its_ring(world: World) -> None:
    world.apply(IoSetup(1, 0), 0, [ring(3, 5)])
    assert changes(world.apply(IoDestroy(at(3)), 0)) == [(3, 5, "rw-s", None)]


def test_io_destroy_unmaps_what_lies_over_its_ring(world: World) -> None:
    world.apply(IoSetup(1, 0), 0, [ring(3, 6)])
    world.mmap(4, 5, RX, PRIVATE | f.MAP_FIXED)
    touched = world.apply(IoDestroy(at(3)), 0)
    assert changes(touched) == [(3, 4, "rw-s", None), (4, 5, "r-xp", None), (5, 6, "rw-s", None)]


def test_io_destroy_of_another_address_unmaps_nothing(world: World) -> None:
    world.mmap(0, 1)
    assert world.apply(IoDestroy(at(0)), 0) == []


def test_map_shadow_stack(world: World) -> None:
    world.apply(MapShadowStack(0, PAGE, 0), at(3), [anon(3, 4)])
    assert world.extents() == [(3, 4, "rw-p")] and world.piece(3).region.provenance == "shadow-stack"


# mseal, madvise


def test_mseal_marks_the_range_and_no_more(world: World) -> None:
    world.mmap(0, 4)
    world.apply(Mseal(at(1), PAGE, 0), 0)
    assert [p.sealed_by for p in world.space.pieces()] == [None, 2, None]


def test_the_first_seal_counts(world: World) -> None:
    world.mmap(0, 2)
    world.apply(Mseal(at(0), PAGE, 0), 0)
    touched = world.apply(Mseal(at(0), 2 * PAGE, 0), 0)
    assert [t.sealed_by for t in touched] == [2, 3]


def test_mseal_changes_no_protection(world: World) -> None:
    world.mmap(0, 2, RX)
    assert changes(world.apply(Mseal(at(0), 2 * PAGE, 0), 0)) == [(0, 2, "r-xp", "r-xp")]


def advise(world: World, low: int, high: int, advice: int) -> List[Touched]:
    return world.apply(Madvise(at(low), (high - low) * PAGE, advice), 0)


def test_madvise_dontfork_takes_pages_out_of_a_fork(world: World) -> None:
    world.mmap(0, 4)
    advise(world, 1, 2, f.ADVICE_DONTFORK)
    child = world.space.copy(2, world.new_region)
    assert [(pages(p.start), pages(p.end)) for p in child.pieces()] == [(0, 1), (2, 4)]


def test_madvise_dofork_brings_them_back(world: World) -> None:
    world.mmap(0, 4)
    advise(world, 1, 3, f.ADVICE_DONTFORK)
    advise(world, 2, 3, f.ADVICE_DOFORK)
    child = world.space.copy(2, world.new_region)
    assert [(pages(p.start), pages(p.end)) for p in child.pieces()] == [(0, 1), (2, 3), (3, 4)]


def test_mprotect_keeps_memory_out_of_forks(world: World) -> None:
    world.mmap(0, 1)
    advise(world, 0, 1, f.ADVICE_DONTFORK)
    world.mprotect(0, 1, RX)
    assert len(world.space.copy(2, world.new_region)) == 0


def test_new_memory_over_memory_kept_out_of_forks_is_forked(world: World) -> None:
    world.mmap(0, 1)
    advise(world, 0, 1, f.ADVICE_DONTFORK)
    world.mmap(0, 1, RW, PRIVATE | f.MAP_FIXED)
    assert len(world.space.copy(2, world.new_region)) == 1


def test_other_advice_splits_nothing(world: World) -> None:
    world.mmap(0, 4)
    assert changes(advise(world, 1, 2, 4)) == [(1, 2, "rw-p", "rw-p")] and len(world.space) == 1


# Failed calls


def fail(world: World, request: CallRequest, lines: Sequence[MapLine]) -> List[Touched]:
    """As a tracer does after an error: read the range again, then tell what became of it."""
    found = world.space.resync(at(0), at(100), lines)
    return apply_failure(world.space, BY_NAME[request.name], request, found, [], world.n, PAGE)


def test_a_failed_mprotect_tells_the_part_that_was_changed(world: World) -> None:
    world.mmap(0, 4)
    request = Mprotect(at(0), 4 * PAGE, RX)
    touched = fail(world, request, [anon(0, 2, "r-xp"), anon(2, 4)])
    assert changes(touched) == [(0, 2, "rw-p", "r-xp"), (2, 4, "rw-p", "rw-p")]


def test_a_failed_call_says_what_it_asked(world: World) -> None:
    world.mmap(0, 4)
    (part,) = fail(world, Mprotect(at(1), PAGE, RWX), [anon(0, 4)])
    assert (part.asked, pages(part.start), pages(part.end)) == ("rwx", 1, 2)


def test_a_failed_mmap_fixed_tells_the_hole_it_left(world: World) -> None:
    world.mmap(0, 4)
    request = Mmap(at(1), PAGE, RW, PRIVATE | f.MAP_FIXED, -1, 0)
    touched = fail(world, request, [anon(0, 1), anon(2, 4)])
    assert (1, 2, "rw-p", None) in changes(touched)


def test_a_failed_mmap_anywhere_names_what_was_wanted(world: World) -> None:
    (part,) = fail(world, Mmap(0, PAGE, RWX, PRIVATE, -1, 0), [])
    assert (part.region, part.asked, part.after, part.provenance) == (None, "rwx", None, "anon")


def test_a_refused_brk_names_the_part_beyond_the_break(world: World) -> None:
    world.brk(at(4))
    (part,) = fail(world, Brk(at(8)), [])
    assert (pages(part.start), pages(part.end), part.asked, part.provenance) == (4, 8, "rw-", "heap")


def test_a_failed_call_on_sealed_memory_names_the_seal(world: World) -> None:
    world.mmap(0, 4)
    world.apply(Mseal(at(2), PAGE, 0), 0)
    touched = fail(world, Munmap(at(0), 4 * PAGE), [anon(0, 4)])
    assert [t.sealed_by for t in touched] == [None, 2, None]


def test_madvise_over_a_hole_is_done_all_the_same(world: World) -> None:
    """ENOMEM comes after every mapped part has been advised."""
    world.mmap(0, 1)
    world.mmap(2, 3)
    fail(world, Madvise(at(0), 3 * PAGE, f.ADVICE_DONTFORK), [anon(0, 1), anon(2, 3)])
    assert len(world.space.copy(2, world.new_region)) == 0


@pytest.mark.parametrize(
    "start, length", [(at(0) + 1, PAGE), (at(0), (1 << 64) - 1), (at(0), (1 << 64) - PAGE)], ids=hex
)
def test_madvise_of_no_range_at_all_does_nothing(world: World, start: int, length: int) -> None:
    """EINVAL, before any part is looked at: an odd address, or an end that wraps."""
    world.mmap(0, 4)
    fail(world, Madvise(start, length, f.ADVICE_DONTFORK), [anon(0, 4)])
    assert len(world.space.copy(2, world.new_region)) == 1
