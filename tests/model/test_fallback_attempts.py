"""Several ways tried for one purpose are one story, with its end."""

from __future__ import annotations

from typing import List, Optional, Tuple

from stories import MAPS, PAGE, RW, RWX, RX, STACK, R, Told, vma

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model.event import Amendment, Event
from wxtrace.model.facts import Mapped, Probe
from wxtrace.model.objects import Descriptor, MountFact

NEW, OTHER = 0x7F2000000000, 0x7F2000100000
PRIVATE, SHARED, ANON = 2, 1, 0x20
NOWHERE = (1 << 64) - 1
EACCES, EPERM = -13, -1


def refused_anonymous(told: Told, length: int = PAGE, tid: int = 100) -> Event:
    told.call("mmap", 0, length, RWX, PRIVATE | ANON, NOWHERE, result=EACCES, tid=tid, probe=mdwe(tid))
    return told.last


def refused_file(told: Told, folder: str, prot: int = RX) -> Event:
    noexec = MountFact(folder, "rw,noexec", "tmpfs", "rw")
    descriptor = Descriptor(folder + "/ffiAbCdEf (deleted)", 0o2, "regular file", noexec)
    probe = Probe(100, status={"Seccomp": "0"}, descriptor=descriptor)
    told.call("mmap", 0, PAGE, prot, SHARED, 3, result=EPERM, probe=probe)
    return told.last


def mdwe(tid: int = 100) -> Probe:
    return Probe(tid, status={"Seccomp": "0"}, mdwe=1)


def memfd(told: Told, at: int, prot: int, length: int = PAGE) -> Event:
    perms = {RX: "r-xs", RW: "rw-s"}[prot]
    told.feed(Mapped(100, [MapLine(at, at + length, perms, 0, "00:01", 7, "/memfd:libffi (deleted)")], True))
    told.call("mmap", 0, length, prot, SHARED, 3, result=at)
    return told.last


def library(told: Told, length: int = PAGE) -> None:
    told.feed(Mapped(100, [MapLine(OTHER, OTHER + length, "r-xp", 0, "08:01", 9, "/lib/libmore.so")]))
    told.call("mmap", 0, length, RX, PRIVATE, 4, result=OTHER)


def ways(amendment: Amendment) -> List[Tuple[int, Optional[str]]]:
    assert amendment.fallback is not None
    return [(attempt.n, attempt.cause) for attempt in amendment.fallback.attempts]


def amendments(told: Told) -> List[Amendment]:
    return [shown for shown in told.shown if isinstance(shown, Amendment)]


def test_a_search_that_ends_well_is_one_story() -> None:
    told = Told()
    first = refused_anonymous(told)
    second = refused_file(told, "/tmp")
    third = refused_file(told, "/dev/shm")
    code = memfd(told, NEW, RX)
    memfd(told, OTHER, RW)
    everything = [(first.n, "mdwe"), (second.n, "mount.noexec"), (third.n, "mount.noexec"), (code.n, None)]
    for event in (first, second, third):
        amendment = told.amendment(event)
        assert (amendment.aftermath, ways(amendment)) == ("recovered", everything)
        assert set(amendment.related) == {n for n, _ in everything} - {event.n}
    worked = told.amendment(first).fallback.worked  # type: ignore[union-attr]
    assert worked is not None and worked.way == "a memfd mapped twice, once to write and once to run"


def test_it_is_told_when_it_happens_and_once() -> None:
    told = Told()
    refused_anonymous(told)
    memfd(told, NEW, RX)
    memfd(told, OTHER, RW)
    told.call("madvise", NEW, PAGE, 4)
    assert len(amendments(told)) == 1
    told.exit(code=3)
    assert len(amendments(told)) == 1


def test_the_last_call_of_a_thread_may_be_the_one_that_worked() -> None:
    told = Told()
    event = refused_anonymous(told)
    memfd(told, NEW, RX)
    told.exit(code=3)
    assert told.amendment(event).aftermath == "recovered"


def test_a_search_in_vain_is_one_story_as_well() -> None:
    told = Told()
    first, second = refused_anonymous(told), refused_file(told, "/tmp")
    told.exit(code=1)
    amendment = told.amendment(first)
    assert (amendment.aftermath, amendment.related) == ("exited", (second.n,))
    assert ways(amendment) == [(first.n, "mdwe"), (second.n, "mount.noexec")]


def test_an_executable_view_without_a_writable_one_is_no_success() -> None:
    told = Told()
    first = refused_anonymous(told)
    memfd(told, NEW, RX)
    second = refused_file(told, "/tmp", RW)
    told.exit(code=1)
    assert told.amendment(first).aftermath == "exited"
    assert [n for n, _ in ways(told.amendment(first))] == [first.n, second.n]


def test_a_library_that_is_loaded_meanwhile_ends_no_search() -> None:
    told = Told()
    event = refused_anonymous(told)
    library(told)
    told.exit(code=1)
    amendment = told.amendment(event)
    assert (amendment.aftermath, amendment.fallback) == ("exited", None)


