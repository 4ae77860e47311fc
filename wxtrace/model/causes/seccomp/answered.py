"""A seccomp filter that is not ours answers in the kernel's place (kernel/seccomp.c:__seccomp_filter).

Filters run before the kernel's own code of every call. What they answer is known where the stops showed that one of
them answered, or where the kernel shows its own copies of their programs: these are run over the call.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext, Installed, Intercepted
from wxtrace.model.causes.entry import ANY_CALL, ANY_ERRNO, Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.seccomp.evidence import (
    Said,
    answer_to,
    culprit,
    is_inherited,
    listeners,
    what_was_said,
    who_installed,
)
from wxtrace.model.causes.seccomp.places import DOUBTS, FIXES, PLACES, place_of
from wxtrace.model.enumerations import Confidence, Errno, Outcome
from wxtrace.model.event import Evidence

__all__ = ["SECCOMP", "filter_answers"]

_MAX_ERRNO = 4095
"""More than this no filter can answer (kernel/seccomp.c:__seccomp_filter)."""
_ENOSYS = 38
_MODE_FILTER = "2"
"""Seccomp in /proc/PID/status."""
_SOURCE = "kernel/seccomp.c:__seccomp_filter"
_HOLDERS = "/proc/*/fd"
_FAKED = "a seccomp filter answered {result} in the kernel's place: reported as done, but nothing happened"
_MAYBE = "a seccomp filter may have answered {errno}: none of the kernel's own rules explains it"

_ERRNO = Cause(
    "seccomp.errno",
    "seccomp filter",
    "A seccomp filter (rules on system calls that a process or its parent installed) answered in the kernel's place.",
    {ANY_CALL: ANY_ERRNO},
    (Need.STOPS,),
    "a seccomp filter answered {errno} before the kernel looked at the call",
    FIXES[""],
    _SOURCE + " (SECCOMP_RET_ERRNO)",
    {
        **PLACES,
        "faked": Case(_FAKED, outcome=Outcome.FAKED),
        **{"faked-" + place: Case(_FAKED, case.fixes, Outcome.FAKED) for place, case in PLACES.items()},
        **{doubt: Case(_MAYBE, FIXES[doubt]) for doubt in DOUBTS},
    },
    "filter_exec jit_anon",
)
_TRAP = Cause(
    "seccomp.trap",
    "seccomp filter",
    "A seccomp filter sent SIGSYS instead of letting the call in; sandboxes answer it with a handler of their own.",
    {ANY_CALL: ("SIGSYS",)},
    (Need.STOPS, Need.SIGINFO),
    "a seccomp filter sent SIGSYS instead of letting the call in",
    FIXES[""],
    _SOURCE + " (SECCOMP_RET_TRAP)",
    {
        **PLACES,
        "handled": Case(
            "a seccomp filter sent SIGSYS instead of letting the call in, and a handler of the program's own answered",
            (developer("Nothing to mend where the handler does the work: that is how many sandboxes are built."),),
            Outcome.PROBE,
        ),
    },
    "filter_exec -t jit_anon",
)
_KILL = Cause(
    "seccomp.kill",
    "seccomp filter",
    "A seccomp filter killed the thread or the process for this call.",
    {ANY_CALL: ("SIGSYS",)},
    (Need.STOPS,),
    "a seccomp filter killed the program for this call",
    FIXES[""],
    _SOURCE + " (SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD)",
    PLACES,
    "filter_exec -k jit_anon",
)
_USER_NOTIF = Cause(
    "seccomp.user-notif",
    "seccomp filter",
    "A seccomp filter handed the call to another process (a container manager, a sandbox), and that one answered.",
    {ANY_CALL: ANY_ERRNO},
    (Need.STOPS,),
    "a seccomp filter handed the call to {listener}, which answered {answer}",
    (admin("Ask whoever runs the program that listens, the container manager or sandbox, to allow the call."),),
    _SOURCE + " (SECCOMP_RET_USER_NOTIF)",
    {
        "alone": Case(
            "a seccomp filter hands this call to a process that listens, and nobody listens any more",
            (developer("Keep the process that listens running as long as the one it decides for."),),
        ),
        "faked": Case(outcome=Outcome.FAKED),
        "unseen": Case("a seccomp filter hands this call to {listener}: that process answered it, or let the kernel"),
    },
    "filter_exec -n jit_anon",
)
SECCOMP = (_ERRNO, _TRAP, _KILL, _USER_NOTIF)
_WAYS = {
    "ERRNO": (
        _ERRNO,
        "the call came back without reaching the kernel's own code (entry and exit stop, no seccomp stop)",
        "ptrace stops of this call",
    ),
    "TRAP": (_TRAP, "SIGSYS with si_code SYS_SECCOMP followed the call", "siginfo"),
    "KILL_PROCESS": (
        _KILL,
        "the task was killed by SIGSYS between the entry of the call and its return",
        "wait status",
    ),
}
"""What the stops show of an answer, by its action: the cause, the evidence, and where it was seen."""


@rule(*SECCOMP)
def filter_answers(ctx: CallContext) -> Answer:
    """Of all filters the strictest answer counts; with none but ALLOW and LOG the kernel's own code runs."""
    if ctx.intercepted is None and ctx.kernel_decided:
        return LETS_THROUGH
    said = answer_to(ctx, ctx.asked)
    if ctx.intercepted is not None:
        return _intercepted(ctx, ctx.intercepted, said)
    if said is not None and said.exact:
        return _by_the_kernels_copy(ctx, said)
    if ctx.probe.status.get("Seccomp") != _MODE_FILTER:
        return cannot_tell(ctx, _ERRNO, Need.ANSWERED)
    lines = [_bound(ctx)]
    if ctx.seen_filters is not None and ctx.seen_filters.origin.why_not:
        lines.append(seen("what they answer: %s" % ctx.seen_filters.origin.why_not, "PTRACE_SECCOMP_GET_FILTER"))
    return may_refuse(
        ctx,
        _ERRNO,
        *lines,
        *who_installed(ctx, None),
        without=(Need.ANSWERED,),
        case="unsure" if ctx.probe.filters_ours else "launched" if ctx.filters else "attached",
        at_most=Confidence.POSSIBLE,
    )


