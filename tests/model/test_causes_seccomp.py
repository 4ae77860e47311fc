"""Filters on records: who is named, which fix, and how sure, by what is known of them."""

from __future__ import annotations

import struct
from typing import Any, Dict, List, Optional, Tuple

import pytest
from stories import ANON, ANON_AT, HOST, MAPS, PAGE, RWX, RX, Told, cause_of, facts_of, vma

from wxtrace.model.event import Event
from wxtrace.model.facts import (
    BY_FILTER,
    BY_KERNEL,
    UNDECIDED,
    FilterCode,
    FilterInstalled,
    FiltersSeen,
    Host,
    Probe,
)
from wxtrace.model.restrictions import Ancestor, Listener

LD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
NR, ARG2, IP = 0, 32, 8
MPROTECT, MMAP = 10, 9
ALLOW, EPERM, NOTIFY = 0x7FFF0000, 0x50001, 0x7FC00000
FILTER, NEW_LISTENER = 1, 8


def code(*instructions: Tuple[int, int, int, int]) -> str:
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions).hex()


def no_execution(answer: int) -> str:
    """mprotect with PROT_EXEC gets `answer`."""
    jumps = ((LD, 0, 0, NR), (JEQ, 0, 3, MPROTECT), (LD, 0, 0, ARG2), (JSET, 0, 1, 4))
    return code(*jumps, (RET, 0, 0, answer), (RET, 0, 0, ALLOW))


OPEN = code((RET, 0, 0, ALLOW))
PROBE = Probe(100, vmas=[vma(MAPS[1])], status={"Seccomp": "2", "Seccomp_filters": "2"})


def refuse(told: Told, decided: int = BY_FILTER, errno: int = 1, probe: Probe = PROBE) -> Event:
    told.call("mprotect", ANON_AT, PAGE, RX, result=-errno, decided=decided, probe=probe)
    return told.last


def installs(told: Told, program: Optional[str], flags: int = 0, result: int = 0) -> None:
    if program is not None:
        told.feed(FilterCode(7, program))
    told.feed(FilterInstalled(100, 7 if program is not None else None))
    told.call("seccomp", FILTER, flags, 0x1000, result=result)


def seen(told: Told, *programs: str, **more: Any) -> None:
    for id, program in enumerate(programs, 20):
        told.feed(FilterCode(id, program))
    told.feed(FiltersSeen(100, list(range(20, 20 + len(programs))) if programs else None, **more))


def test_the_filter_that_answers_is_named_among_several() -> None:
    told = Told()
    installs(told, OPEN)
    installs(told, no_execution(EPERM))
    guilty = told.last.n
    installs(told, OPEN)
    event = refuse(told)
    assert event.diagnosis is not None
    assert "installed a filter at event %d" % guilty in facts_of(event)
    assert facts_of(event).count("installed a filter") == 1
    assert "it lets mprotect(0x7f0000000000, 4096, PROT_READ) in" in facts_of(event)


@pytest.mark.parametrize("program", [None, "ff", code((JEQ, 9, 9, 0)), code((LD, 0, 0, IP), (RET, 0, 0, ALLOW)), OPEN])
def test_a_program_that_tells_nothing_weakens_no_proof_and_adds_none(program: Optional[str]) -> None:
    """Unreadable, no program, jumping wildly, looking at what is not known, changed since: the stops are proof."""
    told = Told()
    installs(told, program)
    event = refuse(told)
    assert cause_of(event) == ("seccomp.errno", "proved")
    assert "answers" not in facts_of(event) and "installed a filter at event" in facts_of(event)


def test_a_listener_of_an_unknown_filter_may_have_answered() -> None:
    told = Told()
    installs(told, None, NEW_LISTENER, result=3)
    assert cause_of(refuse(told)) == ("seccomp.errno", "consistent")


def test_a_thread_that_was_in_the_way_of_tsync_is_no_filter() -> None:
    told = Told()
    installs(told, no_execution(EPERM), 1, result=4242)
    assert "installed a filter" not in facts_of(refuse(told))


def test_a_filter_that_hands_over_to_a_listener() -> None:
    told = Told()
    installs(told, no_execution(NOTIFY), NEW_LISTENER, result=3)
    seen(told, no_execution(NOTIFY), listeners=[Listener(7, "sandboxd")])
    event = refuse(told, errno=13)
    assert cause_of(event) == ("seccomp.user-notif", "consistent")
    assert event.diagnosis is not None
    assert "to sandboxd[7], which answered EACCES" in event.diagnosis.summary
    assert refuse(told, errno=38).diagnosis is not None
    assert "nobody listens any more" in told.last.diagnosis.summary  # type: ignore[union-attr]


# Where no stop tells: after attaching


