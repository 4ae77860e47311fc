"""What a fatal fault refers to: the memory, its maker, and what it was allowed before."""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest
from stories import ANON_AT, PAGE, RW, RX, STACK, R, Told, cause_of, facts_of, file_line, line

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model.causes.fault.signals import Fault, explain
from wxtrace.model.event import Event
from wxtrace.model.facts import SignalStop

NEW = 0x7F2000000000
MAPERR, ACCERR = 1, 2
PRIVATE, ANON, STACK_FLAG = 2, 0x20, 0x20000


def crash(told: Told, addr: int, code: int = ACCERR, jump: bool = False) -> Event:
    told.signal(11, addr, code=code, ip=addr if jump else 0x400000)
    told.exit(signal=11)
    (event,) = told.named("fault")
    return event


def summary(event: Event) -> str:
    assert event.diagnosis is not None
    return event.diagnosis.summary


def anonymous(told: Told, pages: int = 1, prot: int = RW, flags: int = PRIVATE | ANON) -> int:
    told.call("mmap", 0, pages * PAGE, prot, flags, (1 << 64) - 1, 0, result=NEW)
    return told.last.n


def test_a_jump_into_memory_names_its_maker_and_that_it_never_was_executable() -> None:
    told = Told()
    made = anonymous(told)
    event = crash(told, NEW, jump=True)
    assert cause_of(event) == ("fault.nx", "proved")
    assert "it belongs to 4 KiB of anon memory that was made by event %d (mmap)" % made in facts_of(event)
    assert "it was never executable" in facts_of(event)
    assert "no call ever asked for PROT_EXEC there" in summary(event)


def test_a_jump_into_memory_that_was_executable_before() -> None:
    told = Told()
    anonymous(told)
    told.call("mprotect", NEW, PAGE, RX)
    told.call("mprotect", NEW, PAGE, RW)
    event = crash(told, NEW, jump=True)
    assert "it was executable earlier, and that was taken away" in summary(event)
    assert "no call ever asked" not in summary(event)


def test_a_write_to_memory_that_was_writable_before() -> None:
    told = Told()
    anonymous(told)
    told.call("mprotect", NEW, PAGE, R)
    event = crash(told, NEW)
    assert cause_of(event)[0] == "fault.write"
    assert "it was writable earlier" in summary(event)


def test_a_thread_that_ran_over_the_end_of_its_stack() -> None:
    told = Told()
    anonymous(told, 8, 0, PRIVATE | ANON | STACK_FLAG)
    told.call("mprotect", NEW + PAGE, 7 * PAGE, RW)
    event = crash(told, NEW + PAGE - 8)
    assert cause_of(event)[0] == "fault.guard"
    assert "behind the end of a thread's stack" in summary(event)


def test_a_guard_that_only_advice_marks() -> None:
    told = Told()
    anonymous(told, 8, RW, PRIVATE | ANON | STACK_FLAG)
    event = crash(told, NEW, MAPERR)
    assert cause_of(event)[0] == "fault.guard"
    assert "behind the end of a thread's stack" in summary(event)


def test_a_call_through_a_null_pointer() -> None:
    told = Told()
    event = crash(told, 0, MAPERR, jump=True)
    assert "a null pointer" in summary(event) and "the program jumped there" in summary(event)


def test_reserved_memory_is_no_guard() -> None:
    told = Told()
    anonymous(told, 8, 0)
    told.call("mprotect", NEW + PAGE, 7 * PAGE, RW)
    assert cause_of(crash(told, NEW))[0] == "fault.write"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (0, "a null pointer, or a crash on purpose"),
        (1, "a pointer that was computed from a null pointer"),
        (0xFFFF, "a pointer that was computed from a null pointer"),
        (0xBBADBEEF, "crash on purpose"),
        ((1 << 64) - 1, "that is MAP_FAILED"),
        (STACK - 0x8000, "the stack may not grow to there"),
    ],
)
def test_famous_addresses(address: int, words: str) -> None:
    told = Told()
    told.feed(SignalStop(100, told.now(), 11, MAPERR, address, None, 0x400000, STACK - 0x7000))
    told.exit(signal=11)
    (event,) = told.named("fault")
    assert cause_of(event)[0] == "fault.unmapped"
    assert words in summary(event)


@pytest.mark.parametrize("address", [(1 << 64) - 13, (1 << 64) - 56, (1 << 64) - 4095])
def test_an_address_near_the_end_is_not_called_map_failed(address: int) -> None:
    said = summary(crash(Told(), address, MAPERR))
    assert "an error number used as an address" in said and "that is MAP_FAILED" not in said


@pytest.mark.parametrize(
    ("signo", "code", "sender", "words"),
    [
        (11, 0, 4711, "process 4711 sent SIGSEGV"),
        (7, -6, 99, "process 99 sent SIGBUS"),
        (7, -6, 100, "the program sent SIGBUS to itself"),
        (11, 0, None, "cannot be named from here sent SIGSEGV"),
        (4, 2, None, "does not know the instruction at 0x400000"),
        (8, 1, None, "cannot be computed"),
        (31, 2, None, "syscall user dispatch"),
    ],
)
def test_a_signal_without_memory_behind_it_says_whose_it_is(
    signo: int, code: int, sender: Optional[int], words: str
) -> None:
    told = Told()
    told.feed(SignalStop(100, told.now(), signo, code, None if code <= 0 else 0x400000, sender, 0x400000, STACK))
    told.exit(signal=signo)
    (event,) = told.named("fault")
    assert cause_of(event)[0] == "fault.other"
    assert words in summary(event)


