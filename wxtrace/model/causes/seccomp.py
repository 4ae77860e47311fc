"""Answers of a seccomp filter that is not ours (kernel/seccomp.c:__seccomp_filter)."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from wxtrace.model.causes.base import CONSISTENT, POSSIBLE, Finding, Refusal, found, seen
from wxtrace.model.causes.filter_evidence import (
    Said,
    answer_to,
    culprit,
    is_inherited,
    listeners,
    what_was_said,
    who_installed,
)
from wxtrace.model.causes.sandboxes import sandbox_of
from wxtrace.model.causes.surroundings import placement, service_words
from wxtrace.model.event import Evidence
from wxtrace.model.facts import BY_FILTER, UNDECIDED

__all__ = ["filter_answered", "filter_killed", "filter_possible", "filter_trapped"]

_NO_STOP = "the call came back without reaching the kernel's own code (entry and exit stop, no seccomp stop)"
_ENOSYS = -38
_HOLDERS = "/proc/*/fd"


def filter_answered(refusal: Refusal) -> Optional[Finding]:
    """RET_ERRNO or RET_USER_NOTIF: the stops show that no other code answered, or the kernel's copy of the filter."""
    said = answer_to(refusal, refusal.asked)
    if refusal.decided == UNDECIDED:
        return _by_the_kernels_copy(refusal, said)
    if refusal.decided != BY_FILTER:
        return None
    stops = seen(_NO_STOP, "ptrace stops of this call")
    if said is not None and said.action.name == "USER_NOTIF":
        return _handed_over(refusal, said, stops)
    if said is not None and not (said.action.name == "ERRNO" and said.action.data == -refusal.result):
        # The memory was changed since, or nobody answers a filter that asks for a tracer.
        said = said if said.action.name == "TRACE" and refusal.result == _ENOSYS else None
    return _by_filter(refusal, "seccomp.errno", said, stops)


def _by_the_kernels_copy(refusal: Refusal, said: Optional[Said]) -> Optional[Finding]:
    """Where nobody could see who answered, because our own filter is not in the task."""
    if said is None or not said.exact or refusal.kernel_decided:
        return None
    bound = _bound(refusal)
    if said.action.name == "USER_NOTIF":
        return _handed_over(refusal, said, bound)
    if said.action.name == "ERRNO" and said.action.data == -refusal.result:
        return _by_filter(refusal, "seccomp.errno", said, bound)
    return None


def _bound(refusal: Refusal) -> Evidence:
    count = refusal.probe.status.get("Seccomp_filters", "some")
    return seen("%s seccomp filter%s the thread" % (count, " binds" if count == "1" else "s bind"), "/proc/PID/status")


def filter_trapped(refusal: Refusal) -> Finding:
    """RET_TRAP: SIGSYS instead of an answer."""
    said = _if(answer_to(refusal, refusal.asked), "TRAP")
    stops = seen("SIGSYS with si_code SYS_SECCOMP followed the call", "siginfo")
    return _by_filter(refusal, "seccomp.trap", said, stops)


def filter_killed(refusal: Refusal) -> Finding:
    """RET_KILL: the task died at the entry of the call."""
    said = _if(answer_to(refusal, refusal.asked), "KILL_PROCESS", "KILL_THREAD")
    stops = seen("the task was killed by SIGSYS between the entry of the call and its return", "wait status")
    return _by_filter(refusal, "seccomp.kill", said, stops)


def _if(said: Optional[Said], *names: str) -> Optional[Said]:
    return said if said is not None and said.action.name in names else None


def _by_filter(refusal: Refusal, cause: str, said: Optional[Said], first: Evidence) -> Finding:
    by = culprit(refusal, said)
    case, words = _case(refusal, is_inherited(refusal, by))
    own = {filter.comm for filter in ((by,) if by is not None else refusal.filters) if filter.n is not None}
    words["who"] = " or ".join(sorted(name for name in own if name)) or "the program"
    if cause == "seccomp.errno" and refusal.result >= 0:
        case = "faked-" + case if case else "faked"
    # Where a listener may have answered instead, the stops alone do not tell.
    names = listeners(refusal) if cause == "seccomp.errno" and (said is None or not said.exact) else ""
    listens = bool(names) or (said is None and any(filter.listens for filter in refusal.filters))
    doubt = [seen("the listening end of a filter, where the answer may come from, is held by %s" % names, _HOLDERS)]
    return found(
        refusal,
        cause,
        first,
        *who_installed(refusal, by),
        *what_was_said(refusal, said),
        *(doubt if names else ()),
        case=case,
        at_most=CONSISTENT if listens else "proved",
        related=_related(refusal, by.n if by is not None else None),
        result=refusal.result,
        **words,
    )


def _case(refusal: Refusal, inherited: bool) -> Tuple[str, Dict[str, Any]]:
    """Which fixes fit, with the words they need."""
    place = placement(refusal) if inherited else None
    words = service_words(place)
    unit = words["unit"]
    words |= {
        "service": place.name if unit is not None and place is not None else "the service (if systemd started it)",
        "container": place.name if place is not None and unit is None else None,
    }
    if not inherited:
        return "own", words
    known = sandbox_of(refusal)
    if known is not None:
        return known, words
    if place is None or (place.kind == "systemd unit" and unit is None):
        return "", words
    return ("unit" if unit is not None else "container"), words


def _handed_over(refusal: Refusal, said: Said, first: Evidence) -> Finding:
    """Whether the listener answered or told the kernel to go on, only the listener knows (seccomp_unotify(2))."""
    by = culprit(refusal, said)
    names = listeners(refusal)
    lines = [seen("the listening end of a filter is held by %s" % names, _HOLDERS)] if names else []
    if by is not None and by.n is not None and by.listens:
        lines.append(seen("the filter was installed with a listener", "SECCOMP_FILTER_FLAG_NEW_LISTENER"))
    return found(
        refusal,
        "seccomp.user-notif",
        first,
        *who_installed(refusal, by),
        *what_was_said(refusal, said),
        *lines,
        case="alone" if refusal.result == _ENOSYS else "",
        at_most=CONSISTENT,
        related=_related(refusal, by.n if by is not None else None),
        listener=names or "the process that listens",
        answer=refusal.errno or refusal.result,
    )


def _related(refusal: Refusal, n: Optional[int]) -> Tuple[int, ...]:
    if n is not None:
        return (n,)
    return tuple(filter.n for filter in refusal.filters if filter.n is not None)


def filter_possible(refusal: Refusal) -> Optional[Finding]:
    """The last resort where nobody could see who answered: the caller has filters, and nothing else fits."""
    if refusal.decided != UNDECIDED or refusal.probe.status.get("Seccomp") != "2" or refusal.kernel_decided:
        return None
    lines = [_bound(refusal)]
    if refusal.seen_filters is not None and refusal.seen_filters.origin.why_not:
        lines.append(seen("what they answer: %s" % refusal.seen_filters.origin.why_not, "PTRACE_SECCOMP_GET_FILTER"))
    return found(
        refusal,
        "seccomp.errno",
        *lines,
        *who_installed(refusal, None),
        case="unsure" if refusal.probe.filters_ours else "launched" if refusal.filters else "attached",
        at_most=POSSIBLE,
    )
