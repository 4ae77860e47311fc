"""Limits, asked forwards: each at the last page that is granted, and at the first that is not."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import pytest
from asking import AT, HOST, LETS_THROUGH, PAGE, PROBE, STATUS, answer, asked, context, mapped, over

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.evidence import size_text
from wxtrace.model.causes.limit import aio, fds, hugepages, map_count, memlock, overcommit, size
from wxtrace.model.facts import Probe
from wxtrace.model.objects import Descriptor, Segment

NO_FD = -1
R, RW, RWX = 1, 3, 7
ANON, SHARED_ANON, FIXED, SHARED, PRIVATE = 0x22, 0x21, 0x10, 1, 2
MAYMOVE, TO, LEAVE = 1, 3, 5
NEW = AT + (1 << 30)
USED = 100 * PAGE
AS, DATA = "ENOMEM limit.address-space", "ENOMEM limit.data"


def using(**sizes: int) -> Dict[str, str]:
    return {**STATUS, **{name: "%d kB" % (used // 1024) for name, used in sizes.items()}}


def limited(name: str, most: Any, used: int = USED, base: Probe = PROBE, **more: Any) -> Probe:
    """Only `name` is limited; VmSize, VmData and VmLck are all `used`."""
    limits = {"Max address space": None, "Max data size": None, "Max locked memory": None, name: most}
    status = using(VmSize=used, VmData=used, VmLck=used)
    return replace(base, limits=limits, status=status, **more)


# Address space

MAP2 = ("mmap", 0, 2 * PAGE, R, ANON, NO_FD, 0)


@pytest.mark.parametrize(
    "call, adds",
    [
        (MAP2, 2),
        (("mmap", 0, PAGE + 1, R, ANON, NO_FD, 0), 2),
        (("mmap", AT, 2 * PAGE, R, ANON | f.MAP_FIXED_NOREPLACE, NO_FD, 0), 2),
        # Three pages over two that are mapped, and two that are.
        (("mmap", AT + 2 * PAGE, 3 * PAGE, R, ANON | FIXED, NO_FD, 0), 1),
        (("mmap", AT, 2 * PAGE, R, ANON | FIXED, NO_FD, 0), 0),
        (("mremap", AT, PAGE, 3 * PAGE, MAYMOVE), 2),
        (("mremap", AT, 1, PAGE + 1, MAYMOVE), 1),
        (("mremap", AT, 2 * PAGE, 2 * PAGE, LEAVE), 2),
        (("mremap", AT, 2 * PAGE, 2 * PAGE, LEAVE | TO, NEW), 2),
        (("mremap", AT, PAGE, 3 * PAGE, TO, AT + 3 * PAGE), 1),
        (("io_setup", 1, AT), 1),
    ],
)
def test_what_counts_towards_the_address_space(call: Tuple[Any, ...], adds: int) -> None:
    full = limited("Max address space", USED + adds * PAGE)
    assert asked(size.address_space, call, full) in (LETS_THROUGH, "? " + AS)
    less = limited("Max address space", USED + adds * PAGE - 1)
    assert asked(size.address_space, call, less) == AS


def test_a_call_that_adds_nothing_is_not_asked_about() -> None:
    full = limited("Max address space", 0, brk=AT + PAGE)
    for call in (
        ("mremap", AT, 2 * PAGE, 2 * PAGE, MAYMOVE),
        ("mremap", AT, 2 * PAGE, PAGE, MAYMOVE),
        ("brk", AT + PAGE),
        ("brk", AT + 1),
        ("mprotect", AT, PAGE, RW),
    ):
        assert asked(size.address_space, call, full) == LETS_THROUGH


@pytest.mark.parametrize("most, said", [(USED + PAGE, LETS_THROUGH), (USED + PAGE - 1, "NONE limit.address-space")])
def test_brk_counts_from_page_to_page(most: int, said: str) -> None:
    probe = limited("Max address space", most, brk=AT + 1)
    assert asked(size.address_space, ("brk", AT + PAGE + 1), probe) == said


@pytest.mark.parametrize("most, said", [(USED + 2 * PAGE, LETS_THROUGH), (USED + 2 * PAGE - 1, AS)])
def test_a_segment_counts_with_its_own_size(most: int, said: str) -> None:
    segment = Segment(0o600, 1, 1, False, PAGE + 1, 1)
    call = ("shmat", 5, 0, 0)
    assert asked(size.address_space, call, limited("Max address space", most, segment=segment)) == said
    assert asked(size.address_space, call, limited("Max address space", most)) == "? " + AS


def test_what_a_segment_replaces_is_not_known() -> None:
    call, segment = ("shmat", 5, AT, f.SHM_REMAP), Segment(0o600, 1, 1, False, PAGE, 1)
    assert asked(size.address_space, call, limited("Max address space", USED, segment=segment)) == "? " + AS
    assert asked(size.address_space, call, limited("Max address space", USED + PAGE, segment=segment)) == LETS_THROUGH


def test_the_ring_of_a_context_has_a_header_and_twice_the_events() -> None:
    # 32 bytes each: 3 and 2 * 62 of them are 127 * 32, one more event takes a second page (fs/aio.c).
    probe = limited("Max address space", USED + PAGE)
    assert asked(size.address_space, ("io_setup", 62, AT), probe) == "? " + AS
    assert asked(size.address_space, ("io_setup", 63, AT), probe) == AS
    assert asked(size.address_space, ("io_setup", 63, AT), limited("Max address space", 1 << 30)) == LETS_THROUGH


def test_what_is_replaced_in_a_range_that_was_not_read_is_not_known() -> None:
    call = ("mmap", AT, PAGE, R, ANON | FIXED, NO_FD, 0)
    probe = limited("Max address space", USED, vmas_complete=False)
    assert asked(size.address_space, call, probe) == "? " + AS


@pytest.mark.parametrize(
    "probe, said",
    [
        (replace(PROBE, limits={}), "? " + AS),
        (replace(PROBE, limits={"Max address space": None}), LETS_THROUGH),
        (replace(PROBE, limits={"Max address space": 1 << 20}), "? " + AS),
    ],
)
def test_a_limit_that_is_not_known(probe: Probe, said: str) -> None:
    assert asked(size.address_space, MAP2, probe) == said


def test_the_numbers_of_the_address_space() -> None:
    given = answer(size.address_space, MAP2, limited("Max address space", USED))
    assert given.words == {"limit": "400 KiB", "used": "400 KiB", "more": "8 KiB"}
    assert [line.fact for line in given.evidence] == ["soft limit 409600 bytes", "409600 bytes mapped"]


def test_dontunmap_asks_for_all_of_the_old_size() -> None:
    call = ("mremap", AT, 4 * PAGE, 4 * PAGE, LEAVE)
    assert answer(size.address_space, call, limited("Max address space", USED)).words["more"] == "16 KiB"


# Data


def data_of(flags: Tuple[str, ...] = (), perms: str = "rw-p") -> Probe:
    return limited("Max data size", USED, base=over(mapped(AT, 4, *flags, perms=perms)))


@pytest.mark.parametrize(
    "call, said",
    [
        (("mmap", 0, PAGE, RW, ANON, NO_FD, 0), DATA),
        (("mmap", 0, PAGE, RW, PRIVATE, 3, 0), DATA),
        (("mmap", 0, PAGE, R, ANON, NO_FD, 0), LETS_THROUGH),
        (("mmap", 0, PAGE, RW, SHARED_ANON, NO_FD, 0), LETS_THROUGH),
        (("mmap", 0, PAGE, RW, ANON | f.MAP_GROWSDOWN, NO_FD, 0), LETS_THROUGH),
        (("mremap", AT, PAGE, 2 * PAGE, MAYMOVE), DATA),
        (("mremap", AT, PAGE, PAGE, LEAVE), DATA),
    ],
)
def test_only_private_writable_memory_is_data(call: Tuple[Any, ...], said: str) -> None:
    assert asked(size.data, call, data_of()) == said
    assert asked(size.data, call, limited("Max data size", USED + PAGE)) == LETS_THROUGH


@pytest.mark.parametrize("flags, perms", [((), "rw-s"), ((), "r--p"), (("rd", "wr", "gd"), "rw-p")])
def test_what_mremap_grows_need_not_be_data(flags: Tuple[str, ...], perms: str) -> None:
    assert asked(size.data, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE), data_of(flags, perms)) == LETS_THROUGH


def test_what_mremap_grows_was_not_read() -> None:
    probe = limited("Max data size", USED, base=over(vmas_complete=False))
    assert asked(size.data, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE), probe) == "? " + DATA


def test_with_a_limit_of_nothing_data_may_still_grow() -> None:
    """mm/mmap.c:may_expand_vm lets it come to the hard limit."""
    call = ("mmap", 0, PAGE, RW, ANON, NO_FD, 0)
    assert asked(size.data, call, limited("Max data size", 0)) == "? " + DATA
    assert asked(size.data, call, limited("Max data size", 1)) == DATA


@pytest.mark.parametrize(
    "most, own, said",
    [
        (9 * PAGE, 4 * PAGE, LETS_THROUGH),
        (9 * PAGE - 1, 4 * PAGE, "NONE limit.data"),
        (5 * PAGE, None, "? NONE limit.data"),
        (5 * PAGE - 1, None, "NONE limit.data"),
    ],
)
def test_brk_is_limited_with_the_programs_own_data_in_bytes(most: int, own: Any, said: str) -> None:
    probe = limited("Max data size", most, 0, start_brk=AT, brk=AT + PAGE, data_size=own)
    assert asked(size.break_data, ("brk", AT + 5 * PAGE), probe) == said
    assert asked(size.break_data, ("brk", AT - PAGE), probe) == LETS_THROUGH


def test_brk_whose_start_is_not_known() -> None:
    probe = limited("Max data size", PAGE, 0, start_brk=0, brk=AT)
    assert asked(size.break_data, ("brk", AT + PAGE), probe) == "? NONE limit.data"


@pytest.mark.parametrize(
    "perms, flags, prot, length, said",
    [
        ("r--p", (), RW, 2 * PAGE, DATA),
        ("r--p", (), RW, PAGE, LETS_THROUGH),
        ("r--p", (), RW, PAGE + 1, DATA),
        ("r--p", (), R, 2 * PAGE, LETS_THROUGH),
        ("rw-p", (), RW, 2 * PAGE, LETS_THROUGH),
        ("r--s", (), RW, 2 * PAGE, LETS_THROUGH),
        ("r--p", ("rd", "gd"), RW, 2 * PAGE, LETS_THROUGH),
    ],
)
def test_mprotect_turns_memory_into_data(perms: str, flags: Tuple[str, ...], prot: int, length: int, said: str) -> None:
    probe = limited("Max data size", USED + PAGE, base=over(mapped(AT, 4, *flags, perms=perms)))
    assert asked(size.data_at_mprotect, ("mprotect", AT, length, prot), probe) == said


def test_mprotect_is_granted_where_no_more_could_be_mapped_either() -> None:
    limits = {"Max data size": USED, "Max address space": USED}
    probe = replace(over(mapped(AT, 4, perms="r--p")), limits=limits, status=using(VmSize=USED, VmData=USED))
    call = ("mprotect", AT, PAGE, RW)
    assert asked(size.data_at_mprotect, call, probe) == LETS_THROUGH
    room = replace(probe, limits={**limits, "Max address space": USED + PAGE})
    assert asked(size.data_at_mprotect, call, room) == DATA


def test_what_mprotect_changes_before_counts_once() -> None:
    """A read-only and a writable mapping before the one in question: the first is still to become data."""
    maps = [mapped(AT, 1, perms="r--p"), mapped(AT + PAGE, 1), mapped(AT + 2 * PAGE, 1, perms="r--p")]
    call = ("mprotect", AT, 3 * PAGE, RW)
    for room, refused in ((PAGE, True), (2 * PAGE, False)):
        ctx = context(call, limited("Max data size", USED + room, base=over(*maps)))
        assert bool(size.data_at_mprotect(ctx, ctx.parts()[2]).errnos) is refused


# Memory that is locked

EAGAIN, EPERM = "EAGAIN limit.memlock", "EPERM limit.memlock:none"
LOCKED = ("mmap", 0, 2 * PAGE, R, ANON | f.MAP_LOCKED, NO_FD, 0)
LOCK = 1 << 14


def locking(most: Any, privileged: bool = False, **more: Any) -> Probe:
    probe = limited("Max locked memory", most, PAGE, **more)
    return replace(probe, status={**probe.status, "CapEff": "%x" % (LOCK if privileged else 0)})


@pytest.mark.parametrize(
    "call, most, said",
    [
        (LOCKED, 3 * PAGE, LETS_THROUGH),
        (LOCKED, 3 * PAGE - 1, EAGAIN),
        # Nothing shows whether mlockall(MCL_FUTURE) was called.
        (MAP2, 3 * PAGE, LETS_THROUGH),
        (MAP2, 3 * PAGE - 1, "? " + EAGAIN),
        (LOCKED, None, LETS_THROUGH),
        (("io_setup", 1, AT), PAGE, "? ENOMEM limit.memlock"),
    ],
)
def test_what_is_locked_with_what_is_asked(call: Tuple[Any, ...], most: Any, said: str) -> None:
    assert asked(memlock.memlock, call, locking(most)) == said


def test_who_may_lock_what_he_likes() -> None:
    """The capability counts in the first user namespace, which need not be the process's own."""
    assert asked(memlock.memlock, MAP2, locking(0, privileged=True)) == LETS_THROUGH
    assert asked(memlock.memlock, LOCKED, locking(0, privileged=True)) == "? " + EAGAIN
    assert asked(memlock.may_lock, LOCKED, locking(0, privileged=True)) == "? " + EPERM
    nothing_known = replace(locking(0), status=using(VmLck=0))
    del nothing_known.status["CapEff"]
    assert asked(memlock.memlock, LOCKED, nothing_known) == "? " + EAGAIN


