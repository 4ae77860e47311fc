"""AddressSpace by itself: pieces in and out, the two ways to read a map again, and the normal form."""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest

from wxtrace.decoders.procmaps import MapLine, parse_maps
from wxtrace.model.region import Backing, Piece, Region
from wxtrace.model.space import AddressSpace, NormalLine, normal_form_of_lines

PAGE = 0x1000
BASE = 0x7F0000000000
R, RW, RX = 1, 3, 5


class Regions:
    """Numbers regions, as the owner of all spaces does."""

    def __init__(self) -> None:
        self.made: List[Region] = []

    def __call__(
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
        region = Region(
            len(self.made),
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
        self.made.append(region)
        return region


@pytest.fixture
def regions() -> Regions:
    return Regions()


@pytest.fixture
def space(regions: Regions) -> AddressSpace:
    return AddressSpace(1, regions)


def at(page: int) -> int:
    return BASE + page * PAGE


def add(space: AddressSpace, regions: Regions, low: int, high: int, prot: int = RW, grows_down: bool = False) -> Piece:
    """One anonymous region over [low, high) pages."""
    region = regions(space.id, at(low), at(high), "anon", None, 1, False, False, grows_down)
    piece = Piece(at(low), at(high), region, prot)
    space.put(piece)
    return piece


def anon(low: int, high: int, perms: str = "rw-p", path: str = "") -> MapLine:
    return MapLine(at(low), at(high), perms, 0, "00:00", 0, path)


def file(low: int, high: int, offset: int, perms: str = "r--p", inode: int = 77) -> MapLine:
    return MapLine(at(low), at(high), perms, offset * PAGE, "fe:01", inode, "/usr/lib/libz.so.1")


def extents(space: AddressSpace) -> List[Tuple[int, int, str]]:
    return [((p.start - BASE) // PAGE, (p.end - BASE) // PAGE, p.perms) for p in space.pieces()]


# Finding


def test_at_knows_first_and_last_byte(space: AddressSpace, regions: Regions) -> None:
    piece = add(space, regions, 2, 4)
    assert [space.at(a) for a in (at(2) - 1, at(2), at(4) - 1, at(4))] == [None, piece, piece, None]


def test_at_below_everything_is_nothing(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 2, 4)
    assert space.at(0) is None


def test_overlapping_leaves_out_neighbours_that_only_abut(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 2)
    middle = add(space, regions, 2, 4)
    add(space, regions, 4, 6)
    assert space.overlapping(at(2), at(4)) == [middle]


def test_overlapping_gives_pieces_whole(space: AddressSpace, regions: Regions) -> None:
    piece = add(space, regions, 0, 8)
    assert space.overlapping(at(3), at(3) + 1) == [piece]


@pytest.mark.parametrize("end", [3, 2])
def test_an_empty_range_overlaps_nothing(space: AddressSpace, regions: Regions, end: int) -> None:
    add(space, regions, 0, 8)
    assert space.overlapping(at(3), at(end)) == []


def test_neighbours_of_a_hole(space: AddressSpace, regions: Regions) -> None:
    below, above = add(space, regions, 0, 2), add(space, regions, 6, 8)
    assert space.neighbours(at(3), at(4)) == (below, above)


def test_neighbours_do_not_overlap_the_range(space: AddressSpace, regions: Regions) -> None:
    below = add(space, regions, 0, 1)
    add(space, regions, 2, 6)
    assert space.neighbours(at(3), at(5)) == (below, None)


def test_neighbours_that_abut_count(space: AddressSpace, regions: Regions) -> None:
    below, above = add(space, regions, 0, 2), add(space, regions, 4, 5)
    assert space.neighbours(at(2), at(4)) == (below, above)


# Cutting


def test_carve_splits_at_both_ends(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 8)
    space.carve(at(2), at(5))
    assert extents(space) == [(0, 2, "rw-p"), (2, 5, "rw-p"), (5, 8, "rw-p")]


def test_carve_at_borders_splits_nothing(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 8)
    space.carve(at(0), at(8))
    assert len(space) == 1


def test_pieces_of_a_split_belong_to_one_region(space: AddressSpace, regions: Regions) -> None:
    piece = add(space, regions, 0, 8)
    space.carve(at(2), at(5))
    assert {p.region for p in space.pieces()} == {piece.region}


def test_a_split_keeps_seal_and_advice(space: AddressSpace, regions: Regions) -> None:
    piece = add(space, regions, 0, 4)
    space.replace(piece._replace(sealed_by=9, dont_fork=True))
    space.carve(at(1), at(2))
    assert [(p.sealed_by, p.dont_fork) for p in space.pieces()] == [(9, True)] * 3


def test_remove_returns_what_was_inside_cut_to_the_range(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 4)
    add(space, regions, 6, 9)
    gone = space.remove(at(2), at(7))
    assert [(p.start, p.end) for p in gone] == [(at(2), at(4)), (at(6), at(7))]


def test_remove_leaves_both_ends(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 8)
    space.remove(at(3), at(5))
    assert extents(space) == [(0, 3, "rw-p"), (5, 8, "rw-p")]


def test_protect_pairs_before_and_after(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 2, RW)
    add(space, regions, 2, 4, R)
    changes = space.protect(at(1), at(3), RX)
    assert [(old.perms, new.perms, old.start) for old, new in changes] == [
        ("rw-p", "r-xp", at(1)),
        ("r--p", "r-xp", at(2)),
    ]


def test_protect_leaves_holes_alone(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 1)
    add(space, regions, 2, 3)
    space.protect(at(0), at(3), R)
    assert extents(space) == [(0, 1, "r--p"), (2, 3, "r--p")]


def test_protect_keeps_seal_and_advice(space: AddressSpace, regions: Regions) -> None:
    piece = add(space, regions, 0, 1)
    space.replace(piece._replace(sealed_by=4, dont_fork=True))
    ((_, new),) = space.protect(at(0), at(1), R)
    assert (new.sealed_by, new.dont_fork) == (4, True)


# Growing


def test_grow_down_covers_the_address(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 8, 10, grows_down=True)
    space.grow_down(at(5))
    assert extents(space) == [(5, 10, "rw-p")]


def test_only_growing_regions_grow(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 8, 10)
    space.grow_down(at(5))
    assert extents(space) == [(8, 10, "rw-p")]


def test_grow_down_of_mapped_memory_changes_nothing(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 4, 6)
    add(space, regions, 8, 10, grows_down=True)
    space.grow_down(at(5))
    assert extents(space) == [(4, 6, "rw-p"), (8, 10, "rw-p")]


def test_absorb_growth_follows_a_stack_down(space: AddressSpace) -> None:
    space.seed([anon(8, 10, path="[stack]")], 0, 1, False)
    space.absorb_growth([anon(5, 10, path="[stack]")])
    assert extents(space) == [(5, 10, "rw-p")]


def test_absorb_growth_grows_the_lowest_part_only(space: AddressSpace) -> None:
    """A stack of which the upper page was made executable: the growth has the protection of the lower part."""
    space.seed([anon(8, 10, path="[stack]")], 0, 1, False)
    space.protect(at(9), at(10), 7)
    space.absorb_growth([anon(6, 9, path="[stack]"), anon(9, 10, "rwxp", "[stack]")])
    assert extents(space) == [(6, 9, "rw-p"), (9, 10, "rwxp")]


def test_absorb_growth_takes_what_a_call_has_cut_off_the_grown_part(space: AddressSpace) -> None:
    """The stack had grown to page 2 when page 6 became read-only: our map knew of the pages from 8 on only."""
    space.seed([anon(8, 10, path="[stack]")], 0, 1, False)
    space.grow_down(at(6))
    space.protect(at(6), at(7), 1)
    space.absorb_growth([anon(2, 6), anon(6, 7, "r--p"), anon(7, 10, path="[stack]")])
    assert extents(space) == [(2, 6, "rw-p"), (6, 7, "r--p"), (7, 10, "rw-p")]


def test_absorb_growth_never_shrinks(space: AddressSpace) -> None:
    space.seed([anon(5, 10, path="[stack]")], 0, 1, False)
    space.absorb_growth([anon(7, 10, path="[stack]")])
    assert extents(space) == [(5, 10, "rw-p")]


def test_absorb_growth_leaves_other_differences_to_be_found(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 8, 10)
    space.absorb_growth([anon(5, 10)])
    assert extents(space) == [(8, 10, "rw-p")]


# Reading a whole map


def test_seed_forgets_what_was_there(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 4)
    space.seed([anon(8, 9)], 0, 1, False)
    assert extents(space) == [(8, 9, "rw-p")]


def test_seed_leaves_out_vsyscall(space: AddressSpace) -> None:
    space.seed(parse_maps(b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n"), 0, 1, False)
    assert len(space) == 0


def test_only_the_main_stack_is_seeded_as_growing(space: AddressSpace) -> None:
    space.seed([anon(0, 1, path="[heap]"), anon(8, 9, path="[stack]")], 0, 1, False)
    assert [p.region.grows_down for p in space.pieces()] == [False, True]


def test_the_data_of_the_vdso_is_not_its_code(space: AddressSpace) -> None:
    space.seed([anon(0, 4, "r--p", "[vvar]"), anon(4, 6, "r-xp", "[vdso]")], 0, 1, False)
    assert [p.region.provenance for p in space.pieces()] == ["special", "vdso"]


def test_seeded_regions_say_what_made_them(space: AddressSpace, regions: Regions) -> None:
    space.seed([file(0, 2, 3)], 0, 17, True)
    (region,) = regions.made
    assert (region.created_by, region.inferred, region.provenance) == (17, True, "file")


def test_a_line_read_twice_is_seeded_once(space: AddressSpace) -> None:
    """maps is printed page by page, so a concurrent change may show a line again."""
    space.seed([anon(0, 4), anon(0, 4), anon(2, 6, "r--p")], 0, 1, False)
    assert extents(space) == [(0, 2, "rw-p"), (2, 6, "r--p")]


# Reading a range again


def test_resync_to_what_is_known_changes_nothing(space: AddressSpace) -> None:
    lines = [file(0, 2, 0), anon(2, 4), anon(6, 8)]
    space.seed(lines, 0, 1, False)
    assert space.resync(at(0), at(9), lines) == []


def test_resync_finds_a_new_protection(space: AddressSpace) -> None:
    space.seed([anon(0, 4)], 0, 1, False)
    space.resync(at(0), at(4), [anon(0, 2, "r-xp"), anon(2, 4)])
    assert extents(space) == [(0, 2, "r-xp"), (2, 4, "rw-p")]


def test_a_new_protection_keeps_the_region(space: AddressSpace, regions: Regions) -> None:
    space.seed([anon(0, 4)], 0, 1, False)
    ((old, new),) = space.resync(at(0), at(4), [anon(0, 4, "r-xp")])
    assert old is not None and new is not None
    assert old.region is new.region


def test_resync_removes_what_is_gone(space: AddressSpace) -> None:
    space.seed([anon(0, 6)], 0, 1, False)
    space.resync(at(0), at(6), [anon(0, 2), anon(4, 6)])
    assert extents(space) == [(0, 2, "rw-p"), (4, 6, "rw-p")]


def test_resync_tells_what_is_gone(space: AddressSpace) -> None:
    space.seed([anon(0, 6)], 0, 1, False)
    ((old, new),) = space.resync(at(0), at(6), [anon(0, 2), anon(4, 6)])
    assert old is not None and (old.start, old.end, new) == (at(2), at(4), None)


def test_resync_adds_what_is_new_as_inferred(space: AddressSpace) -> None:
    ((old, new),) = space.resync(at(0), at(6), [anon(2, 4)])
    assert old is None and new is not None and new.region.inferred


def test_resync_stays_inside_its_range(space: AddressSpace) -> None:
    space.seed([anon(0, 8)], 0, 1, False)
    space.resync(at(2), at(4), [anon(0, 8, "r--p")])
    assert extents(space) == [(0, 2, "rw-p"), (2, 4, "r--p"), (4, 8, "rw-p")]


@pytest.mark.parametrize(
    "line",
    [file(0, 4, 5), file(0, 4, 0, inode=78), file(0, 4, 0, "r--s"), anon(0, 4, "r--p")],
    ids=["offset", "inode", "shared", "anonymous"],
)
def test_resync_replaces_another_object(space: AddressSpace, line: MapLine) -> None:
    space.seed([file(0, 4, 0)], 0, 1, False)
    space.resync(at(0), at(4), [line])
    assert space.normal_form() == normal_form_of_lines([line])


def test_resync_knows_a_file_by_its_inode_not_its_name(space: AddressSpace) -> None:
    space.seed([file(0, 4, 0)], 0, 1, False)
    renamed = file(0, 4, 0)._replace(path="/usr/lib/libz.so.1;5f3a (deleted)")
    assert space.resync(at(0), at(4), [renamed]) == []


def test_resync_in_the_middle_of_a_line_counts_its_offset(space: AddressSpace) -> None:
    space.resync(at(2), at(3), [file(0, 4, 10)])
    (piece,) = space.pieces()
    assert piece.offset == 12 * PAGE


def test_resync_grows_a_stack_without_a_new_region(space: AddressSpace, regions: Regions) -> None:
    space.seed([anon(8, 10, path="[stack]")], 0, 1, False)
    space.resync(at(4), at(10), [anon(6, 10, path="[stack]")])
    assert extents(space) == [(6, 10, "rw-p")] and len(regions.made) == 1


def test_resync_survives_a_line_inside_another(space: AddressSpace) -> None:
    space.resync(at(0), at(8), [anon(0, 8), anon(2, 3)])
    assert space.normal_form() == normal_form_of_lines([anon(0, 8)])


def test_resync_of_a_map_large_enough_to_compact(space: AddressSpace) -> None:
    """Adding a page in the middle must not join pieces that are still to be compared."""
    space.seed([anon(0, 600), anon(601, 1201)], 0, 1, False)
    for page in [*range(600), *range(601, 1201)]:
        space.carve(at(page), at(page + 1))
    space.resync(at(0), at(1201), [anon(0, 1201, "r--p")])
    assert space.normal_form() == normal_form_of_lines([anon(0, 1201, "r--p")])


# Forking


def test_copy_has_regions_of_its_own(space: AddressSpace, regions: Regions) -> None:
    piece = add(space, regions, 0, 4)
    (twin,) = space.copy(2, regions).pieces()
    assert (twin.region.space, twin.region.id != piece.region.id) == (2, True)


def test_copy_keeps_one_region_for_all_its_pieces(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 4)
    space.protect(at(1), at(2), R)
    child = space.copy(2, regions)
    assert len({p.region.id for p in child.pieces()}) == 1


def test_copy_leaves_out_memory_marked_dontfork(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 4)
    (marked,) = space.carve(at(1), at(2))
    space.replace(marked._replace(dont_fork=True))
    assert extents(space.copy(2, regions)) == [(0, 1, "rw-p"), (2, 4, "rw-p")]


def test_copy_keeps_seals_break_and_growing(space: AddressSpace, regions: Regions) -> None:
    space.brk = at(9)
    piece = add(space, regions, 0, 4, grows_down=True)
    space.replace(piece._replace(sealed_by=3))
    child = space.copy(2, regions)
    (twin,) = child.pieces()
    assert (child.brk, twin.sealed_by, twin.region.grows_down) == (at(9), 3, True)


def test_a_copy_and_its_parent_change_apart(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 4)
    child = space.copy(2, regions)
    child.remove(at(0), at(2))
    assert extents(space) == [(0, 4, "rw-p")]


# Compaction


def test_a_piece_a_page_does_not_stay(space: AddressSpace, regions: Regions) -> None:
    """4000 pages made executable and writable again one by one, as a JIT does."""
    add(space, regions, 0, 4000)
    for page in range(0, 4000, 2):
        space.protect(at(page), at(page + 1), RX)
        space.protect(at(page), at(page + 1), RW)
    assert len(space) < 2000


def test_what_compaction_joins_was_earlier_what_either_was(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 4000)
    for page in range(1, 4000, 2):
        space.protect(at(page), at(page + 1), RX)
        space.protect(at(page), at(page + 1), RW)
    joined = space.at(at(0))
    assert joined is not None and joined.end - joined.start > at(1) - at(0)
    assert joined.earlier == RW | RX


def test_compaction_joins_only_what_differs_in_nothing(space: AddressSpace, regions: Regions) -> None:
    """Alternating protections, seals, advice and regions over thousands of pages all stay where they are."""
    for page in range(3000):
        add(space, regions, page, page + 1, R if page % 2 else RW)
    for piece in space.pieces()[::3]:
        space.replace(piece._replace(sealed_by=1))
    for piece in space.pieces()[::5]:
        space.replace(piece._replace(dont_fork=True))
    before = [piece[:2] + piece[3:] for piece in space.pieces()]
    for page in range(3000, 6000):
        add(space, regions, page, page + 1)
    assert [piece[:2] + piece[3:] for piece in space.pieces()][:3000] == before


def test_compaction_keeps_every_page(space: AddressSpace, regions: Regions) -> None:
    add(space, regions, 0, 3000, R)
    for page in range(0, 3000, 7):
        space.protect(at(page), at(page + 1), RW)
    for page in range(1, 3000, 3):
        space.carve(at(page), at(page + 1))
    space.put(Piece(at(4000), at(4001), regions.made[0], R))
    wrong = [
        page
        for page in range(3000)
        for piece in [space.at(at(page))]
        if piece is None or piece.prot != (R if page % 7 else RW)
    ]
    assert wrong == []


# Normal form


def normal(*lines: MapLine) -> List[Tuple[int, int]]:
    return [((n.start - BASE) // PAGE, (n.end - BASE) // PAGE) for n in normal_form_of_lines(lines)]


def test_equal_anonymous_neighbours_join() -> None:
    assert normal(anon(0, 2), anon(2, 4)) == [(0, 4)]


def test_heap_joins_anonymous_memory_behind_it() -> None:
    """The label [heap] belongs to a kernel line, not to pages."""
    assert normal(anon(0, 2, path="[heap]"), anon(2, 4)) == [(0, 4)]


def test_named_anonymous_memory_joins_unnamed() -> None:
    assert normal(anon(0, 2, path="[anon: arena]"), anon(2, 4)) == [(0, 4)]


def test_contiguous_file_neighbours_join() -> None:
    assert normal(file(0, 2, 4), file(2, 4, 6)) == [(0, 4)]


@pytest.mark.parametrize(
    "second",
    [
        file(2, 4, 7),
        file(2, 4, 6, "r-xp"),
        file(2, 4, 6, "r--s"),
        file(2, 4, 6, inode=78),
        file(2, 4, 6)._replace(dev="fe:02"),
        file(3, 4, 7),
        anon(2, 4, "r--p"),
    ],
    ids=["offset", "protection", "shared", "inode", "device", "hole", "anonymous"],
)
def test_neighbours_that_differ_stay_apart(second: MapLine) -> None:
    assert len(normal(file(0, 2, 4), second)) == 2


def test_the_vdso_does_not_join_anonymous_memory() -> None:
    assert len(normal(anon(0, 2, "r-xp"), anon(2, 4, "r-xp", "[vdso]"))) == 2


def test_normal_form_leaves_out_vsyscall() -> None:
    assert normal_form_of_lines(parse_maps(b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]")) == []


def test_a_seeded_space_has_the_normal_form_of_its_lines(space: AddressSpace) -> None:
    lines = parse_maps(
        b"""\
55d0c7a00000-55d0c7a02000 r--p 00000000 fe:01 1311 /usr/bin/cat
55d0c7a02000-55d0c7a07000 r-xp 00002000 fe:01 1311 /usr/bin/cat
55d0c8b4f000-55d0c8b70000 rw-p 00000000 00:00 0    [heap]
7f31a0000000-7f31a0001000 rw-s 00000000 00:01 1034 /memfd:jit code (deleted)
7f31a0001000-7f31a0002000 rw-s 00001000 00:01 1034 /memfd:jit code (deleted)
7f31a0002000-7f31a0003000 rw-s 00000000 00:01 2    /dev/zero (deleted)
7ffd1c5e0000-7ffd1c601000 rw-p 00000000 00:00 0    [stack]
7ffd1c7a0000-7ffd1c7a4000 r--p 00000000 00:00 0    [vvar]
7ffd1c7a4000-7ffd1c7a6000 r-xp 00000000 00:00 0    [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
"""
    )
    space.seed(lines, 0, 1, False)
    assert space.normal_form() == normal_form_of_lines(lines)


def test_splits_do_not_show_in_the_normal_form(space: AddressSpace) -> None:
    space.seed([file(0, 8, 3)], 0, 1, False)
    before = space.normal_form()
    space.carve(at(2), at(5))
    assert space.normal_form() == before


def test_the_normal_form_of_a_range_is_that_of_the_lines_that_touch_it(space: AddressSpace) -> None:
    lines = [anon(0, 2), file(2, 4, 0), file(4, 6, 9), anon(6, 8, "r--p")]
    space.seed(lines, 0, 1, False)
    assert space.normal_form(at(3), at(5)) == normal_form_of_lines(lines[1:3])


def test_a_normal_line_reads_like_a_maps_line() -> None:
    line = NormalLine(0x1000, 0x3000, "r-xp", 0x2000, "fe:01", 77, "")
    assert str(line).split() == ["1000-3000", "r-xp", "2000", "fe:01", "77"]
