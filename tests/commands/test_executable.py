"""What views say of executable memory, and of searches for it."""

from __future__ import annotations

from collections import Counter

import pytest

from wxtrace.commands.executable import ExecutableMemory, Searches, counts_text
from wxtrace.explain.wording import fallback_text, ordinal
from wxtrace.model import origins
from wxtrace.model.event import Attempt, Event, Fallback, Touched
from wxtrace.model.facts import Call
from wxtrace.model.region import Backing, Region

RWX_REFUSED = Attempt(30, "memory writable and executable at once", "mdwe")
FILE_REFUSED = Attempt(31, "a file in /tmp mapped executable", "mount.noexec")
WORKED = Attempt(33, "a memfd mapped twice, once to write and once to run", None)
KINDS = {30: "mmap EACCES", 31: "mmap EPERM"}


def region(id: int, path: str = "") -> Region:
    backing = Backing(path, "00:01", 7, 0, True) if path else None
    return Region(id, 1, 0x1000, 0x3000, "memfd" if path else "anon", backing, 84, False, True)


def test_counts_of_one_kind_and_of_several() -> None:
    assert counts_text(Counter({origins.DUAL: 1})) == "1 region became executable: dual mapping"
    several = Counter({origins.FLIPPED: 2, origins.DUAL: 1, origins.FILE: 9})
    assert counts_text(several) == "3 regions became executable: 2 written then flipped, 1 dual mapping"


def test_files_alone_are_nothing_to_tell() -> None:
    assert counts_text(Counter({origins.FILE: 9, origins.SPECIAL: 1})) is None


def test_a_search_that_ended_well_is_news_once() -> None:
    searches = Searches()
    fallback = Fallback((RWX_REFUSED, FILE_REFUSED, WORKED), (30, 31))
    assert searches.take(fallback)
    assert not searches.take(fallback)
    assert searches.endings(KINDS, "mmap EACCES") == [
        "tried 3 ways to get executable memory; the 3rd worked: a memfd mapped twice, once to write and once to run"
    ]
    assert searches.endings(KINDS, "mmap EPERM") == ["a further attempt of that search"]
    assert searches.endings(KINDS, "mprotect EACCES") == []


def test_a_search_in_vain_is_no_news_and_has_its_end() -> None:
    searches = Searches()
    assert not searches.take(Fallback((RWX_REFUSED, FILE_REFUSED), (30, 31)))
    assert searches.endings(KINDS, "mmap EACCES") == ["tried 2 ways to get executable memory; none worked"]


def test_names_from_the_target_are_made_printable() -> None:
    fallback = Fallback((RWX_REFUSED, Attempt(31, "a file in /\x1b]0;x\x07 mapped executable", None)), (30,))
    assert "\x1b" not in fallback_text(fallback)
    memory = ExecutableMemory()
    memory.take(region(1, "/memfd:\x1b[31m"), origins.DUAL)
    memory.take(region(2, "/tmp/\x1b[31m/ffiAbCdEf"), origins.DUAL)
    assert "libffi" in memory.texts()[1]
    assert "\x1b" not in "".join(memory.texts())


def test_a_region_is_told_with_its_last_word_and_its_maker() -> None:
    memory = ExecutableMemory()
    memory.take(region(1), origins.FILE)
    memory.take(region(2, "/memfd:libffi"), origins.OBJECT_WRITTEN)
    memory.take(region(2, "/memfd:libffi"), origins.DUAL)
    [text] = memory.texts()
    assert text.startswith("0x1000-0x3000, 8 KiB of /memfd:libffi, from event 84: dual-mapping: ")
    assert "libffi's closures" in text


def gained(n: int, start: int, end: int) -> Event:
    call = Call(100, n, 0, 10, (start, end - start, 5, 0, 0, 0), 0)
    part = Touched(1, start, end, "rw-p", "r-x", "r-xp", "anon")
    return Event(n, n, 1, 100, 100, 1, "mprotect", "ok", call, touched=[part])


def test_only_the_pages_that_became_executable_are_counted_with_who_made_them_so() -> None:
    memory = ExecutableMemory()
    memory.take(region(1), origins.FLIPPED)
    memory.event(gained(90, 0x1000, 0x2000), "jit[100]")
    [text] = memory.texts()
    assert text.startswith("0x1000-0x2000, 4 KiB of ")
    assert ", executable by mprotect at event 90 in jit[100]: " in text


def test_pages_that_flip_again_and_again_are_counted_once() -> None:
    memory = ExecutableMemory()
    memory.take(region(1), origins.FLIPPED)
    for n, start in ((90, 0x1000), (91, 0x1000), (92, 0x2800)):
        memory.event(gained(n, start, start + 0x800), "jit[100]")
    [text] = memory.texts()
    assert text.startswith("0x1000-0x3000, 4 KiB of ") and " in 2 parts" in text
    assert "at event 90 in jit[100] and 2 calls more" in text


def test_many_regions_are_counted() -> None:
    memory = ExecutableMemory()
    for id in range(100):
        memory.take(region(id), origins.RWX)
    assert len(memory.texts()) + memory.more == 100
    assert len(memory.texts()) <= 20


@pytest.mark.parametrize(
    ("number", "word"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd")]
)
def test_ordinal(number: int, word: str) -> None:
    assert ordinal(number) == word