@pytest.mark.parametrize("most, said", [(0, EPERM), (1, LETS_THROUGH), (None, LETS_THROUGH)])
def test_a_limit_of_nothing_forbids_the_flag(most: Any, said: str) -> None:
    assert asked(memlock.may_lock, LOCKED, locking(most)) == said
    assert asked(memlock.may_lock, MAP2, locking(most)) == LETS_THROUGH


@pytest.mark.parametrize(
    "flags, most, said",
    [
        (("rd", "wr", "lo"), PAGE, EAGAIN),
        (("rd", "wr", "lo"), 2 * PAGE, LETS_THROUGH),
        (("rd", "wr"), PAGE, LETS_THROUGH),
    ],
)
def test_locked_memory_that_grows(flags: Tuple[str, ...], most: int, said: str) -> None:
    probe = locking(most, base=over(mapped(AT, 4, *flags)))
    assert asked(memlock.memlock, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE), probe) == said
    assert asked(memlock.memlock, ("mremap", AT, 2 * PAGE, PAGE, MAYMOVE), probe) == LETS_THROUGH


def test_the_heap_is_locked_only_by_mlockall() -> None:
    call = ("brk", AT + 2 * PAGE)
    assert asked(memlock.memlock, call, locking(2 * PAGE, brk=AT + PAGE)) == LETS_THROUGH
    given = answer(memlock.memlock, call, locking(PAGE, brk=AT + PAGE))
    assert given.by_exclusion and "mlockall(MCL_FUTURE)" in given.evidence[-1].fact
    assert asked(memlock.memlock, call, locking(PAGE)) == "? NONE limit.memlock"