@pytest.mark.parametrize(("signo", "name"), [(-1, "SIG-1"), (37, "SIGRTMIN+3")])
def test_a_signal_without_a_name_is_told_by_its_number(signo: int, name: str) -> None:
    diagnosis = explain(Fault(SignalStop(100, 5, signo, MAPERR, 0, None, 0x400000, STACK), 100))
    assert diagnosis.evidence[0].fact.startswith(name + ",")


def test_an_address_just_behind_a_mapping() -> None:
    told = Told()
    event = crash(told, ANON_AT + 4 * PAGE + 12, MAPERR)
    assert "which ends 12 bytes before it, belongs to 16 KiB of anon memory" in facts_of(event)


def test_a_stack_that_grew_unseen_is_the_stack() -> None:
    told = Told()
    grown = STACK - 4 * PAGE
    at = MapLine(grown, STACK + 0x21 * PAGE, "rw-p", 0, "00:00", 0, "[stack]")
    told.feed(SignalStop(100, told.now(), 11, ACCERR, grown, None, grown, STACK, None, at))
    told.exit(signal=11)
    (event,) = told.named("fault")
    assert "the program jumped into the stack" in summary(event)
    assert event.touched[0].provenance == "stack"


def test_a_map_found_at_attach_tells_nothing_of_before() -> None:
    told = Told()
    anonymous(told)
    told.replay.space_of(100).seed([line(NEW, 1)], 0, None, True)  # type: ignore[union-attr]
    assert "never executable" not in facts_of(crash(told, NEW, jump=True))


def after_a_refusal(signo: int, code: int, addr: Optional[int], sender: Optional[int] = None) -> Event:
    told = Told()
    told.refuse()
    told.feed(SignalStop(100, told.now(), signo, code, addr, sender, 0x400000, STACK))
    told.exit(signal=signo)
    (event,) = told.named("fault")
    return event


def fixes(event: Event) -> List[str]:
    assert event.diagnosis is not None
    return [fix.text for fix in event.diagnosis.fixes]


@pytest.mark.parametrize(
    ("signo", "code", "addr", "sender", "words"),
    [
        (5, 0x80, None, None, "the program stopped itself with int3"),
        (5, 2, 0x400000, None, "SIGTRAP at 0x400000"),
        (5, 2, None, None, "SIGTRAP, which names no address"),
        (4, 2, 0x400000, None, "a program that stops itself with ud2"),
        (11, -6, None, 100, "the program sent SIGSEGV to itself"),
        (11, 0x80, None, None, "hlt, with which some libraries abort"),
    ],
)
def test_a_program_that_ends_itself_is_not_told_to_check_a_result(
    signo: int, code: int, addr: Optional[int], sender: Optional[int], words: str
) -> None:
    event = after_a_refusal(signo, code, addr, sender)
    assert cause_of(event) == ("fault.other", "consistent")
    assert words in summary(event) and "was refused right before" in summary(event)
    assert fixes(event) == []


@pytest.mark.parametrize(
    ("addr", "fix"),
    [
        (ANON_AT + 8, "Check the result of that call"),
        ((1 << 64) - 1, "Check the result of that call"),
        ((1 << 64) - 13, "Check the result of that call"),
        # It may have looked at the result, and crash on purpose.
        (0, "If the program went on as if that call had worked"),
        (0x10, "If the program went on as if that call had worked"),
    ],
)
def test_only_memory_that_was_asked_for_shows_that_the_result_was_not_looked_at(addr: int, fix: str) -> None:
    [text] = fixes(after_a_refusal(11, ACCERR if addr == ANON_AT + 8 else MAPERR, addr))
    assert text.startswith(fix)


HUGE = MapLine(NEW, NEW + 0x200000, "rw-p", 0, "00:0f", 7, "/anon_hugepage (deleted)")


@pytest.mark.parametrize(
    ("mapped", "code", "cause", "words"),
    [
        (file_line(NEW), 2, ("fault.bus", "proved"), "the file behind the mapping has no page"),
        (line(NEW), 2, ("fault.other", "consistent"), "SIGBUS at 0x7f2000000000"),
        (HUGE, 2, ("fault.other", "consistent"), "no huge page was free"),
        (file_line(NEW), 1, ("fault.other", "consistent"), "is not aligned"),
        (file_line(NEW), 4, ("fault.other", "consistent"), "the memory at 0x7f2000000000 is damaged"),
        (file_line(NEW), 5, ("fault.other", "consistent"), "the memory at 0x7f2000000000 is damaged"),
        (file_line(NEW), 0x80, ("fault.other", "consistent"), "an address that no memory can have"),
    ],
)
def test_only_a_file_without_the_page_is_a_cut_file(
    mapped: MapLine, code: int, cause: Tuple[str, str], words: str
) -> None:
    told = Told(maps=[mapped])
    told.signal(7, NEW, code=code)
    told.exit(signal=7)
    (event,) = told.named("fault")
    assert cause_of(event) == cause
    assert words in summary(event)
