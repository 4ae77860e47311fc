"""Causes provoked in the real kernel: what the tests of each family share.

A program in tests/programs takes all its cases in one traced run, each in a process of its own; a test then looks at
what was told of one of them.
"""

from __future__ import annotations

import errno as errnos
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import pytest

from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.enumerations import Errno

if TYPE_CHECKING:
    from conftest import Run

__all__ = ["ARGUMENTS", "FAILED", "PROBE", "REFUSED", "SMAPS", "Case", "Family", "check", "facts_from", "printed_cases"]

Event = Dict[str, Any]
SMAPS = "VmFlags in /proc/PID/smaps"
ARGUMENTS = "the arguments of the call"
REFUSED, FAILED, PROBE = "refused", "failed", "probe"
_NOT_HERE = 77


@dataclass(frozen=True)
class Family:
    """One traced run of all cases: by name, the process of each and the errno it printed (None: it did not get far)."""

    run: Run
    cases: Dict[str, Tuple[int, Optional[int]]]

    def event(self, case: str, call: str) -> Event:
        """The first call of this name that did not work, in the process of this case."""
        pid, answer = self.cases[case]
        if answer is None:
            exits = [e for e in self.run.events("exit") if e["pid"] == pid]
            if exits and exits[0]["args"].get("code") == _NOT_HERE:
                pytest.skip("this kernel or machine does not have it: " + case)
            raise AssertionError("the case could not be set up: %s\n%s" % (case, self.run.stderr))
        events = self.of(case, call)
        assert events, "nothing failed: %s" % case
        return events[0]

    def of(self, case: str, call: Optional[str] = None) -> List[Event]:
        """The calls of a case that did not work."""
        pid = self.cases[case][0]
        events = [e for e in self.run.timeline["events"] if e["pid"] == pid and e["outcome"] != "ok"]
        return [e for e in events if call in (None, e["call"])]


@dataclass(frozen=True)
class Case:
    """`fact`: what has to be in the evidence read from `source`. `fix`: who can do something, with these words.

    `first`: security modules were asked before, so that with one at work it is not proved.
    """

    name: str
    call: str
    errno: Optional[str]
    cause: str
    source: str
    fact: str
    outcome: str = REFUSED
    fix: str = "developer"
    first: bool = False
    confidence: str = "proved"


def printed_cases(printed: str) -> Dict[str, Tuple[int, Optional[int]]]:
    """What tests/programs/case.h prints: a line "NAME PID ERRNO" a case, or "NAME PID failed"."""
    words = [line.split() for line in printed.splitlines()]
    return {name: (int(pid), None if answer == "failed" else int(answer)) for name, pid, answer in words}


def facts_from(event: Event, source: str) -> str:
    """What was seen there, in one line."""
    return " / ".join(e["fact"] for e in event["diagnosis"]["evidence"] if e["source"] == source)


def check(family: Family, case: Case) -> Event:
    """Cause, confidence, evidence and fix are those of the case, and the program saw the same errno."""
    event = family.event(case.name, case.call)
    diagnosis = event["diagnosis"]
    answer = family.cases[case.name][1]
    assert (event["errno"], diagnosis["cause"], event["outcome"]) == (case.errno, case.cause, case.outcome)
    assert CAUSES[case.cause].promises(case.call, Errno[case.errno or "NONE"])
    if case.errno is not None:
        assert answer == getattr(errnos, case.errno)
    sure = {case.confidence, family.run.sure_at_mmap if case.first else case.confidence}
    assert diagnosis["confidence"] in sure
    assert diagnosis["refused_by"] == "kernel"
    assert case.fact in facts_from(event, case.source)
    assert case.fix in [fix["for"] for fix in diagnosis["fixes"]] or not case.fix
    assert event["result"] is None or case.errno is None
    return event