def test_a_segment_is_locked_with_its_own_size() -> None:
    segment = Segment(0o600, 1, 1, False, 2 * PAGE, 1)
    assert asked(memlock.memlock, ("shmat", 5, 0, 0), locking(3 * PAGE, segment=segment)) == LETS_THROUGH
    assert asked(memlock.memlock, ("shmat", 5, 0, 0), locking(2 * PAGE, segment=segment)) == "? " + EAGAIN


@pytest.mark.parametrize("link, said", [("/secretmem (deleted)", EAGAIN), ("/memfd:x (deleted)", LETS_THROUGH)])
def test_secret_memory_is_always_locked(link: str, said: str) -> None:
    call = ("mmap", 0, 2 * PAGE, R, SHARED, 3, 0)
    assert asked(memlock.secret_memory, call, locking(2 * PAGE, descriptor=Descriptor(link, 2))) == said
    assert asked(memlock.secret_memory, call, locking(3 * PAGE, descriptor=Descriptor(link, 2))) == LETS_THROUGH


PERF = "? EPERM limit.memlock:perf"
RING = ("mmap", 0, 3 * PAGE, RW, SHARED, 3, 0)


def ring(most: Any, pinned: int = PAGE, link: str = "anon_inode:[perf_event]", **sysctl: str) -> Probe:
    probe = locking(most, descriptor=Descriptor(link, 2), sysctl={"kernel." + key: sysctl[key] for key in sysctl})
    return replace(probe, status={**probe.status, **using(VmPin=pinned)})


