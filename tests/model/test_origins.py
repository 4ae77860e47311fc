"""How each region became executable: one word, from what the calls did to the map."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import ANON_AT, FILE_AT, HEAP, PAGE, RW, RWX, RX, STACK, R, Told, file_line, line

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import origins
from wxtrace.model.facts import Image, Mapped, Seeded, TaskStarted
from wxtrace.model.trampolines import SHORT, TRICKS, maker_of

NEW, OTHER, FAR = 0x7F2000000000, 0x7F2000100000, 0x7F2000200000
W, X = 2, 4
PRIVATE, SHARED, ANON, FIXED, NOWHERE = 2, 1, 0x20, 0x10, (1 << 64) - 1
MEMFD = "/memfd:jit (deleted)"


def mapped(
    told: Told,
    at: int,
    prot: int,
    shared: bool = True,
    path: str = MEMFD,
    inode: int = 7,
    pages: int = 1,
    offset: int = 0,
    writable: bool = False,
    tid: int = 100,
) -> None:
    """mmap of an object: the kernel's line, then the call."""
    perms = "".join(c if prot & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4))) + ("s" if shared else "p")
    told.feed(Mapped(tid, [MapLine(at, at + pages * PAGE, perms, offset, "00:01", inode, path)], writable))
    told.call("mmap", 0, pages * PAGE, prot, SHARED if shared else PRIVATE, 3, offset, result=at, tid=tid)


def anonymous(told: Told, prot: int, at: int = NEW, pages: int = 1) -> None:
    told.call("mmap", 0, pages * PAGE, prot, PRIVATE | ANON, (1 << 64) - 1, 0, result=at)


def protect(told: Told, at: int, prot: int, pages: int = 1, tid: int = 100) -> None:
    told.call("mprotect", at, pages * PAGE, prot, tid=tid)


def word_at(told: Told, address: int, tid: int = 100) -> Optional[str]:
    space = told.replay.space_of(tid)
    assert space is not None
    piece = space.at(address)
    assert piece is not None
    return told.replay.origins.of(piece.region.id)


def seeded(told: Told, maps: List[MapLine], why: str = "exec", personality: int = 0) -> None:
    image = Image("/srv/jit", ["./jit"], "jit", "x86_64")
    told.feed(Seeded(100, told.now(), 100, 2, why, image, maps, HEAP, STACK, personality, None))


# Anonymous memory


def test_memory_that_is_never_executable_has_no_word() -> None:
    told = Told()
    anonymous(told, RW)
    protect(told, NEW, R)
    assert word_at(told, NEW) is None


def test_writable_and_executable_at_once() -> None:
    told = Told()
    anonymous(told, RWX)
    assert word_at(told, NEW) == origins.RWX


def test_written_and_flipped_even_by_way_of_read_only() -> None:
    told = Told()
    anonymous(told, RW)
    protect(told, NEW, R)
    protect(told, NEW, RX)
    assert word_at(told, NEW) == origins.FLIPPED


def test_only_pages_that_were_writable_count_as_written() -> None:
    told = Told()
    anonymous(told, R, pages=2)
    protect(told, NEW, RW)
    protect(told, NEW + PAGE, RX)
    assert word_at(told, NEW) == origins.UNWRITTEN
    protect(told, NEW, RX)
    assert word_at(told, NEW) == origins.FLIPPED


def test_the_first_word_that_tells_something_stays() -> None:
    told = Told()
    anonymous(told, RW)
    protect(told, NEW, RX)
    protect(told, NEW, RWX)
    assert word_at(told, NEW) == origins.FLIPPED
    assert told.replay.origins.counts[origins.FLIPPED] == 1


def test_read_implies_exec_is_told_from_asking() -> None:
    told = Told()
    told.feed(Mapped(100, [line(NEW, 1, "r-xp")]))
    told.call("mmap", 0, PAGE, R, PRIVATE | ANON, (1 << 64) - 1, 0, result=NEW)
    assert word_at(told, NEW) == origins.IMPLIED


