"""The loader's part: the library behind a refused call, and libraries that it refuses itself (glibc 2.41)."""

from __future__ import annotations

import shlex
from typing import List, Optional

import pytest
from stories import MAYS, PAGE, RW, RWX, RX, STACK, R, Told, cause_of, facts_of, file_line, line, vma

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model.event import Event
from wxtrace.model.facts import Mapped, Probe, Unloading
from wxtrace.model.objects import Library

START, GROWSDOWN, PRIVATE, FIXED = 0x7F2000000000, 0x01000000, 2, 0x10
PATH = "/opt/app/libold model.so"
EXECSTACK, MISSING, HARMLESS = Library(PATH, 7), Library(PATH, None), Library(PATH, 6)
MAPS = [line(STACK, 0x21, "rw-p", "[stack]")]


def segment(told: Told, page: int, prot: int, flags: int = PRIVATE | FIXED) -> None:
    """One mapping of the library, as the loader makes it."""
    at = START + page * PAGE
    perms = "r%s%s" % ("w" if prot & 2 else "-", "x" if prot & 4 else "-") + "p"
    told.feed(Mapped(100, [MapLine(at, at + PAGE, perms, page * PAGE, "08:01", 42, PATH)]))
    told.call("mmap", at if flags & FIXED else 0, PAGE, prot, flags, 3, page * PAGE, result=at)


def mapped(told: Told) -> None:
    segment(told, 0, R, PRIVATE)
    segment(told, 1, RX)
    segment(told, 2, RW)


def unmapped(told: Told, library: Library = EXECSTACK, loader: str = "2.41") -> None:
    told.feed(Unloading(100, library, loader))
    told.call("munmap", START, 3 * PAGE)


def stack_asked(told: Told, result: int = 0, library: Optional[Library] = None) -> Event:
    stack = vma(MAPS[-1], *MAYS, "gd")
    probe = Probe(100, vmas=[stack], status={"Seccomp": "0"}, mdwe=1, library=library) if result else None
    told.call("mprotect", STACK + 0x20 * PAGE, PAGE, RWX | GROWSDOWN, result=result, probe=probe)
    return told.last


def refusals(told: Told) -> List[Event]:
    return told.named("dlopen")


# The library behind a refused call


def test_a_refused_stack_names_the_library_that_wanted_it() -> None:
    told = Told(maps=MAPS)
    event = stack_asked(told, -13, EXECSTACK)
    diagnosis = event.diagnosis
    assert diagnosis is not None and cause_of(event) == ("mdwe", "proved")
    assert "the loader wanted it for libold model.so" in diagnosis.summary
    assert PATH + " was mapped right before, and its PT_GNU_STACK is RWE" in facts_of(event)
    commands = [fix.command for fix in diagnosis.fixes if fix.audience == "developer"]
    assert commands == ["patchelf --clear-execstack " + shlex.quote(PATH)]


def test_a_missing_header_asks_for_an_executable_stack_too() -> None:
    told = Told(maps=MAPS)
    event = stack_asked(told, -13, MISSING)
    assert event.diagnosis is not None and "which asks for an executable stack" in event.diagnosis.summary
    assert "it has no PT_GNU_STACK header" in facts_of(event)
    # patchelf changes a header, it adds none.
    assert [fix.command for fix in event.diagnosis.fixes if fix.audience == "developer"] == [None]


@pytest.mark.parametrize("library", [HARMLESS, Library(PATH, trouble="it was deleted"), None])
def test_a_library_that_wants_nothing_is_not_blamed(library: Optional[Library]) -> None:
    told = Told(maps=MAPS)
    event = stack_asked(told, -13, library)
    assert event.diagnosis is not None and "loader" not in event.diagnosis.summary
    assert (PATH in facts_of(event)) == (library is not None)