@pytest.mark.parametrize(
    "call, probe, said",
    [
        (RING, ring(4 * PAGE), LETS_THROUGH),
        (RING, ring(4 * PAGE - 1), PERF),
        (RING, ring(None), LETS_THROUGH),
        (RING, ring(0, perf_event_paranoid="-1"), LETS_THROUGH),
        (RING, ring(0, perf_event_paranoid="0"), PERF),
        (RING, ring(0, link="anon_inode:[io_uring]"), LETS_THROUGH),
        (("mmap", 0, PAGE, RW, PRIVATE, 3, 0), ring(0), LETS_THROUGH),
        (("mmap", 0, PAGE, RW, SHARED_ANON, NO_FD, 0), ring(0), LETS_THROUGH),
    ],
)
def test_rings_of_perf_events_are_locked(call: Tuple[Any, ...], probe: Probe, said: str) -> None:
    assert asked(memlock.perf_ring, call, probe) == said


def test_who_may_lock_may_have_any_ring() -> None:
    probe = ring(0)
    privileged = replace(probe, status={**probe.status, "CapEff": "%x" % LOCK})
    assert asked(memlock.perf_ring, RING, privileged) == LETS_THROUGH
    assert asked(memlock.perf_ring, RING, replace(probe, limits={})) == "? EPERM limit.memlock"


def test_what_would_be_enough_for_a_ring() -> None:
    given = answer(memlock.perf_ring, RING, ring(0, perf_event_mlock_kb="516"))
    assert given.by_exclusion and given.words["enough"] == 516 + 12
    assert answer(memlock.perf_ring, RING, ring(0)).words["enough"] is None


# The number of mappings

COUNT, MOST = "limit.map-count", 100


def counted(count: Any, *maps: Any, **more: Any) -> Probe:
    more.setdefault("sysctl", {"vm.max_map_count": str(MOST)})
    return over(*maps or (mapped(AT, 4),), map_count=count, status=using(VmSize=1 << 30), **more)


@pytest.mark.parametrize(
    "call, first_refused",
    [
        (MAP2, MOST + 1),
        (("shmat", 5, 0, 0), MOST + 1),
        (("io_setup", 1, AT), MOST + 1),
        (("remap_file_pages", AT, PAGE, 0, 0), MOST + 1),
        (("mremap", AT, PAGE, PAGE, TO, NEW), MOST - 5),
        (("mremap", AT, PAGE, PAGE, LEAVE), MOST - 5),
    ],
)
def test_one_mapping_more_than_allowed(call: Tuple[Any, ...], first_refused: int) -> None:
    assert asked(map_count.map_count, call, counted(first_refused - 1)) == LETS_THROUGH
    assert asked(map_count.map_count, call, counted(first_refused)) == "ENOMEM " + COUNT


def test_a_call_that_adds_no_mapping() -> None:
    assert asked(map_count.map_count, ("mremap", AT, PAGE, 2 * PAGE, MAYMOVE), counted(MOST + 1)) == LETS_THROUGH
    assert asked(map_count.map_count, ("brk", AT), counted(MOST + 1, brk=AT)) == LETS_THROUGH
    assert asked(map_count.map_count, ("brk", AT + 1), counted(MOST + 1, brk=AT)) == "NONE " + COUNT


def test_mappings_that_were_not_counted() -> None:
    assert asked(map_count.map_count, MAP2, counted(None)) == "? ENOMEM " + COUNT
    assert asked(map_count.map_count, MAP2, counted(None, sysctl={})) == "? ENOMEM " + COUNT
    assert asked(map_count.map_count, MAP2, counted(None, short=True)) == LETS_THROUGH
    few = replace(counted(None), status=using(VmSize=MOST * PAGE))
    assert asked(map_count.map_count, MAP2, few) == LETS_THROUGH
    more = replace(counted(None), status=using(VmSize=(MOST + 1) * PAGE))
    assert asked(map_count.map_count, MAP2, more) == "? ENOMEM " + COUNT