def test_heap_and_stack_are_named() -> None:
    told = Told()
    protect(told, HEAP, RX)
    protect(told, STACK, RWX)
    assert word_at(told, HEAP) == origins.HEAP
    assert word_at(told, STACK) == origins.STACK


def test_zero_device_is_anonymous_memory() -> None:
    told = Told()
    mapped(told, NEW, RW, shared=False, path="/dev/zero", inode=5)
    protect(told, NEW, RX)
    assert word_at(told, NEW) == origins.FLIPPED


# Files and memory objects


def test_a_library_is_a_file() -> None:
    told = Told()
    mapped(told, NEW, RX, shared=False, path="/lib/libc.so.6", inode=9)
    assert word_at(told, NEW) == origins.FILE


def test_relocated_text_is_no_longer_the_file() -> None:
    told = Told()
    mapped(told, NEW, RX, shared=False, path="/lib/libold.so", inode=9)
    protect(told, NEW, RW)
    assert word_at(told, NEW) == origins.FILE
    protect(told, NEW, RX)
    assert word_at(told, NEW) == origins.FLIPPED


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 16), st.sampled_from([0, R, RW, RX, RWX])), max_size=30))
def test_what_pages_were_earlier_is_known_page_by_page(changes: List[Tuple[int, int, int]]) -> None:
    told = Told()
    anonymous(told, RW, pages=16)
    now, earlier = [RW] * 16, [0] * 16
    for start, length, prot in changes:
        length = min(length, 16 - start)
        protect(told, NEW + start * PAGE, prot, length)
        for page in range(start, start + length):
            earlier[page] |= now[page]
            now[page] = prot
    space = told.replay.space_of(100)
    assert space is not None
    pieces = [space.at(NEW + page * PAGE) for page in range(16)]
    assert [piece.earlier for piece in pieces if piece is not None] == earlier


@pytest.mark.parametrize("order", [(RW, RX), (RX, RW)])
def test_two_mappings_of_one_memfd(order: tuple[int, int]) -> None:
    told = Told()
    for at, prot in zip((NEW, OTHER), order):
        mapped(told, at, prot)
    code = NEW if order[0] == RX else OTHER
    assert word_at(told, code) == origins.DUAL
    assert word_at(told, NEW + OTHER - code) is None


def test_a_private_view_sees_what_is_written_through_a_shared_one() -> None:
    told = Told()
    mapped(told, NEW, RW, path="/tmp/ffiAbCdEf (deleted)")
    mapped(told, OTHER, RX, shared=False, path="/tmp/ffiAbCdEf (deleted)")
    assert word_at(told, OTHER) == origins.DUAL


def test_other_bytes_of_the_same_file_are_another_matter() -> None:
    told = Told()
    mapped(told, NEW, RW, path="/srv/pack", inode=8)
    mapped(told, OTHER, RX, path="/srv/pack", inode=8, offset=PAGE)
    assert word_at(told, OTHER) == origins.OBJECT_WRITTEN


def test_a_view_that_became_writable_later() -> None:
    told = Told()
    mapped(told, NEW, R, path="/srv/pack", inode=8)
    mapped(told, OTHER, RX, path="/srv/pack", inode=8)
    assert word_at(told, OTHER) == origins.FILE
    protect(told, NEW, RW)
    assert word_at(told, OTHER) == origins.DUAL
    assert (told.replay.origins.counts[origins.FILE], told.replay.origins.counts[origins.DUAL]) == (0, 1)


def test_what_ran_before_it_could_be_written_to_is_no_dual_mapping() -> None:
    told = Told()
    mapped(told, OTHER, RX, path="/srv/pack", inode=8)
    code = told.regions[-1].id
    told.call("munmap", OTHER, PAGE)
    mapped(told, NEW, RW, path="/srv/pack", inode=8)
    assert told.replay.origins.of(code) == origins.FILE


