"""Answers of a seccomp filter that is not ours (kernel/seccomp.c:__seccomp_filter)."""

from __future__ import annotations

from typing import Optional, Tuple

from wxtrace.model.causes.base import POSSIBLE, PROVED, Finding, Refusal, admin, developer, seen
from wxtrace.model.event import Evidence, Fix
from wxtrace.model.facts import BY_FILTER, UNDECIDED

__all__ = ["filter_answered", "filter_killed", "filter_possible", "filter_trapped", "who_installed"]

_NO_STOP = "the call came back without reaching the kernel's own code (entry and exit stop, no seccomp stop)"


def who_installed(refusal: Refusal) -> Tuple[Evidence, ...]:
    """One line a filter that binds the caller."""
    lines = []
    for filter in refusal.filters:
        if filter.n is None:
            lines.append(
                seen("a filter was inherited from whoever started the command", "Seccomp_filters at the start")
            )
        else:
            who = "%s[%d]" % (filter.comm or "process", filter.pid or 0)
            lines.append(seen("%s installed a filter at event %d" % (who, filter.n), "the seccomp or prctl call"))
    return tuple(lines)


def _fixes(refusal: Refusal) -> Tuple[Fix, ...]:
    if any(filter.n is not None for filter in refusal.filters):
        who = developer("Allow this call with these arguments in the program's own seccomp filter.")
    else:
        who = admin(
            "Relax the filter of the service or container: for systemd MemoryDenyWriteExecute= and "
            "SystemCallFilter=, for containers the seccomp profile.",
            "systemctl show UNIT -p MemoryDenyWriteExecute -p SystemCallFilter",
        )
    return (who,)


def _related(refusal: Refusal) -> Tuple[int, ...]:
    return tuple(filter.n for filter in refusal.filters if filter.n is not None)


def filter_answered(refusal: Refusal) -> Optional[Finding]:
    """RET_ERRNO, proved: the call never reached the kernel's own code."""
    if refusal.decided != BY_FILTER:
        return None
    if refusal.result >= 0:
        summary = (
            "a seccomp filter answered %d in the kernel's place: reported as done, but nothing happened"
            % refusal.result
        )
    else:
        summary = "a seccomp filter answered %s before the kernel looked at the call" % refusal.errno
    evidence = (seen(_NO_STOP, "ptrace stops of this call"), *who_installed(refusal))
    return Finding("seccomp.errno", PROVED, summary, evidence, _fixes(refusal), _related(refusal))


def filter_trapped(refusal: Refusal) -> Finding:
    """RET_TRAP: SIGSYS instead of an answer."""
    evidence = (
        seen("SIGSYS with si_code SYS_SECCOMP followed the call", "siginfo"),
        *who_installed(refusal),
    )
    return Finding(
        "seccomp.trap",
        PROVED,
        "a seccomp filter sent SIGSYS instead of letting the call in",
        evidence,
        _fixes(refusal),
        _related(refusal),
    )


def filter_killed(refusal: Refusal) -> Finding:
    """RET_KILL: the task died at the entry of the call."""
    evidence = (
        seen("the task was killed by SIGSYS between the entry of the call and its return", "wait status"),
        *who_installed(refusal),
    )
    return Finding(
        "seccomp.kill",
        PROVED,
        "a seccomp filter killed the program for this call",
        evidence,
        _fixes(refusal),
        _related(refusal),
    )


def filter_possible(refusal: Refusal) -> Optional[Finding]:
    """The last resort where nobody could see who answered: the caller has filters, and nothing else fits."""
    if refusal.decided != UNDECIDED or refusal.probe.status.get("Seccomp") != "2":
        return None
    count = refusal.probe.status.get("Seccomp_filters", "some")
    if refusal.probe.filters_ours:
        fix = developer("Look at the calls that follow: this one stood at the door while the filter was installed.")
    else:
        fix = developer("Start the program under wxtrace instead of attaching: then who answered is seen.")
    return Finding(
        "seccomp.errno",
        POSSIBLE,
        "a seccomp filter may have answered %s: none of the kernel's own rules explains it" % refusal.errno,
        (seen("%s seccomp filters bind the thread" % count, "/proc/PID/status"),),
        (fix,),
    )