@pytest.mark.parametrize(
    "call, splits",
    [
        (("munmap", AT + PAGE, PAGE), True),
        (("munmap", AT, PAGE), False),
        (("munmap", AT + 3 * PAGE, PAGE), False),
        (("munmap", AT + 2 * PAGE, PAGE + 1), False),
        (("mmap", AT + PAGE, PAGE, R, ANON | FIXED, NO_FD, 0), True),
        (("mmap", AT + PAGE, PAGE, R, ANON, NO_FD, 0), False),
        (("mremap", AT, 3 * PAGE, 2 * PAGE, 0), True),
        (("mremap", AT, 4 * PAGE, 2 * PAGE, 0), False),
        (("mremap", AT, PAGE, 2 * PAGE, 0), False),
    ],
)
def test_memory_taken_out_of_the_middle(call: Tuple[Any, ...], splits: bool) -> None:
    said = "ENOMEM " + COUNT if splits else LETS_THROUGH
    assert asked(map_count.split_by_unmapping, call, counted(MOST)) == said
    assert asked(map_count.split_by_unmapping, call, counted(MOST - 1)) == LETS_THROUGH


@pytest.mark.parametrize(
    "call, cuts",
    [
        (("mprotect", AT, 4 * PAGE, R), 0),
        (("mprotect", AT, PAGE, R), 1),
        (("mprotect", AT + 3 * PAGE, PAGE, R), 1),
        (("mprotect", AT + PAGE, PAGE, R), 2),
        (("mprotect", AT + PAGE, PAGE, RW), 0),
        (("pkey_mprotect", AT, PAGE, RW, 1), 1),
        (("pkey_mprotect", AT, PAGE, RW, -1), 0),
        (("mseal", AT + PAGE, PAGE, 0), 2),
        (("mseal", AT, 4 * PAGE, 0), 0),
        (("madvise", AT, PAGE, f.ADVICE_DONTFORK), 1),
        (("madvise", AT + PAGE, PAGE, f.ADVICE_DONTFORK), 2),
        (("madvise", AT, PAGE, f.ADVICE_DOFORK), 0),
        (("madvise", AT, PAGE, 4), 0),
    ],
)
def test_a_part_of_a_mapping_needs_one_more_for_each_cut(call: Tuple[Any, ...], cuts: int) -> None:
    errno = "EAGAIN " if call[0] == "madvise" else "ENOMEM "
    said = errno + COUNT if cuts else LETS_THROUGH
    assert asked(map_count.split, call, counted(MOST + 1 - cuts)) == said
    assert asked(map_count.split, call, counted(MOST - cuts)) == LETS_THROUGH


@pytest.mark.parametrize(
    "flags, advice, splits",
    [
        (("rd",), 1, True),
        (("rd", "rr"), 1, False),
        (("rd", "rr", "sr"), 1, True),
        (("rd", "rr"), 0, True),
        (("rd",), 0, False),
        (("rd", "dd"), 17, True),
        (("rd", "dd"), 16, False),
        (("rd", "hg"), 15, True),
        (("rd", "nh"), 15, False),
    ],
)
def test_advice_splits_only_what_it_changes(flags: Tuple[str, ...], advice: int, splits: bool) -> None:
    probe = counted(MOST, mapped(AT, 4, *flags))
    said = "EAGAIN " + COUNT if splits else LETS_THROUGH
    assert asked(map_count.split, ("madvise", AT, PAGE, advice), probe) == said


@pytest.mark.parametrize(
    "beside, joins",
    [
        (mapped(AT - PAGE, 1, perms="r--p"), True),
        (mapped(AT - PAGE, 1, perms="rw-p"), False),
        (mapped(AT - PAGE, 1, perms="r--s"), False),
        (mapped(AT - PAGE, 1, perms="r--p", path="/srv/a", inode=7), False),
        (mapped(AT - 2 * PAGE, 1, perms="r--p"), False),
        (mapped(AT + 4 * PAGE, 1, perms="r--p"), False),
    ],
)
def test_a_part_may_join_its_neighbour_instead(beside: Any, joins: bool) -> None:
    ctx = context(("mprotect", AT, PAGE, R), counted(MOST, beside, mapped(AT, 4)))
    given = map_count.split(ctx, next(part for part in ctx.parts() if part.vma.line.start == AT))
    assert given.by_exclusion is joins and given.errnos


def test_the_cut_of_the_mapping_before_counts_as_well() -> None:
    maps = [mapped(AT, 4), mapped(AT + 4 * PAGE, 4, path="/srv/a", inode=7)]
    for count, refused in ((MOST - 2, False), (MOST - 1, True)):
        ctx = context(("mprotect", AT + PAGE, 4 * PAGE, R), counted(count, *maps))
        assert bool(map_count.split(ctx, ctx.parts()[1]).errnos) is refused


@pytest.mark.parametrize(
    "call, said",
    [
        (("mremap", AT, 4 * PAGE, 5 * PAGE, MAYMOVE), "ENOMEM " + COUNT),
        (("mremap", AT, 4 * PAGE, 5 * PAGE, 0), LETS_THROUGH),
        (("mremap", AT, 4 * PAGE, 4 * PAGE, MAYMOVE), LETS_THROUGH),
        (("mremap", AT, 3 * PAGE, 4 * PAGE, MAYMOVE), "ENOMEM " + COUNT),
    ],
)
def test_memory_that_has_to_move_to_grow(call: Tuple[Any, ...], said: str) -> None:
    maps = (mapped(AT, 4), mapped(AT + 4 * PAGE, 1))
    assert asked(map_count.move, call, counted(MOST - 3, *maps)) == said
    assert asked(map_count.move, call, counted(MOST - 4, *maps)) == LETS_THROUGH


