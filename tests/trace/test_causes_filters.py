"""Seccomp filters in the real kernel: what they answered, to whom they listen, who installed them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict

import pytest
from cases import Family
from processes import DEADLINE, WXTRACE, status_field, until

if TYPE_CHECKING:
    from conftest import Run, Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
Event = Dict[str, Any]
KEPT, MEMORY = "the filter as the kernel keeps it", "an illustration: its program"
ROOT = os.geteuid() == 0


def facts_of(event: Event) -> str:
    return " / ".join(evidence["fact"] for evidence in event["diagnosis"]["evidence"])


@pytest.mark.parametrize(
    "case, call, cause, confidence, outcome, said, nearest",
    [
        ("refused", "mprotect", "errno", "proved", "refused", "answers EACCES", "PROT_READ) in"),
        ("faked", "mprotect", "errno", "proved", "faked", "answers 0", "PROT_READ) in"),
        ("killed", "mprotect", "kill", "proved", "refused", "kills the process", "PROT_READ) in"),
        ("trapped", "mprotect", "trap", "proved", "refused", "sends SIGSYS", "PROT_READ) in"),
        ("longest", "mprotect", "errno", "proved", "refused", "answers EPERM", "PROT_READ) in"),
        ("like-a-service", "mmap", "errno", "proved", "refused", "answers EPERM", "PROT_READ|PROT_EXEC, "),
        ("like-a-container", "personality", "errno", "proved", "refused", "answers EPERM", "personality(PER_LINUX) in"),
        ("handled", "mprotect", "trap", "proved", "probe", "sends SIGSYS", "PROT_READ) in"),
        ("listened", "mprotect", "user-notif", "consistent", "refused", "hands this call to", "PROT_READ) in"),
    ],
)
def test_what_the_filter_answered(
    family: Callable[[str], Family],
    case: str,
    call: str,
    cause: str,
    confidence: str,
    outcome: str,
    said: str,
    nearest: str,
) -> None:
    taken = family("cause_filter")
    [event] = taken.of(case, call)
    diagnosis = event["diagnosis"]
    assert (diagnosis["cause"], diagnosis["confidence"]) == ("seccomp." + cause, confidence)
    assert event["outcome"] == outcome
    [told] = [evidence for evidence in diagnosis["evidence"] if said in evidence["fact"]]
    # To root the kernel shows the program itself, but of the dead it tells nothing.
    assert told["source"].startswith(KEPT if ROOT and cause != "kill" else MEMORY)
    assert "it lets " in facts_of(event) and nearest in facts_of(event)
    assert "installed a filter at event" in facts_of(event)
    assert diagnosis["fixes"][0]["for"] == ("administrator" if cause == "user-notif" else "developer")


@pytest.mark.parametrize(
    "case, cause, outcome",
    [
        ("killed-elsewhere", "kill", "refused"),
        ("trapped-elsewhere", "trap", "refused"),
        ("handled-elsewhere", "trap", "probe"),
    ],
)
def test_a_call_that_is_not_traced_is_named_where_a_filter_ended_the_program(
    family: Callable[[str], Family], case: str, cause: str, outcome: str
) -> None:
    [event] = family("cause_filter").of(case, "getpriority")
    assert (event["diagnosis"]["cause"], event["outcome"]) == ("seccomp." + cause, outcome)
    assert list(event["args"].values()) == [1, 2]
    assert "installed a filter at event" in facts_of(event)


def test_a_listener_is_named(family: Callable[[str], Family]) -> None:
    [event] = family("cause_filter").of("listened", "mprotect")
    assert "handed the call to cause_filter[" in event["diagnosis"]["summary"]
    assert "installed with a listener" in facts_of(event)


def test_a_call_that_the_listener_let_on_is_no_alarm_and_no_fake(family: Callable[[str], Family]) -> None:
    taken = family("cause_filter")
    assert taken.of("let-on", "mprotect") == []
    pid = taken.cases["let-on"][0]
    [done] = [e for e in taken.run.events("mprotect") if e["pid"] == pid and e["args"]["prot"] == "PROT_READ|PROT_EXEC"]
    assert [part["after"] for part in done["touched"]] == ["r-xp"]


def test_a_filter_with_a_listener_binds_every_thread(family: Callable[[str], Family]) -> None:
    """What seccomp() returned is the listener, not a thread that was in the way."""
    [event] = family("cause_filter").of("listened-for-all", "mprotect")
    assert event["diagnosis"]["cause"] == "seccomp.user-notif"
    assert event["tid"] != event["pid"]


# Inherited from a launcher that wxtrace does not see


def inherited(trace: Trace, launcher: Path, case: str, *command: str | Path) -> Run:
    return trace(*command, under=(launcher, case))


def test_systemds_policy_is_recognised_by_what_it_answers(trace: Trace, program: Program, examples: Path) -> None:
    run = inherited(trace, program("cause_filter"), "like-a-service", examples / "jit_anon")
    [event] = run.refused()
    diagnosis = event["diagnosis"]
    assert (diagnosis["cause"], diagnosis["confidence"]) == ("seccomp.errno", "proved")
    assert "inherited from whoever started the command" in facts_of(event)
    assert "a launcher in between set it" in facts_of(event)
    assert "tried in a child" in " ".join(evidence["source"] for evidence in diagnosis["evidence"])
    assert "MemoryDenyWriteExecute=no" in diagnosis["fixes"][-1]["text"]


def test_the_container_profile_is_recognised_by_what_it_answers(trace: Trace, program: Program) -> None:
    setarch = Path("/usr/bin/setarch")
    if not setarch.exists():
        pytest.skip("setarch is not installed")
    run = inherited(trace, program("cause_filter"), "like-a-container", setarch, "-X", "true")
    event = run.refused("personality")[0]
    assert "READ_IMPLIES_EXEC" in event["diagnosis"]["fixes"][0]["text"]
    assert "it lets personality(PER_LINUX) in" in facts_of(event)


# Found by attaching, where no stop tells who answered


@pytest.mark.skipif(not ROOT, reason="the kernel shows filters only to root")
def test_the_kernels_own_copy_is_the_proof_after_attaching(
    environment: Dict[str, str], program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "timeline.json"
    with subprocess.Popen([program("cause_filter"), "asked-again"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        until(lambda: status_field(process.pid, "Seccomp") == "2")
        line = [str(WXTRACE), "-o", str(out), "-p", str(process.pid)]
        with subprocess.Popen(line, env=environment, stderr=subprocess.PIPE) as front:
            until(lambda: status_field(process.pid, "TracerPid") not in ("", "0"))
            process.stdin.close()
            assert front.wait(DEADLINE) == 1
    events = json.loads(out.read_text())["events"]
    by_filter, by_kernel = [event for event in events if event["outcome"] == "refused"]
    assert (by_filter["diagnosis"]["cause"], by_filter["diagnosis"]["confidence"]) == ("seccomp.errno", "proved")
    assert "answers EACCES to this call" in facts_of(by_filter)
    assert "1 seccomp filter binds the thread" in facts_of(by_filter)
    # The same errno of a call that the filter lets in was the kernel's.
    assert (by_kernel["diagnosis"]["cause"], by_kernel["diagnosis"]["confidence"]) == ("fd.write-mode", "proved")