def _intercepted(ctx: CallContext, did: Intercepted, said: Optional[Said]) -> Answer:
    """The stops show that no other code answered; `said` only tells more where it agrees with what they show."""
    cause, fact, source = _WAYS[did.action]
    stops = seen(fact, source)
    if cause is not _ERRNO:
        agrees = said is not None and _WAYS.get(_plain(said.action.name), (None,))[0] is cause
        return _by_filter(ctx, cause, stops, said if agrees else None, handled=did.handled)
    if said is not None and said.action.name == "USER_NOTIF":
        return _handed_over(ctx, said, stops)
    if said is not None and did.result != _returned(said):
        # The memory was changed since.
        said = None
    return _by_filter(ctx, cause, stops, said, did.result)


def _plain(action: str) -> str:
    return "KILL_PROCESS" if action == "KILL_THREAD" else action


def _returned(said: Said) -> Optional[int]:
    """What the call returns for this answer; None where it does not return, or the kernel's code runs."""
    if said.action.name == "TRACE":
        # Nobody answers a filter that asks for a tracer of its own.
        return -_ENOSYS
    return -min(said.action.data, _MAX_ERRNO) if said.action.name == "ERRNO" else None


def _by_the_kernels_copy(ctx: CallContext, said: Said) -> Answer:
    """Where nobody sees who answers, because our own filter is not in the task."""
    bound = _bound(ctx)
    if said.action.name == "USER_NOTIF":
        return _handed_over(ctx, said, bound)
    if said.action.name == "TRACE":
        return may_refuse(ctx, _ERRNO, bound, errno=Errno.ENOSYS, case="attached", at_most=Confidence.POSSIBLE)
    return _by_filter(ctx, _WAYS[_plain(said.action.name)][0], bound, said, _returned(said))


def _bound(ctx: CallContext) -> Evidence:
    count = ctx.probe.status.get("Seccomp_filters", "some")
    return seen("%s seccomp filter%s the thread" % (count, " binds" if count == "1" else "s bind"), "/proc/PID/status")


def _by_filter(
    ctx: CallContext,
    cause: Cause,
    first: Evidence,
    said: Optional[Said],
    result: Optional[int] = None,
    handled: bool = False,
) -> Answer:
    by = culprit(ctx, said)
    case, words = place_of(ctx, is_inherited(ctx, by), result)
    own = {filter.comm for filter in ((by,) if by is not None else ctx.filters) if filter.n is not None}
    words["who"] = " or ".join(sorted(name for name in own if name)) or "the program"
    if result is not None and result >= 0:
        case = "faked-" + case if case else "faked"
    if handled:
        case = "handled"
    doubts = _may_be_a_listeners(ctx, said) if cause is _ERRNO else None
    return refuses(
        ctx,
        cause,
        first,
        *who_installed(ctx, by),
        *what_was_said(ctx, said),
        *(doubts or ()),
        errno=Errno(max(-result, 0)) if result is not None else None,
        case=case,
        at_most=Confidence.PROVED if doubts is None else Confidence.CONSISTENT,
        related=_related(ctx, by),
        result=result,
        **words,
    )


def _may_be_a_listeners(ctx: CallContext, said: Optional[Said]) -> Optional[Tuple[Evidence, ...]]:
    """None where the answer is the filter's own; else what speaks for a listener that answered instead."""
    names = listeners(ctx) if said is None or not said.exact else ""
    if names:
        fact = "the listening end of a filter, where the answer may come from, is held by %s" % names
        return (seen(fact, _HOLDERS),)
    return () if said is None and any(filter.listens for filter in ctx.filters) else None


def _handed_over(ctx: CallContext, said: Said, first: Evidence) -> Answer:
    """Whether the listener answers or tells the kernel to go on, only the listener knows (seccomp_unotify(2))."""
    by = culprit(ctx, said)
    names = listeners(ctx)
    lines = [seen("the listening end of a filter is held by %s" % names, _HOLDERS)] if names else []
    if by is not None and by.n is not None and by.listens:
        lines.append(seen("the filter was installed with a listener", "SECCOMP_FILTER_FLAG_NEW_LISTENER"))
    words: Dict[str, Any] = {"listener": names or "the process that listens"}
    case, result = "unseen", ctx.intercepted.result if ctx.intercepted is not None else None
    if result is not None:
        case = "alone" if result == -_ENOSYS else "" if result < 0 else "faked"
        words["answer"] = f.errno_name(-result) if result < 0 else result
    return may_refuse(
        ctx,
        _USER_NOTIF,
        first,
        *who_installed(ctx, by),
        *what_was_said(ctx, said),
        *lines,
        case=case,
        related=_related(ctx, by),
        **words,
    )


def _related(ctx: CallContext, by: Optional[Installed]) -> Tuple[int, ...]:
    if by is not None and by.n is not None:
        return (by.n,)
    return tuple(filter.n for filter in ctx.filters if filter.n is not None)