def test_memory_with_room_behind_it_does_not_move() -> None:
    assert asked(map_count.move, ("mremap", AT, 4 * PAGE, 5 * PAGE, MAYMOVE), counted(MOST)) == LETS_THROUGH


# What is promised

NOT_PROMISED = "ENOMEM limit.overcommit"
SIZING, STRICT = NOT_PROMISED + ":sizing", NOT_PROMISED + ":sizing-strict"
TOTAL = 1 << 30


def promising(mode: str = "0", base: Probe = PROBE, **more: Any) -> Probe:
    memory = {"MemTotal": TOTAL - PAGE, "SwapTotal": PAGE, "CommitLimit": TOTAL, "Committed_AS": TOTAL // 2}
    return replace(base, sysctl={"vm.overcommit_memory": mode}, meminfo=memory, **more)


def asks(prot: int, flags: int, length: int = TOTAL + 1, fd: int = NO_FD) -> Tuple[Any, ...]:
    return ("mmap", 0, length, prot, flags, fd, 0)


@pytest.mark.parametrize(
    "call, mode, said",
    [
        (asks(RW, ANON), "0", SIZING),
        (asks(RW, ANON, TOTAL), "0", LETS_THROUGH),
        (asks(RW | 4, ANON), "0", NOT_PROMISED),
        (asks(RW | 4, ANON), "2", NOT_PROMISED + ":strict"),
        (asks(RW, ANON), "1", LETS_THROUGH),
        (asks(R, ANON), "0", LETS_THROUGH),
        (asks(R, SHARED_ANON), "0", SIZING),
        (asks(RW, SHARED, fd=3), "0", LETS_THROUGH),
        (asks(RW, PRIVATE, fd=3), "0", SIZING),
        (asks(RW, ANON | f.MAP_NORESERVE), "0", LETS_THROUGH),
        (asks(RW, ANON | f.MAP_NORESERVE), "2", STRICT),
        (asks(RW, 0x20 | f.MAP_DROPPABLE), "0", LETS_THROUGH),
        (asks(RW, ANON | f.MAP_HUGETLB), "0", LETS_THROUGH),
    ],
)
def test_what_the_kernel_promises(call: Tuple[Any, ...], mode: str, said: str) -> None:
    assert asked(overcommit.overcommit, call, promising(mode)) == said


@pytest.mark.parametrize(
    "length, said",
    [
        (TOTAL // 2 - PAGE, LETS_THROUGH),
        (TOTAL // 2, "? " + STRICT),
        (TOTAL - PAGE, "? " + STRICT),
        (TOTAL, STRICT),
    ],
)
def test_strict_promises_change_with_those_of_others(length: int, said: str) -> None:
    assert asked(overcommit.overcommit, asks(RW, ANON, length), promising("2")) == said


@pytest.mark.parametrize("capabilities, kept", [("0", 3), ("200000", 2)])
def test_strict_promises_keep_a_reserve(capabilities: str, kept: int) -> None:
    """A page for root, and for a user no more than a thirty-second of the process."""
    status = {**using(VmSize=64 * PAGE), "CapEff": capabilities}
    probe = promising("2", status=status)
    probe = replace(
        probe,
        sysctl={**probe.sysctl, "vm.admin_reserve_kbytes": "4", "vm.user_reserve_kbytes": "1000"},
    )
    last = TOTAL // 2 - (kept + 1) * PAGE
    assert asked(overcommit.overcommit, asks(RW, ANON, last), probe) == LETS_THROUGH
    assert asked(overcommit.overcommit, asks(RW, ANON, last + PAGE), probe) == "? " + STRICT


@pytest.mark.parametrize("flag, counts", [("rd", True), ("ac", False), ("nr", False), ("ht", False)])
def test_memory_that_becomes_writable_is_promised_once(flag: str, counts: bool) -> None:
    pages = TOTAL // PAGE + 1
    probe = promising(base=over(mapped(AT, pages, "rd", flag, perms="r--p")))
    said = NOT_PROMISED if counts else LETS_THROUGH
    assert asked(overcommit.overcommit_at_mprotect, ("mprotect", AT, pages * PAGE, RW), probe) == said
    assert asked(overcommit.overcommit_at_mprotect, ("mprotect", AT, TOTAL, RW), probe) == LETS_THROUGH
    assert asked(overcommit.overcommit_at_mprotect, ("mprotect", AT, pages * PAGE, R), probe) == LETS_THROUGH


@pytest.mark.parametrize("perms", ["rw-p", "r--s"])
def test_memory_that_needs_no_promise(perms: str) -> None:
    pages = TOTAL // PAGE + 1
    probe = promising(base=over(mapped(AT, pages, "rd", perms=perms)))
    assert asked(overcommit.overcommit_at_mprotect, ("mprotect", AT, pages * PAGE, RW), probe) == LETS_THROUGH


@pytest.mark.parametrize(
    "call, said",
    [
        (("mremap", AT, PAGE, TOTAL + 2 * PAGE, MAYMOVE), NOT_PROMISED),
        (("mremap", AT, PAGE, TOTAL + PAGE, MAYMOVE), LETS_THROUGH),
        (("mremap", AT, TOTAL + PAGE, TOTAL + PAGE, LEAVE), NOT_PROMISED),
        (("mremap", AT, TOTAL + PAGE, TOTAL + PAGE, TO, NEW), LETS_THROUGH),
    ],
)
def test_what_mremap_adds_is_promised(call: Tuple[Any, ...], said: str) -> None:
    assert asked(overcommit.overcommit, call, promising(base=over(mapped(AT, 4, "rd", "wr", "ac")))) == said
    assert asked(overcommit.overcommit, call, promising(base=over(mapped(AT, 4, "rd", "wr")))) == LETS_THROUGH


def test_brk_is_promised() -> None:
    call = ("brk", AT + TOTAL + PAGE)
    assert asked(overcommit.overcommit, call, promising(brk=AT)) == "NONE limit.overcommit"
    assert asked(overcommit.overcommit, call, promising(brk=AT + PAGE)) == LETS_THROUGH
    assert asked(overcommit.overcommit, call, promising()) == "? NONE limit.overcommit"


@pytest.mark.parametrize("kernel, said", [("6.12.1", LETS_THROUGH), ("6.11.9", SIZING)])
def test_what_is_replaced_was_promised_already(kernel: str, said: str) -> None:
    call = ("mmap", AT, TOTAL + PAGE, RW, ANON | FIXED, NO_FD, 0)
    assert asked(overcommit.overcommit, call, promising(), replace(HOST, kernel=kernel)) == said


@pytest.mark.parametrize(
    "call, used, said",
    [
        (("fork",), TOTAL + PAGE, "? " + NOT_PROMISED),
        (("fork",), TOTAL, LETS_THROUGH),
        (("clone", 0x11, 0), TOTAL + PAGE, "? " + NOT_PROMISED),
        (("clone", 0x100, 0), TOTAL + PAGE, LETS_THROUGH),
        (("clone3", AT, 88), TOTAL + PAGE, "? " + NOT_PROMISED),
    ],
)
def test_a_child_has_the_data_again(call: Tuple[Any, ...], used: int, said: str) -> None:
    assert asked(overcommit.copying, call, promising(status=using(VmData=used))) == said


@pytest.mark.parametrize("more", [{"sysctl": {}}, {"meminfo": {}}])
def test_a_promise_that_nothing_is_known_of(more: Dict[str, Any]) -> None:
    assert asked(overcommit.overcommit, asks(RW, ANON), replace(promising(), **more)) == "? " + NOT_PROMISED


# Huge pages

HUGE = 2 << 20
NONE_LEFT, FEW = "ENOMEM limit.hugepages", "ENOMEM limit.hugepages:few"
HUGE_ANON = ANON | f.MAP_HUGETLB
OF_1G = HUGE_ANON | 30 << f.HUGE_SHIFT


def huge(free: int = 0, **more: Any) -> Probe:
    more.setdefault("huge_pages", {str(HUGE): free, str(1 << 30): 0})
    return replace(PROBE, meminfo={"HugePages_Free": free, "Hugepagesize": HUGE, "MemTotal": 1 << 30}, **more)


@pytest.mark.parametrize(
    "call, probe, said",
    [
        (asks(RW, HUGE_ANON, 1), huge(0), NONE_LEFT),
        (asks(RW, HUGE_ANON, 2 * HUGE), huge(2), LETS_THROUGH),
        (asks(RW, HUGE_ANON, 2 * HUGE + 1), huge(2), FEW),
        (asks(RW, HUGE_ANON | f.MAP_NORESERVE, HUGE), huge(0), LETS_THROUGH),
        (asks(RW, OF_1G, 1), huge(2), NONE_LEFT),
        (asks(RW, HUGE_ANON, HUGE), huge(0, huge_pages={str(HUGE): 1}), LETS_THROUGH),
        (asks(RW, HUGE_ANON, HUGE), huge(0, huge_pages=None), NONE_LEFT),
        (asks(RW, OF_1G, 1), huge(0, huge_pages=None), "? " + NONE_LEFT),
        (asks(RW, ANON, HUGE), huge(0), LETS_THROUGH),
        (asks(RW, SHARED, HUGE, 3), huge(0, descriptor=Descriptor("/memfd:h", 2)), LETS_THROUGH),
        (
            asks(RW, SHARED, HUGE, 3),
            huge(0, descriptor=Descriptor("/memfd:h", 2, huge_page_size=HUGE)),
            "? " + NONE_LEFT,
        ),
    ],
)
def test_huge_pages_are_reserved_when_they_are_mapped(call: Tuple[Any, ...], probe: Probe, said: str) -> None:
    assert asked(hugepages.hugepages, call, probe) == said


def test_a_file_of_huge_pages_is_told_by_exclusion() -> None:
    probe = huge(0, descriptor=Descriptor("/memfd:h", 2, huge_page_size=HUGE))
    assert answer(hugepages.hugepages, asks(RW, SHARED, HUGE, 3), probe).by_exclusion


def test_pages_reserved_by_others_are_not_free() -> None:
    memory = {"HugePages_Free": 2, "HugePages_Rsvd": 1, "Hugepagesize": HUGE}
    probe = replace(PROBE, meminfo=memory)
    assert asked(hugepages.hugepages, asks(RW, HUGE_ANON, 2 * HUGE), probe) == FEW
    assert asked(hugepages.hugepages, asks(RW, HUGE_ANON, HUGE), probe) == LETS_THROUGH


# Asynchronous I/O

AIO = {"fs.aio-max-nr": "100", "fs.aio-nr": "60"}


@pytest.mark.parametrize(
    "events, sysctl, said, by_exclusion",
    [
        (101, AIO, "EAGAIN limit.aio", False),
        (41, AIO, "? EAGAIN limit.aio", True),
        (40, AIO, "? EAGAIN limit.aio", False),
        (41, {}, "? EAGAIN limit.aio", False),
    ],
)
def test_the_requests_of_all_programs_are_counted(events: int, sysctl: Any, said: str, by_exclusion: bool) -> None:
    probe = replace(PROBE, sysctl=sysctl)
    assert asked(aio.requests_of_machine, ("io_setup", events, AT), probe) == said
    assert answer(aio.requests_of_machine, ("io_setup", events, AT), probe).by_exclusion is by_exclusion


# Descriptors

MEMFD = ("memfd_create", AT, 0)
EMFILE = "? EMFILE limit.fds"


@pytest.mark.parametrize(
    "most, count, said", [(4, 3, LETS_THROUGH), (4, 4, EMFILE), (4, None, EMFILE), (None, 9, LETS_THROUGH)]
)
def test_a_descriptor_more(most: Any, count: Any, said: str) -> None:
    probe = replace(PROBE, limits={"Max open files": most}, open_fds=count)
    assert asked(fds.open_files, MEMFD, probe) == said
    assert asked(fds.open_files, ("memfd_secret", 0), probe) == said
    assert asked(fds.open_files, ("seccomp", 1, 8, AT), probe) == said
    assert asked(fds.open_files, ("seccomp", 1, 1, AT), probe) == LETS_THROUGH
    assert asked(fds.open_files, ("seccomp", 0, 8, AT), probe) == LETS_THROUGH


def test_only_a_full_table_is_told_by_exclusion() -> None:
    counts = [replace(PROBE, limits={"Max open files": 4}, open_fds=count) for count in (4, None)]
    assert [answer(fds.open_files, MEMFD, probe).by_exclusion for probe in counts] == [True, False]
    assert asked(fds.open_files, MEMFD) == EMFILE


def test_how_many_files_the_machine_has_open_is_not_known() -> None:
    given = answer(fds.files_of_machine, MEMFD, replace(PROBE, sysctl={"fs.file-max": "1000"}))
    assert (given.words["enough"], given.by_exclusion) == (2000, False)
    assert answer(fds.files_of_machine, MEMFD, replace(PROBE, sysctl={"fs.file-max": str(1 << 62)})).words == {
        "enough": None
    }


@pytest.mark.parametrize("most, enough", [(4, 4096), (2048, 4096), (2049, 4098)])
def test_how_many_descriptors_would_be_enough(most: int, enough: int) -> None:
    probe = replace(PROBE, limits={"Max open files": most}, open_fds=most)
    assert answer(fds.open_files, MEMFD, probe).words["enough"] == enough


@pytest.mark.parametrize("pages, enough", [(256, 256), (257, None)])
def test_no_more_than_half_of_memory_is_set_aside(pages: int, enough: Any) -> None:
    """Of 1 GiB in all."""
    assert answer(hugepages.hugepages, asks(RW, HUGE_ANON, pages * HUGE), huge(0)).words["enough"] == enough


def test_the_numbers_of_what_is_promised() -> None:
    given = answer(overcommit.overcommit, asks(RW, ANON), replace(promising(), meminfo={"MemTotal": TOTAL - PAGE}))
    assert given.words["room"] == "RAM and swap together are %s" % size_text(TOTAL - PAGE)


@pytest.mark.parametrize("most, enough", [(65530, 262144), (131073, 262146)])
def test_how_many_mappings_would_be_enough(most: int, enough: int) -> None:
    probe = counted(most + 1, sysctl={"vm.max_map_count": str(most)})
    assert answer(map_count.map_count, MAP2, probe).words["enough"] == enough


@pytest.mark.parametrize("complete, said", [(False, "? ENOMEM " + COUNT), (True, LETS_THROUGH)])
def test_what_would_be_cut_was_not_read(complete: bool, said: str) -> None:
    probe = replace(counted(MOST), vmas=[], vmas_complete=complete)
    assert asked(map_count.split_by_unmapping, ("munmap", AT + PAGE, PAGE), probe) == said


def test_what_mremap_starts_from_was_not_read() -> None:
    call, unseen = ("mremap", AT, PAGE, TOTAL + 2 * PAGE, MAYMOVE), mapped(AT, 4)._replace(flags=())
    for base in (over(), over(unseen)):
        assert asked(overcommit.overcommit, call, promising(base=base)) == "? " + NOT_PROMISED
        assert asked(memlock.memlock, call, locking(PAGE, base=base)) == "? " + EAGAIN


def test_the_ring_of_many_processors_is_no_larger_than_so_many_need() -> None:
    """8192 processors take four events each, twice over: 65,539 times 32 bytes are 513 pages (fs/aio.c)."""
    call = ("io_setup", 1, AT)
    assert asked(size.address_space, call, limited("Max address space", USED + 513 * PAGE)) == LETS_THROUGH
    assert asked(size.address_space, call, limited("Max address space", USED + 513 * PAGE - 1)) == "? " + AS