def test_a_view_that_is_gone_has_written_before() -> None:
    told = Told()
    mapped(told, NEW, RW, path="/srv/pack", inode=8)
    told.call("munmap", NEW, PAGE)
    mapped(told, OTHER, RX, path="/srv/pack", inode=8)
    assert word_at(told, OTHER) == origins.OBJECT_WRITTEN


def test_an_inode_number_that_is_used_again() -> None:
    told = Told()
    mapped(told, NEW, RW, path="/tmp/one", inode=8)
    told.call("munmap", NEW, PAGE)
    mapped(told, OTHER, RX, shared=False, path="/lib/libnew.so", inode=8)
    assert word_at(told, OTHER) == origins.FILE


def test_a_descriptor_open_for_writing() -> None:
    told = Told()
    mapped(told, NEW, RX, path="/tmp/code", inode=8, writable=True)
    assert word_at(told, NEW) == origins.OBJECT_WRITTEN


def test_a_memfd_holds_only_what_was_written_into_it() -> None:
    told = Told()
    mapped(told, NEW, RX, shared=False)
    assert word_at(told, NEW) == origins.OBJECT_WRITTEN


def test_sysv_segments_have_numbers_of_their_own() -> None:
    told = Told()
    mapped(told, NEW, RW, path="/SYSV00000000 (deleted)", inode=7)
    mapped(told, OTHER, RX, path=MEMFD, inode=7)
    assert word_at(told, OTHER) == origins.OBJECT_WRITTEN


# Processes


def fork(told: Told, space: int = 2, tid: int = 200) -> None:
    told.feed(TaskStarted(tid, told.now(), tid, space, "fork", 100))


def test_the_writer_may_be_another_process() -> None:
    told = Told()
    fork(told)
    mapped(told, NEW, RX, path="/dev/shm/jit", inode=8)
    mapped(told, FAR, RW, path="/dev/shm/jit", inode=8, tid=200)
    assert word_at(told, NEW) == origins.DUAL


def test_a_copy_has_the_word_of_its_original_and_is_not_counted() -> None:
    told = Told()
    anonymous(told, RW)
    protect(told, NEW, RX)
    fork(told)
    assert word_at(told, NEW, tid=200) == origins.FLIPPED
    assert told.replay.origins.counts[origins.FLIPPED] == 1


def test_what_the_parent_wrote_the_child_may_flip() -> None:
    told = Told()
    anonymous(told, RW)
    protect(told, NEW, R)
    fork(told)
    protect(told, NEW, RX, tid=200)
    assert word_at(told, NEW, tid=200) == origins.FLIPPED
    assert word_at(told, NEW) is None


def test_moved_memory_keeps_its_word() -> None:
    told = Told()
    anonymous(told, RW)
    protect(told, NEW, RX)
    told.call("mremap", NEW, PAGE, PAGE, 3, OTHER, result=OTHER)
    assert word_at(told, OTHER) == origins.FLIPPED
    assert told.replay.origins.counts[origins.FLIPPED] == 1


slots = st.integers(0, 7)
prots = st.sampled_from([0, R, RW, RX, RWX])
operations = st.one_of(
    st.tuples(st.just("anonymous"), slots, prots),
    st.tuples(st.just("object"), slots, prots, st.booleans(), st.sampled_from([MEMFD, "/srv/pack", "/dev/zero"])),
    st.tuples(st.just("protect"), slots, prots),
    st.tuples(st.just("move"), slots, slots),
    st.tuples(st.just("unmap"), slots),
    st.tuples(st.just("fork")),
)