def test_memory_that_was_executable_already_ends_no_search() -> None:
    told = Told()
    told.call("mmap", 0, PAGE, RWX, PRIVATE | ANON, NOWHERE, result=NEW)
    event = refused_anonymous(told)
    told.call("mprotect", NEW, PAGE, RX)
    told.exit(code=1)
    assert told.amendment(event).fallback is None


def test_memory_of_another_size_serves_another_purpose() -> None:
    told = Told()
    event = refused_anonymous(told, 16 * PAGE)
    memfd(told, NEW, RX)
    memfd(told, OTHER, RW)
    told.exit(code=1)
    assert told.amendment(event).aftermath == "exited"


def test_a_thread_searches_for_itself() -> None:
    told = Told()
    told.start(101, pid=100, how="clone", parent=100)
    event = refused_anonymous(told, tid=101)
    memfd(told, NEW, RX)
    memfd(told, OTHER, RW)
    told.exit(code=1)
    assert told.amendment(event).aftermath == "exited"


def test_much_later_is_another_story() -> None:
    told = Told()
    event = refused_anonymous(told)
    for _ in range(200):
        told.call("madvise", NEW, PAGE, 4)
    memfd(told, NEW, RX)
    memfd(told, OTHER, RW)
    told.exit(code=1)
    assert told.amendment(event).fallback is None


def test_the_same_way_again_is_no_further_way() -> None:
    told = Told()
    first, again = refused_anonymous(told), refused_anonymous(told)
    assert told.replay.fallback_of(again) is None
    code = memfd(told, NEW, RX)
    memfd(told, OTHER, RW)
    assert ways(told.amendment(first)) == [(first.n, "mdwe"), (code.n, None)]
    assert told.amendment(again).aftermath == "recovered"


def test_a_further_way_is_known_at_once() -> None:
    told = Told()
    first = refused_anonymous(told)
    assert told.replay.fallback_of(first) is None
    second = refused_file(told, "/tmp")
    fallback = told.replay.fallback_of(second)
    assert fallback is not None and [attempt.way for attempt in fallback.attempts] == [
        "memory writable and executable at once",
        "a file in /tmp mapped executable",
    ]


def test_a_loop_of_refusals_stays_small() -> None:
    told = Told()
    events = [refused_anonymous(told) for _ in range(300)]
    second = refused_file(told, "/tmp")
    told.exit(code=1)
    assert len(told.amendment(events[0]).related) <= 64
    assert told.amendment(second).aftermath == "exited"


def test_using_what_was_refused_all_the_same_is_a_crash() -> None:
    told = Told()
    event = told.refuse()
    told.call("mmap", 0, PAGE, RW, PRIVATE | ANON, NOWHERE, result=NEW)
    memfd(told, OTHER, RX)
    memfd(told, OTHER + 2 * PAGE, RW)
    assert told.amendment(event).aftermath == "recovered"
    told.shown.clear()
    told.signal(11, event.touched[0].start, ip=event.touched[0].start)
    told.exit(signal=11)
    assert told.amendment(event).aftermath == "crashed"


def test_another_program_in_the_same_thread_searches_anew() -> None:
    told = Told()
    event = refused_anonymous(told)
    told.exec(100, 2)
    memfd(told, NEW, RX)
    memfd(told, OTHER, RW)
    told.exit(code=1)
    assert told.amendment(event).fallback is None


def test_a_memfd_that_is_refused_belongs_to_the_search_but_starts_none() -> None:
    told = Told()
    told.call("memfd_create", 0, 0x10, result=EACCES, probe=Probe(100, status={"Seccomp": "0"}))
    alone = told.last
    first = refused_anonymous(told)
    told.call("memfd_create", 0, 0x10, result=EACCES, probe=Probe(100, status={"Seccomp": "0"}))
    assert told.last.outcome == "refused"
    fallback = told.replay.fallback_of(told.last)
    assert fallback is not None and [attempt.n for attempt in fallback.attempts] == [first.n, told.last.n]
    assert told.replay.fallback_of(alone) is None


def test_a_stack_is_wanted_for_another_purpose() -> None:
    told = Told()
    probe = Probe(100, vmas=[vma(MAPS[-1])], status={"Seccomp": "0"}, mdwe=1)
    told.call("mprotect", STACK, PAGE, RWX, result=EACCES, probe=probe)
    event = told.last
    memfd(told, NEW, RX)
    memfd(told, OTHER, RW)
    told.exit(code=1)
    assert event.outcome == "refused"
    assert told.amendment(event).aftermath == "exited"


def test_read_only_memory_is_no_attempt() -> None:
    told = Told()
    refused_anonymous(told)
    told.call("mmap", 0, PAGE, R, PRIVATE, 3, result=EACCES, probe=Probe(100, status={"Seccomp": "0"}))
    assert told.replay.fallback_of(told.last) is None