@pytest.mark.parametrize(
    "programs, errno, expected",
    [
        ([no_execution(EPERM)], 1, ("seccomp.errno", "proved")),
        ([OPEN, no_execution(EPERM), OPEN], 1, ("seccomp.errno", "proved")),
        # By the kernel's own copy the filter answers something else: whose answer this was, nothing tells.
        ([no_execution(EPERM)], 13, ("unknown", "possible")),
        # All let it in: then it was the kernel.
        ([OPEN, OPEN], 13, ("unknown", "possible")),
        ([], 1, ("seccomp.errno", "possible")),
        (["00"], 1, ("seccomp.errno", "possible")),
    ],
)
def test_after_attaching_the_kernels_copy_tells(programs: List[str], errno: int, expected: Tuple[str, str]) -> None:
    told = Told()
    seen(told, *programs, why_not="" if programs else "the kernel shows filters only to CAP_SYS_ADMIN")
    assert cause_of(refuse(told, UNDECIDED, errno)) == expected


# Inherited


def under(answers: Dict[str, str], cgroup: str, *ancestors: Ancestor) -> Told:
    told = Told(Host(HOST.kernel, "x86_64", PAGE, seccomp_filters=1, inherited_answers=answers))
    told.feed(FiltersSeen(100, None, "no", list(ancestors), cgroup))
    return told


MDWX = {"mmap 0x7": "EPERM", "mprotect 0x5": "EPERM", "mmap 0x5": "ALLOW", "mmap 0x3": "ALLOW", "mprotect 0x3": "ALLOW"}
UNIT = "/system.slice/my app.service"


@pytest.mark.parametrize(
    "answers, cgroup, text, command",
    [
        (MDWX, UNIT, "Set MemoryDenyWriteExecute=no for my app.service", "systemctl edit 'my app.service'"),
        (MDWX, "/", "Set MemoryDenyWriteExecute=no for the service (if systemd started it)", None),
        (
            {},
            "/user.slice/user@1000.service/app.slice/a.service",
            "settings of the service a.service",
            "systemctl --user show a.service -p SystemCallFilter -p MemoryDenyWriteExecute -p LockPersonality",
        ),
        ({}, "/docker/" + "ab" * 32, "Start the container " + "ab" * 32, None),
        ({}, "/system.slice/\x1b[2J.service", "whatever started the program", None),
        ({}, "/", "whatever started the program", None),
    ],
)
def test_the_fix_fits_whoever_set_the_filter(
    answers: Dict[str, str], cgroup: str, text: str, command: Optional[str]
) -> None:
    diagnosis = refuse(under(answers, cgroup)).diagnosis
    assert diagnosis is not None and diagnosis.confidence == "proved"
    assert text in diagnosis.fixes[-1].text
    assert diagnosis.fixes[-1].command == command


@pytest.mark.parametrize(
    "ancestors, text",
    [
        ([Ancestor(9, "runc", 1), Ancestor(1, "systemd", 0)], "runc[9] has it, and its parent systemd[1] has none"),
        ([Ancestor(9, "bash", 1), Ancestor(1, "init", 1)], "every process above it has one, up to init[1]"),
        ([Ancestor(9, "bash", 0)], "bash[9] has none, and wxtrace, which it started, has it"),
    ],
)
def test_between_which_processes_it_was_set(ancestors: List[Ancestor], text: str) -> None:
    assert text in facts_of(refuse(under({}, "/", *ancestors)))


def test_it_was_the_inherited_one_if_the_programs_own_let_the_call_in() -> None:
    told = under(MDWX, UNIT)
    installs(told, OPEN)
    event = refuse(told)
    assert "inherited from whoever started" in facts_of(event) and "installed a filter at" not in facts_of(event)
    installs(told, no_execution(EPERM))
    event = refuse(told)
    assert "installed a filter at" in facts_of(event) and "inherited" not in facts_of(event)


def test_calls_tried_before_the_start_illustrate_the_answer() -> None:
    event = refuse(under(MDWX, UNIT))
    assert "the filter answers EPERM to this call" in facts_of(event)
    assert "it lets mprotect(0x7f0000000000, 4096, PROT_READ|PROT_WRITE) in" in facts_of(event)
    assert event.diagnosis is not None
    assert all("illustration" in e.source for e in event.diagnosis.evidence if "filter answers" in e.fact)


def test_a_call_that_the_listener_let_on_happened() -> None:
    told = Told()
    executable = [MAPS[1]._replace(perms="r-xp")]
    told.call("mprotect", ANON_AT, 4 * PAGE, RX, result=0, decided=BY_FILTER, now=executable)
    assert (told.last.outcome, told.perms(100, ANON_AT)) == ("ok", "r-xp")


def test_mdwe_says_who_called_prctl() -> None:
    told = Told()
    told.call("prctl", 65, 1)
    n = told.last.n
    told.call("mmap", 0, PAGE, RWX, ANON, -1, 0, result=-13, decided=BY_KERNEL, probe=Probe(100, mdwe=1))
    assert "PR_SET_MDWE was called at event %d by jit[100]" % n in facts_of(told.last)


def test_mdwe_that_was_inherited_names_the_unit() -> None:
    told = Told(Host(HOST.kernel, "x86_64", PAGE, mdwe=1))
    told.call("mmap", 0, PAGE, RWX, ANON, -1, 0, result=-13, probe=Probe(100, mdwe=1, cgroup="/system.slice/a.service"))
    assert "the process belongs to the systemd unit a.service" in facts_of(told.last)
    assert told.last.diagnosis is not None
    assert told.last.diagnosis.fixes[-1].command == "systemctl edit a.service"