@given(st.lists(operations, max_size=25))
def test_whatever_is_executable_has_a_word(changes: List[Tuple[Any, ...]]) -> None:
    told = Told()
    tids = [100]
    for kind, *details in changes:
        at = NEW + details[0] * PAGE if details else 0
        space = told.replay.space_of(tids[-1])
        assert space is not None
        if kind == "fork":
            told.feed(TaskStarted(tids[-1] + 1, told.now(), tids[-1] + 1, len(tids) + 1, "fork", tids[-1]))
            tids.append(tids[-1] + 1)
        elif kind == "anonymous":
            told.call("mmap", at, PAGE, details[1], PRIVATE | ANON | FIXED, NOWHERE, 0, result=at, tid=tids[-1])
        elif kind == "object":
            mapped(told, at, details[1], details[2], details[3], tid=tids[-1])
        elif kind == "unmap":
            told.call("munmap", at, PAGE, tid=tids[-1])
        elif space.at(at) is not None and kind == "protect":
            protect(told, at, details[1], tid=tids[-1])
        elif space.at(at) is not None and details[0] != details[1]:
            target = NEW + details[1] * PAGE
            told.call("mremap", at, PAGE, PAGE, 3, target, result=target, tid=tids[-1])
    for tid in tids:
        space = told.replay.space_of(tid)
        assert space is not None
        for piece in space.pieces():
            word = told.replay.origins.of(piece.region.id)
            if piece.prot & X:
                assert word is not None
                # What the record saw being written is never called untouched.
                assert word not in (origins.UNWRITTEN, origins.FILE) or not piece.earlier & W


# Whole maps


def test_what_exec_maps() -> None:
    told = Told()
    seeded(
        told,
        [
            file_line(FILE_AT, 1, "r-xp", "/srv/jit"),
            line(STACK, 8, "rwxp", "[stack]"),
            line(STACK + 0x10000, 1, "r-xp", "[vdso]"),
        ],
    )
    words = {at: word_at(told, at) for at in (FILE_AT, STACK, STACK + 0x10000)}
    assert words == {FILE_AT: origins.FILE, STACK: origins.STACK, STACK + 0x10000: origins.SPECIAL}


@pytest.mark.parametrize(("why", "word"), [("exec", origins.IMPLIED), ("attach", origins.RWX)])
def test_a_program_that_runs_with_read_implies_exec(why: str, word: str) -> None:
    told = Told()
    seeded(told, [line(ANON_AT, 1, "rwxp")], why, personality=0x400000)
    assert word_at(told, ANON_AT) == word


def test_code_that_was_there_before_the_record() -> None:
    told = Told()
    seeded(told, [line(ANON_AT, 1, "r-xp")], "attach")
    assert word_at(told, ANON_AT) == origins.FOUND


# Bounds and words


def test_words_of_regions_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_MOST_WORDS", 10)
    told = Told()
    anonymous(told, RWX, at=FAR)
    for _ in range(50):
        anonymous(told, RWX)
        told.call("munmap", NEW, PAGE)
    made = [region.id for region in told.regions if region.start == NEW]
    assert [told.replay.origins.of(region) for region in made[:30]] == [None] * 30
    assert word_at(told, FAR) == origins.RWX
    assert told.replay.origins.counts[origins.RWX] == 51


def test_every_word_is_explained() -> None:
    words = {getattr(origins, name) for name in origins.__all__ if isinstance(getattr(origins, name), str)}
    assert set(TRICKS) == words
    assert set(SHORT) == words - origins.PLAIN


@pytest.mark.parametrize(
    ("path", "word", "maker"),
    [
        ("/memfd:libffi (deleted)", origins.DUAL, "libffi's closures"),
        ("/memfd:doublemapper (deleted)", origins.DUAL, ".NET's JIT"),
        ("/tmp/ffiAbCdEf (deleted)", origins.DUAL, "in /tmp"),
        ("/tmp/ffiAbCdEf", origins.DUAL, ""),
        ("/memfd:mine (deleted)", origins.DUAL, ""),
    ],
)
def test_whose_memory_it_is(path: str, word: str, maker: str) -> None:
    told = Told()
    mapped(told, NEW, RX, path=path)
    found = maker_of(told.regions[-1], word)
    assert maker in found and bool(maker) == bool(found)
