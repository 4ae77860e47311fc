"""Filters and MDWE that bind a program, however it came by them, and what a refusal leads to: in the real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

import pytest
from cases import facts_from

if TYPE_CHECKING:
    from conftest import Run, Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
Event = Dict[str, Any]
NOT_HERE, NOT_SET_UP = 77, 2
MODES = ("accelerated", "full")


def event_of(run: Run, call: str) -> Event:
    """The one call of this name that did not work, in a run that was set up and whose map was right."""
    if run.status == NOT_HERE:
        pytest.skip("this kernel does not have the call: " + run.stderr)
    assert run.status != NOT_SET_UP, run.stderr
    assert run.mismatches == 0
    [event] = [event for event in run.events(call) if event["outcome"] != "ok"]
    assert event["diagnosis"] is not None
    return event


def causes_of(run: Run) -> List[str]:
    return [event["diagnosis"]["cause"] for event in run.timeline["events"] if event["outcome"] not in ("ok", "probe")]


# Filters


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options, cause, errno, outcome",
    [
        ("-e 1", "seccomp.errno", "EPERM", "refused"),
        ("-e 4000", "seccomp.errno", "E4000", "refused"),
        ("-e 0", "seccomp.errno", None, "faked"),
        ("-k", "seccomp.kill", None, "refused"),
        ("-t", "seccomp.trap", None, "refused"),
    ],
)
def test_filter(
    trace: Trace, examples: Path, mode: str, options: str, cause: str, errno: Optional[str], outcome: str
) -> None:
    run = trace(examples / "filter_exec", *options.split(), examples / "jit_anon", mode=mode)
    event = event_of(run, "mprotect")
    diagnosis = event["diagnosis"]
    [installed] = [e for e in run.events("prctl") if e["args"]["option"] == "PR_SET_SECCOMP"]
    assert (diagnosis["cause"], event["errno"], event["outcome"]) == (cause, errno, outcome)
    assert (diagnosis["confidence"], diagnosis["refused_by"]) == ("proved", "seccomp filter")
    assert installed["n"] in diagnosis["related"]
    assert "filter_exec[%d] installed a filter at event %d" % (event["pid"], installed["n"]) == facts_from(
        event, "the seccomp or prctl call"
    )
    assert [fix["for"] for fix in diagnosis["fixes"]] == ["developer"]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_errno_from_a_filter_and_from_the_kernel(trace: Trace, examples: Path, mode: str) -> None:
    """EACCES both times, on the same program: only who answered differs."""
    by_filter = trace(examples / "filter_exec", "-e", "13", examples / "jit_anon", mode=mode)
    by_kernel = trace(examples / "mdwe", examples / "jit_anon", mode=mode)
    assert [event["errno"] for run in (by_filter, by_kernel) for event in run.refused()] == ["EACCES", "EACCES"]
    assert by_filter.causes() + by_kernel.causes() == ["seccomp.errno", "mdwe"]


def test_a_filter_before_mdwe(trace: Trace, examples: Path) -> None:
    run = trace(examples / "mdwe", examples / "filter_exec", "-e", "13", examples / "jit_anon")
    assert run.causes() == ["seccomp.errno"]


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize("options, cause", [("-e 1", "seccomp.errno"), ("-k", "seccomp.kill"), ("-t", "seccomp.trap")])
def test_filter_that_was_there_before_wxtrace(
    trace: Trace, examples: Path, mode: str, options: str, cause: str
) -> None:
    run = trace(examples / "jit_anon", mode=mode, under=(examples / "filter_exec", *options.split()))
    event = event_of(run, "mprotect")
    diagnosis = event["diagnosis"]
    assert (diagnosis["cause"], diagnosis["confidence"]) == (cause, "proved")
    assert facts_from(event, "Seccomp_filters at the start") == (
        "a filter was inherited from whoever started the command"
    )
    assert [fix["for"] for fix in diagnosis["fixes"]] == ["administrator"]


def test_an_inherited_filter_that_touches_nothing_leaves_the_run_accelerated(trace: Trace, examples: Path) -> None:
    run = trace(examples / "jit_anon", under=(examples / "refuse_length", "4190208", "13"))
    assert (run.status, run.refused()) == (0, [])
    assert [process["mode"] for process in run.timeline["processes"]] == ["accelerated"]


def test_forced_acceleration_says_that_it_is_blind_for_an_inherited_filter(trace: Trace, examples: Path) -> None:
    run = trace(examples / "jit_anon", mode="accelerated", under=(examples / "filter_exec",))
    assert (run.status, run.refused()) == (1, [])
    assert [note["kind"] for note in run.timeline["notes"]] == ["inherited-filter"]
    assert "inherited seccomp filter answers some of the traced calls" in run.stderr


@pytest.mark.parametrize("mode", MODES)
def test_mdwe_that_was_there_before_wxtrace(trace: Trace, examples: Path, mode: str) -> None:
    run = trace(examples / "jit_anon", mode=mode, under=(examples / "mdwe",))
    event = event_of(run, "mprotect")
    diagnosis = event["diagnosis"]
    assert (run.status, diagnosis["cause"], diagnosis["confidence"]) == (1, "mdwe", "proved")
    assert facts_from(event, "PR_GET_MDWE before the start") == ("it was inherited from whoever started the command")
    assert diagnosis["related"] == []


# What came of it


def crash(trace: Trace, program: Program, name: str) -> Run:
    run = trace(program("cause_crash"), name)
    assert run.mismatches == 0
    assert run.status != NOT_SET_UP, run.stderr
    return run


@pytest.mark.parametrize(
    "name, aftermath, fault",
    [("write-anyway", "crashed", "fault.write"), ("use-no-memory", "crashed", "fault.unmapped")],
)
def test_the_crash_and_the_refused_call_name_each_other(
    trace: Trace, program: Program, name: str, aftermath: str, fault: str
) -> None:
    run = crash(trace, program, name)
    [refused], [crashed] = run.refused(), run.events("fault")
    assert run.status == 128 + 11
    assert refused["diagnosis"]["aftermath"] == aftermath
    assert crashed["diagnosis"]["cause"] == fault
    assert crashed["diagnosis"]["related"] == [refused["n"]]
    assert crashed["n"] in refused["diagnosis"]["related"]
    assert "event %d" % refused["n"] in crashed["diagnosis"]["summary"]


@pytest.mark.parametrize(
    "name, cause, signal, words",
    [
        ("touch-beyond-the-file", "fault.bus", 7, "has no page at"),
        ("touch-a-guard", "fault.guard", 11, "a guard page was touched"),
        ("use-an-impossible-address", "fault.other", 11, "an address that no memory can have"),
    ],
)
def test_a_crash_without_a_refusal(
    trace: Trace, program: Program, name: str, cause: str, signal: int, words: str
) -> None:
    run = crash(trace, program, name)
    if run.status == NOT_HERE:
        pytest.skip("this kernel does not have it")
    [fault] = run.events("fault")
    assert run.status == 128 + signal
    assert (fault["diagnosis"]["cause"], fault["diagnosis"]["related"]) == (cause, [])
    assert words in fault["diagnosis"]["summary"]


def test_a_crash_long_after_and_elsewhere_is_another_story(trace: Trace, program: Program) -> None:
    run = crash(trace, program, "die-of-something-else")
    [refused], [crashed] = run.refused(), run.events("fault")
    assert crashed["diagnosis"]["related"] == []
    assert refused["diagnosis"]["related"] == []


def test_a_fault_that_the_program_handles_is_still_linked(trace: Trace, program: Program) -> None:
    run = crash(trace, program, "catch-the-fault")
    [refused], [fault] = run.refused(), run.events("fault")
    assert run.status == 0
    assert refused["diagnosis"]["aftermath"] == "continued"
    assert (refused["diagnosis"]["related"], fault["diagnosis"]["related"]) == ([fault["n"]], [refused["n"]])


@pytest.mark.parametrize(
    "name, status, aftermath",
    [("abort-at-once", 128 + 6, "aborted"), ("notice-and-go-on", 0, "continued")],
)
def test_aftermath(trace: Trace, program: Program, name: str, status: int, aftermath: str) -> None:
    run = crash(trace, program, name)
    [refused] = run.refused()
    assert (run.status, refused["diagnosis"]["aftermath"]) == (status, aftermath)
    assert run.events("fault") == []


def test_a_jump_into_the_heap_was_never_refused(trace: Trace, examples: Path) -> None:
    run = trace(examples / "jit_malloc")
    [fault] = run.events("fault")
    diagnosis = fault["diagnosis"]
    assert causes_of(run) == ["fault.nx"]
    assert (diagnosis["related"], diagnosis["refused_by"], fault["outcome"]) == ([], None, "failed")
    assert "heap memory" in diagnosis["summary"]
    assert "nothing was refused, because no call ever asked" in diagnosis["summary"]
    assert [part["provenance"] for part in fault["touched"]] == ["heap"]
    assert [fix["for"] for fix in diagnosis["fixes"]] == ["developer"]
