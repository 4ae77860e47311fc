"""A permission that was given up and is wanted back."""

from __future__ import annotations

from stories import ANON_AT, PAGE, RW, RX, Told, facts_of, line, vma

from wxtrace.model.event import Event
from wxtrace.model.facts import Probe


def refused(told: Told, mdwe: int = 1) -> Event:
    probe = Probe(100, vmas=[vma(line(ANON_AT, 1))], status={"Seccomp": "0"}, mdwe=mdwe)
    told.call("mprotect", ANON_AT, PAGE, RX, result=-13, probe=probe, now=[line(ANON_AT, 1)])
    return told.last


def test_memory_that_was_executable_wants_it_back() -> None:
    told = Told(maps=[line(ANON_AT, 1, "r-xp")])
    told.call("mprotect", ANON_AT, PAGE, RW)
    event = refused(told)
    assert event.diagnosis is not None
    assert "what is given up under MDWE does not come back" in event.diagnosis.summary
    assert "had been executable before it was made rw-" in facts_of(event)


def test_memory_that_never_was_executable() -> None:
    told = Told(maps=[line(ANON_AT, 1)])
    event = refused(told)
    assert event.diagnosis is not None and "earlier" not in event.diagnosis.summary


def test_another_cause_says_nothing_of_mdwe() -> None:
    told = Told(maps=[line(ANON_AT, 1, "r-xp")])
    told.call("mprotect", ANON_AT, PAGE, RW)
    event = refused(told, mdwe=0)
    assert event.diagnosis is not None and event.diagnosis.summary.endswith("; it had been executable earlier")