def test_text_relocations_are_named_where_code_was_to_be_made_writable() -> None:
    told = Told(maps=[file_line(START, 1, "r-xp", PATH)])
    probe = Probe(
        100,
        vmas=[vma(file_line(START, 1, "r-xp", PATH))],
        status={"Seccomp": "0"},
        mdwe=1,
        library=Library(PATH, 6, text_relocations=True),
    )
    told.call("mprotect", START, PAGE, RWX, result=-13, probe=probe)
    diagnosis = told.last.diagnosis
    assert diagnosis is not None and "libold model.so has text relocations" in diagnosis.summary
    assert "DT_TEXTREL is set in " + PATH in facts_of(told.last)
    assert [fix.audience for fix in diagnosis.fixes] == ["developer", "administrator"]
    assert "-fPIC" in diagnosis.fixes[0].text


def test_a_name_that_is_not_safe_to_paste_gets_no_command() -> None:
    told = Told(maps=MAPS)
    event = stack_asked(told, -13, Library("/opt/\x1b]0;x.so", 7))
    assert event.diagnosis is not None
    assert [fix.command for fix in event.diagnosis.fixes if fix.audience == "developer"] == [None]


# A library that the loader refused itself


@pytest.mark.parametrize("library", [EXECSTACK, MISSING])
def test_mapped_and_given_up_without_any_refused_call(library: Library) -> None:
    told = Told(maps=MAPS)
    mapped(told)
    unmapped(told, library)
    told.exit(code=1)
    (event,) = refusals(told)
    assert (event.outcome, event.call, event.details) == ("refused", None, {"library": PATH})
    assert cause_of(event) == ("loader.execstack", "consistent")
    assert event.diagnosis is not None and event.diagnosis.refused_by == "dynamic loader"
    assert "the loader refused libold model.so, not the kernel" in event.diagnosis.summary
    assert "the loader is that of glibc 2.41" in facts_of(event)
    assert (told.amendment(event).aftermath, told.amendment(event).related) == ("exited", (event.n - 1,))


@pytest.mark.parametrize("loader", ["2.40", "2.9", "other", "2.x", "-1.99"])
def test_other_loaders_do_not_refuse(loader: str) -> None:
    told = Told(maps=MAPS)
    mapped(told)
    unmapped(told, loader=loader)
    assert refusals(told) == []


def test_an_unknown_loader_is_only_possible() -> None:
    told = Told(maps=MAPS)
    mapped(told)
    unmapped(told, loader="")
    assert [cause_of(event) for event in refusals(told)] == [("loader.execstack", "possible")]


def test_the_kernel_refused_and_the_loader_gave_up() -> None:
    told = Told(maps=MAPS)
    mapped(told)
    stack_asked(told, -13, EXECSTACK)
    unmapped(told)
    assert refusals(told) == []


def test_an_older_refusal_of_the_stack_does_not_excuse_the_loader() -> None:
    told = Told(maps=MAPS)
    stack_asked(told, -13, EXECSTACK)
    mapped(told)
    unmapped(told)
    assert len(refusals(told)) == 1


def test_an_executable_stack_is_enough_for_the_library() -> None:
    told = Told(maps=MAPS)
    mapped(told)
    stack_asked(told)
    unmapped(told)
    assert refusals(told) == []


def test_a_library_that_was_relocated_was_loaded() -> None:
    told = Told(maps=MAPS)
    mapped(told)
    told.call("mprotect", START + 2 * PAGE, PAGE, R)
    unmapped(told)
    assert refusals(told) == []


def test_a_library_that_stayed_for_a_while_was_loaded() -> None:
    told = Told(maps=MAPS)
    mapped(told)
    for _ in range(30):
        told.call("madvise", START, PAGE, 4)
    unmapped(told)
    assert refusals(told) == []


def test_a_harmless_library_may_come_and_go() -> None:
    told = Told(maps=MAPS)
    mapped(told)
    unmapped(told, HARMLESS)
    assert refusals(told) == []


def test_only_code_that_is_unmapped_was_given_up() -> None:
    told = Told(maps=MAPS)
    segment(told, 0, R, PRIVATE)
    unmapped(told)
    assert refusals(told) == []
